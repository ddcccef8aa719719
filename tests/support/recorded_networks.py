"""Point networks with the weights of a recording, and networks that differ from a published size in a few numbers."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from basrelief.encoders.points.base import PointNetwork, fill_network
from support.filled_weights import fill

Arrays = dict[str, np.ndarray]
COLOUR = 0.4  # where a recorded cloud has none


def recorded_network(kind: type[PointNetwork], size: Any, arrays: Arrays) -> PointNetwork:
    """The network of a recording: with its weights, or those that its seed gives."""
    with torch.device("meta"):
        network = kind(size)
    return fill_network(network, kind.from_published({"": recorded_state(network, arrays)}), source="recording")


def recorded_state(network: nn.Module, arrays: Arrays) -> dict[str, Tensor]:
    """The weights of a recording, or those that its seed gives for a network of its names."""
    held = {name.removeprefix("sd/"): torch.from_numpy(array) for name, array in arrays.items() if name.startswith("sd/")}
    return held or _drawn(network, arrays)


def recorded_cloud(arrays: Arrays) -> tuple[Tensor, Tensor]:
    """The clouds of a recording and their sizes, with colours where it has none."""
    points = torch.from_numpy(arrays["points"])
    points = torch.cat([points, points.new_full((*points.shape[:2], 6 - points.shape[2]), COLOUR)], dim=-1)
    return points, torch.full((len(points),), points.shape[1])


def meta_state(layout: list[tuple[str, list[int], str]]) -> dict[str, Tensor]:
    """Tensors without numbers, of the names, shapes and types in a published file."""
    return {name: torch.empty(shape, dtype=getattr(torch, dtype), device="meta") for name, shape, dtype in layout}


def config(arrays: Arrays) -> dict[str, Any]:
    """The settings of a recording."""
    record: dict[str, Any] = json.loads(str(arrays["config"]))
    return record


def smaller(size: Any, **numbers: Any) -> Any:
    """A size with other numbers, and without the randomness of training."""
    quiet = {field.name: 0.0 for field in fields(size) if field.name in ("drop_path", "patch_dropout")}
    return type(size)(**{field.name: getattr(size, field.name) for field in fields(size)} | quiet | numbers)


def _drawn(network: nn.Module, arrays: Arrays) -> dict[str, Tensor]:
    """Small networks have a seed of their own and numbers rounded to float16, full ones a seed in their settings."""
    seed = int(arrays["fill_seed"]) if "fill_seed" in arrays else int(config(arrays)["fill_seed"])
    drawn = {name: fill(name, tuple(tensor.shape), seed) for name, tensor in network.state_dict().items()}
    half = "fill_seed" in arrays
    return {name: torch.from_numpy(a.astype(np.float16) if half and a.dtype == np.float32 else a) for name, a in drawn.items()}
