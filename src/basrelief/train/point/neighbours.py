"""Batches of similar shapes: groups of a random shape and some of those nearest to it (OpenShape, arXiv:2305.10764, sec. 3.4)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from basrelief.errors import ConfigError
from basrelief.output import replace_file

_ROWS = 1024


def nearest_shapes(features: Float[Tensor, "shapes dim"], count: int) -> Int[np.ndarray, "shapes nearest"]:
    """Return the shapes nearest to each one by cosine, itself excluded.

    Args:
        features: Of a point network.
        count: Neighbours of each shape; all others if there are fewer.
    """
    unit = F.normalize(features, dim=-1)
    count = min(count, len(unit) - 1)
    found = []
    for start in range(0, len(unit), _ROWS):
        part = unit[start : start + _ROWS] @ unit.T
        own = torch.arange(len(part), device=unit.device)
        part[own, own + start] = -torch.inf
        found.append(part.topk(count, dim=1).indices.to(torch.int32).cpu())
    return torch.cat(found).numpy()


def load_neighbours(path: Path, *, shapes: int, count: int, compute: Callable[[], Int[np.ndarray, "shapes nearest"]]) -> np.ndarray:
    """Load the neighbours of a run, computed once.

    Args:
        path: File of the run.
        shapes: Number of shapes.
        count: Neighbours of each.
        compute: Computes them.

    Raises:
        ConfigError: If the file belongs to other shapes.
    """
    if not path.is_file():
        with replace_file(path) as part, part.open("wb") as file:
            np.save(file, compute())
    found: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    if found.shape != (shapes, min(count, shapes - 1)):
        raise ConfigError(f"{path.name} holds neighbours of other shapes. Name another folder with --out.")
    return found


def draw_groups(
    neighbours: Int[np.ndarray, "shapes nearest"], *, groups: int, size: int, generator: np.random.Generator
) -> Int[np.ndarray, "groups size"]:
    """Draw groups: seeds uniformly from all shapes, with repeats, as published; then different neighbours of each.

    Args:
        neighbours: From `nearest_shapes`.
        groups: Number of groups.
        size: Shapes of a group, the seed first.
        generator: All randomness.
    """
    seeds = generator.integers(len(neighbours), size=groups)
    others = [generator.permutation(neighbours.shape[1])[: size - 1] for _ in seeds]
    rows = [np.concatenate([[seed], neighbours[seed][chosen]]) for seed, chosen in zip(seeds, others, strict=True)]
    return np.stack(rows).astype(np.int64)
