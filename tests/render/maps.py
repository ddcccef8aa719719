"""Clouds to render, and comparison of depth maps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from basrelief.render.base import PointBatch, Projection

TOLERANCE = 1e-5
EXEMPT_PART = 1e-4
EXEMPT_AT_LEAST = 5


def as_array(maps: np.ndarray | torch.Tensor) -> np.ndarray:
    return maps.detach().cpu().numpy() if isinstance(maps, torch.Tensor) else maps


def thinned_like(ours: np.ndarray | torch.Tensor, theirs: np.ndarray) -> np.ndarray:
    """Every n-th row and column, as many as a recording holds; all of them where it is whole."""
    step = -(-ours.shape[-1] // theirs.shape[-1])
    return as_array(ours)[..., ::step, ::step]


def off(ours: np.ndarray | torch.Tensor, theirs: np.ndarray | torch.Tensor) -> str:
    """Empty when every pixel agrees but for the few exempt ones, else what is wrong.

    A point within rounding of a border may fall on its other side. Equal infinities agree, NaN never does.
    """
    ours, theirs = as_array(ours), as_array(theirs)
    if ours.shape != theirs.shape:
        return f"shape {ours.shape} instead of {theirs.shape}"
    with np.errstate(invalid="ignore"):
        agree = (ours == theirs) | (np.abs(ours - theirs) <= TOLERANCE)
    wrong, allowed = int((~agree).sum()), max(EXEMPT_AT_LEAST, int(EXEMPT_PART * ours.size))
    return "" if wrong <= allowed else f"{wrong} of {ours.size} pixels differ, {allowed} may"


def _unit(points: np.ndarray) -> np.ndarray:
    return (points / np.linalg.norm(points, axis=1).max()).astype(np.float32)


def make_clouds(seed: int) -> dict[str, np.ndarray]:
    """Clouds of many kinds, most of them in the unit sphere, float32."""
    rng = np.random.default_rng(seed)
    ball = _unit(rng.normal(size=(150, 3)))
    return {
        "ball": ball,
        "sphere": (ball / np.linalg.norm(ball, axis=1, keepdims=True)).astype(np.float32),
        "box": rng.uniform((-0.9, -0.35, -0.12), (0.9, 0.35, 0.12), (150, 3)).astype(np.float32),
        "plane": np.c_[rng.uniform(-0.6, 0.6, (100, 2)), np.full(100, 0.25)].astype(np.float32),
        "line": np.outer(rng.uniform(-1, 1, 60), _unit(rng.normal(size=(1, 3)))).astype(np.float32),
        "two": _unit(rng.normal(size=(2, 3))),
        "one": _unit(rng.normal(size=(1, 3))) * np.float32(0.5),
        "repeated": np.repeat(_unit(rng.normal(size=(1, 3))) * np.float32(0.3), 32, axis=0),
        "origin": np.zeros((5, 3), dtype=np.float32),
        "leaving": rng.normal(scale=1.5, size=(150, 3)).astype(np.float32),
        "outside": (rng.normal(scale=0.01, size=(16, 3)) + (5, 3, 7)).astype(np.float32),
    }


def stool(count: int, seed: int = 0) -> np.ndarray:
    """Points in a seat, four legs and a bar between two of them."""
    rng = np.random.default_rng(seed)
    low = np.array([[-0.5, -0.5, 0.3], *((x, y, -0.6) for x in (-0.5, 0.4) for y in (-0.5, 0.4)), [-0.5, -0.05, -0.3]])
    high = np.array([[0.5, 0.5, 0.4], *((x, y, 0.3) for x in (-0.4, 0.5) for y in (-0.4, 0.5)), [0.5, 0.05, -0.2]])
    part = rng.choice(len(low), count, p=[0.5, 0.1, 0.1, 0.1, 0.1, 0.1])
    return rng.uniform(low[part], high[part]).astype(np.float32)


def worst_difference(
    points: np.ndarray, projection: Projection, reference: Callable[..., np.ndarray], device: torch.device | str = "cpu"
) -> float:
    """Largest difference between a projection's map and its reference's; the same pixels must be background."""
    ours = projection.depth(PointBatch.pack([points], device=device))[0].cpu().numpy()
    theirs = reference(points, projection)
    assert np.array_equal(np.isinf(ours), np.isinf(theirs))
    seen = np.isfinite(theirs)
    return float(np.abs(ours[seen] - theirs[seen]).max())
