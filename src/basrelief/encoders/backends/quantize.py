"""Image towers in int8: weights and activations quantised by NNCF, calibrated on pictures that the caller draws."""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from basrelief.encoders.backends.compiled import OpenVinoTowers
from basrelief.encoders.backends.graphs import Graphs
from basrelief.encoders.backends.store import load_graph, store_graph
from basrelief.encoders.clip import ClipEncoder
from basrelief.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    import openvino

INT8 = ("int8", "int8-unchecked")
LEAST_INT8_COSINE = 0.95
"""Smallest cosine to torch in float32, over pictures that were not used for calibration, below which int8 is refused."""


@dataclass(frozen=True)
class Calibration:
    """Pictures like those that an image tower will read.

    Attributes:
        name: Changes with everything that decides the pixels.
        draw: Returns pixels as `ClipEncoder.prepare` gives them; the last quarter measures what int8 costs.
    """

    name: str
    draw: Callable[[], Float[Tensor, "pictures 3 size size"]]


def quantized_encoder(encoder: ClipEncoder, calibration: Calibration, *, known: float | None) -> tuple[ClipEncoder, float]:
    """Return the encoder with its image tower in int8 and its text tower in float32 on OpenVINO, and the smallest cosine to torch.

    The quantised graph is kept in the user's cache folder.

    Args:
        encoder: In float32 on the CPU.
        calibration: What the activations are measured on.
        known: The cosine, if it was measured before.

    Raises:
        MissingExtraError: If NNCF is needed and not installed.
    """
    graphs = Graphs(encoder.towers)
    key = hashlib.sha256(f"{graphs.key('image')} int8 {calibration.name}".encode()).hexdigest()[:40]
    graph = load_graph(key)
    pixels = calibration.draw() if graph is None or known is None else None
    if graph is None and pixels is not None:
        graph = _quantized(graphs.read("image"), pixels[: _calibrating(pixels)], transformer=encoder.config.image_tower.kind != "resnet")
        store_graph(key, graph)
    compiled = OpenVinoTowers(graphs, precision="int8", quantized=graph)
    if known is None and pixels is not None:
        with torch.no_grad():
            held_out = pixels[_calibrating(pixels) :]
            full, low = (network.image_features(held_out).float() for network in (encoder.towers, compiled))
        known = float(F.cosine_similarity(full, low).min())
    return encoder.copy_with(compiled), known or 0.0


def check_int8(encoder: ClipEncoder, cosine: float) -> None:
    """Check that int8 says about the same as float32.

    Raises:
        ConfigError: If the cosine is below `LEAST_INT8_COSINE`.
    """
    if not cosine >= LEAST_INT8_COSINE:
        raise ConfigError(
            f"In int8 a view of {encoder.name} keeps a cosine of {cosine:.3f} only to float32; at least {LEAST_INT8_COSINE} is required. "
            "Use --dtype auto, or --dtype int8-unchecked to use it all the same."
        )


def _calibrating(pixels: Tensor) -> int:
    return len(pixels) * 3 // 4


def _quantized(graph: openvino.Model, pixels: Tensor, *, transformer: bool) -> openvino.Model:
    if find_spec("nncf") is None:
        raise MissingExtraError("int8 needs NNCF, which is not installed. Run: pip install nncf.")
    os.environ.setdefault("NNCF_CI", "1")  # without it, NNCF reports its use to a server
    import nncf

    logging.getLogger("nncf").setLevel(logging.ERROR)
    rows = nncf.Dataset([row[None].numpy() for row in pixels])
    kind = nncf.ModelType.TRANSFORMER if transformer else None
    with contextlib.redirect_stdout(io.StringIO()):  # where NNCF shows its progress
        found: openvino.Model = nncf.quantize(graph.clone(), rows, subset_size=len(pixels), model_type=kind)
    return found
