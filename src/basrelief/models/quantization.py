"""Pictures on which int8 is calibrated: views of generated shapes, drawn and prepared as a recipe does."""

from __future__ import annotations

import hashlib
import json

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from basrelief.encoders import ClipEncoder
from basrelief.encoders.backends.quantize import Calibration
from basrelief.models.recipe import Recipe
from basrelief.models.shape_encoder import ViewEncoder
from basrelief.shapes import CATEGORIES, make_shape

_SHAPES = 16
_SEED = 4_000_000
"""First seed of the shapes, far from those of training and testing."""


def view_calibration(recipe: Recipe, encoder: ClipEncoder) -> Calibration:
    """Return views of 16 generated shapes, no file of the user's.

    Args:
        recipe: How shapes are drawn, and with which mean and standard deviation.
        encoder: The towers.
    """

    def draw() -> Float[Tensor, "pictures 3 size size"]:
        recorder = _Recorder(encoder)
        views = ViewEncoder(recipe, encoder.copy_with(recorder))
        names = sorted(CATEGORIES)[:: max(1, len(CATEGORIES) // _SHAPES)][:_SHAPES]
        shapes = [make_shape(name, seed=_SEED + number) for number, name in enumerate(names)]
        views.features(views.input.prepare(shapes, seed=0, device=encoder.device))
        return torch.cat(recorder.pixels)

    settings = [1, _SHAPES, _SEED, ViewEncoder(recipe, encoder).settings, encoder.mean, encoder.std]
    return Calibration(hashlib.sha256(json.dumps(settings, default=str, sort_keys=True).encode()).hexdigest(), draw)


class _Recorder:
    """Keeps the pixels that an image tower would encode; `CompiledTowers`.

    Attributes:
        pixels: One array for each call.
    """

    runtime, differs, is_current = "torch float32", False, True

    def __init__(self, encoder: ClipEncoder) -> None:
        self.towers = encoder.towers
        self.pixels: list[Tensor] = []

    def image_features(self, pixels: Float[Tensor, "n 3 s s"], *, tuned: Bool[Tensor, " n"] | None = None) -> Float[Tensor, "n dim"]:
        self.pixels.append(pixels)
        return pixels.new_zeros(len(pixels), self.towers.config.embed_dim)

    def both_features(self, pixels: Float[Tensor, "n 3 s s"]) -> tuple[Float[Tensor, "n dim"], Float[Tensor, "n dim"]]:
        return self.image_features(pixels), self.image_features(pixels[:0]).new_zeros(len(pixels), self.towers.config.embed_dim)

    def text_features(self, ids: Int[Tensor, "n length"]) -> Float[Tensor, "n dim"]:
        return self.towers.text_features(ids)
