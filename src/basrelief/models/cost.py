"""Cost of a model: parameters, multiply-adds per shape and, if its weights are on this machine, measured time."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from basrelief.encoders.towers import empty_towers
from basrelief.models.load import encoder_config
from basrelief.models.model import Model
from basrelief.models.recipe import get_recipe
from basrelief.types import PointCloud

COSTS_FILE = Path(__file__).with_name("point_costs.json")
"""Counts of all point networks; `benchmarks/throughput.py --write` makes it."""


@dataclass(frozen=True)
class ModelCost:
    """Cost of classifying one shape.

    Attributes:
        name: Of the recipe.
        parameters: Numbers in the image tower, tuned block included, or in the point network.
        text_parameters: Numbers in the text tower, which runs once for each word.
        views: Pictures of a shape; features of a cloud for a point network.
        multiply_adds: Of the image tower over all views, or of the point network.
        points: Points sampled.
        draw_ms: Milliseconds to prepare one shape, or None where it was not measured.
        encode_ms: Milliseconds to encode it, or None.
    """

    name: str
    parameters: int
    text_parameters: int
    views: int
    multiply_adds: int
    points: int
    draw_ms: float | None = None
    encode_ms: float | None = None


def model_cost(model: str | Model, *, repeats: int = 5, seed: int = 0) -> ModelCost:
    """Count the cost of a recipe from its architecture, for which no weights are needed; measure the time of a loaded model.

    Args:
        model: Name of a recipe, or a model on the device that is to be measured.
        repeats: Number of point clouds to time; the result is their median.
        seed: Seed of the cloud.

    Raises:
        ConfigError: If there is no recipe of that name.
    """
    if isinstance(model, str):
        return _count(model)
    draw_ms, encode_ms = _times(model, repeats, seed)
    return replace(_count(model.recipe.name), draw_ms=draw_ms, encode_ms=encode_ms)


@cache
def _count(name: str) -> ModelCost:
    recipe = get_recipe(name)
    if recipe.cloud is not None:
        record = point_costs()[recipe.cloud.network]
        return ModelCost(
            name, record["parameters"], _text_parameters(recipe.encoder), record["views"], record["multiply_adds"], recipe.points
        )
    vision = encoder_config(recipe.encoder).image_tower
    views = sum(len(drawer.cameras) for drawer in recipe.drawers(vision.image_size))
    together = views if vision.joint_blocks else 1
    counted, adds = _tower(recipe.encoder, tuned=int(bool(recipe.tuned_views)), views=together)
    return ModelCost(name, counted, _text_parameters(recipe.encoder), views, adds * views // together, recipe.points)


@cache
def _tower(encoder: str, *, tuned: int, views: int) -> tuple[int, int]:
    """Parameters of an image tower, and its multiply-adds for one image, or for several that are read together."""
    config = encoder_config(encoder)
    with torch.device("meta"):
        towers = empty_towers(config, tuned=tuned).to("meta").requires_grad_(False)
        pixels = torch.empty(views, 3, config.image_tower.image_size, config.image_tower.image_size)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            towers.image_features(pixels) if views == 1 else towers.view_features(pixels[None])
    image = [towers.vision_model, towers.visual_projection, towers.tuned_blocks]
    counted = sum(parameter.numel() for part in image if part is not None for parameter in part.parameters())
    return counted, counter.get_total_flops() // 2


@cache
def point_costs() -> Mapping[str, Mapping[str, int]]:
    """Return parameters, features of a cloud and multiply-adds of every point network, by its name.

    Multiply-adds depend on the cloud for sparse convolution, so they are recorded: `benchmarks/throughput.py --write` counts those of one
    sphere of as many points as the network's recipe reads.
    """
    found: dict[str, dict[str, int]] = json.loads(COSTS_FILE.read_text(encoding="utf-8"))
    return found


@cache
def _text_parameters(encoder: str) -> int:
    towers = empty_towers(encoder_config(encoder), images=False)
    return sum(parameter.numel() for parameter in towers.parameters())


def _times(model: Model, repeats: int, seed: int) -> tuple[float, float]:
    """Median milliseconds of rendering and of encoding one cloud."""
    points = np.random.default_rng(seed).normal(size=(model.recipe.points, 3)).astype(np.float32)
    shape = PointCloud(points)
    draw, encode = [], []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        prepared = model.prepare([shape])
        _wait(model)
        middle = time.perf_counter()
        model.features(prepared)
        _wait(model)
        draw.append(middle - start)
        encode.append(time.perf_counter() - middle)
    return 1000 * float(np.median(draw[1:])), 1000 * float(np.median(encode[1:]))  # the first warms up


def _wait(model: Model) -> None:
    """Wait until the device is done."""
    if model.encoder.device.type == "cuda":
        torch.cuda.synchronize(model.encoder.device)
