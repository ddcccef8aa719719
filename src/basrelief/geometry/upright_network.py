"""The upright network in NumPy: which of the six axes of a shape points up, from depth pictures of its six sides.

`basrelief.models.upright` holds the same network in torch, which trains it; both read one file of weights, and tests compare their scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import resources
from itertools import product
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Int

from basrelief.geometry.transforms import UP_AXES, rotation_to_z_up

SIDE = 96
"""Pixels of a picture's side."""

RADIUS = 0.05
"""Radius of a point's disc; the shape has radius 1."""

WEIGHTS = Path(str(resources.files("basrelief.geometry"))) / "upright.safetensors"
"""Weights of the network."""

_BLOCKS, _GROUPS, _CELLS = 3, 8, 3
_REACH = 2  # pixels from the middle of a disc to the edge of its window
_EPSILON = 1e-5
_GELU = (2 / np.pi) ** 0.5


def face_rotations() -> Float32[np.ndarray, "6 3 3"]:
    """Return the rotations from the world (+Z up) to the cameras (OpenCV): four sides, top, bottom."""
    sides = [[[-np.sin(a), np.cos(a), 0], [0, 0, -1], [-np.cos(a), -np.sin(a), 0]] for a in np.radians([0, 90, 180, 270])]
    top = [[1, 0, 0], [0, -1, 0], [0, 0, -1]]
    bottom = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    return np.array([*sides, top, bottom], dtype=np.float32)


def axis_scores(points: Float[np.ndarray, "points 3"], axes: Sequence[int] = range(6)) -> Float32[np.ndarray, " axes"]:
    """Score axes of a shape as its up axis; a softmax gives probabilities.

    Args:
        points: In the unit sphere about their mean; some 2,048, as in training.
        axes: Positions in `UP_AXES` of the axes to score.

    Returns:
        One number for each of them, larger is more upright.
    """
    cameras, picture, turns = _cameras()
    faces = _depth_pictures(points, cameras)
    turned = np.stack([np.rot90(faces, k, axes=(1, 2)) for k in range(4)])
    return np.array([_score(turned[turns[axis], picture[axis]]) for axis in axes], dtype=np.float32)  # one at a time stays in the cache


@lru_cache(maxsize=1)
def _cameras() -> tuple[Float32[np.ndarray, "6 3 3"], Int[np.ndarray, "6 6"], Int[np.ndarray, "6 6"]]:
    """Return six cameras along the axes, and for each candidate and picture its camera and the quarter turns of the image."""
    cameras: list[np.ndarray] = []
    picture, turns = np.zeros((6, 6), dtype=np.int64), np.zeros((6, 6), dtype=np.int64)
    for (i, up), (j, face) in product(enumerate(UP_AXES), enumerate(face_rotations())):
        camera = np.round(face @ rotation_to_z_up(up)).astype(np.float32)
        same = [k for k, other in enumerate(cameras) if np.array_equal(other[2], camera[2])]
        if not same:
            cameras.append(camera)
        picture[i, j] = same[0] if same else len(cameras) - 1
        right, down = cameras[picture[i, j]][:2]
        turns[i, j] = next(k for k, axis in enumerate((right, down, -right, -down)) if np.array_equal(axis, camera[0]))
    return np.stack(cameras), picture, turns


def _depth_pictures(points: np.ndarray, cameras: np.ndarray) -> Float32[np.ndarray, "cameras side side"]:
    """Draw discs, the nearest last: 1 is nearest, 0.2 farthest, 0 nothing."""
    step = np.arange(-_REACH, _REACH + 1)
    pictures = np.zeros((len(cameras), SIDE * SIDE), dtype=np.float32)
    for picture, camera in zip(pictures, cameras, strict=True):
        x, y, z = camera @ np.asarray(points, dtype=np.float32).T
        order = np.argsort(-z, kind="stable")
        (column, dx2), (row, dy2) = _window(x[order], step), _window(y[order], step)
        covered = dy2[:, :, None] + dx2[:, None, :] < np.float32(RADIUS) ** 2
        pixel = row[:, :, None] * SIDE + column[:, None, :]
        value = np.broadcast_to((np.float32(0.6) - np.float32(0.4) * z[order])[:, None, None], pixel.shape)
        picture[pixel[covered]] = value[covered]
    return pictures.reshape(-1, SIDE, SIDE)


def _window(position: np.ndarray, step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels of each disc's window along one axis, and their squared distances to its middle."""
    middle = np.round((position + 1) * np.float32(SIDE / 2) - np.float32(0.5)).clip(_REACH, SIDE - 1 - _REACH).astype(np.int64)
    pixel = middle[:, None] + step
    centre = ((2 * pixel + 1 - SIDE) / SIDE).astype(np.float32)
    return pixel, (centre - position[:, None]) ** 2


@lru_cache(maxsize=1)
def _weights() -> Mapping[str, np.ndarray]:
    from safetensors.numpy import load_file

    return {name: array.astype(np.float32) for name, array in load_file(WEIGHTS).items()}


def _score(images: Float32[np.ndarray, "6 side side"]) -> float:
    """Apply the network to the six pictures of one candidate; see `basrelief.models.upright.UprightNet`."""
    w = _weights()
    kind = w["kind"][[0, 0, 0, 0, 1, 2], None, None, :, 0, 0]
    x = _gelu(_convolve(images[..., None], w["first.weight"], w["first.bias"]) + kind)
    for i in range(_BLOCKS):
        block = f"blocks.{i}"
        x = _convolve(x, w[f"{block}.0.weight"], w[f"{block}.0.bias"])
        x = _gelu(_normalise(x, w[f"{block}.1.weight"], w[f"{block}.1.bias"]))
        x = _gelu(_convolve_each(x, w[f"{block}.3.weight"], w[f"{block}.3.bias"]))
    n, side, _, width = x.shape
    cell = side // _CELLS
    pooled = x.reshape(n, _CELLS, cell, _CELLS, cell, width).mean(axis=(2, 4)).transpose(0, 3, 1, 2).reshape(n, -1)
    features = _gelu(pooled @ w["pool.weight"].T + w["pool.bias"])
    joined = np.concatenate([features[:4].mean(axis=0), features[:4].max(axis=0), features[4], features[5]])
    hidden = _gelu(joined @ w["head.0.weight"].T + w["head.0.bias"])
    return float((hidden @ w["head.3.weight"].T + w["head.3.bias"])[0])


def _convolve(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Convolve (n, h, w, c) by 3 x 3 with stride 2 and a border of one zero."""
    n, height, width, channels = x.shape
    padded = np.zeros((n, height + 2, width + 2, channels), dtype=np.float32)
    padded[:, 1:-1, 1:-1] = x
    columns = np.empty((n, height // 2, width // 2, 9, channels), dtype=np.float32)
    for tap, (i, j) in enumerate(product(range(3), range(3))):
        columns[:, :, :, tap] = padded[:, i : i + height : 2, j : j + width : 2]
    matrix = weight.transpose(2, 3, 1, 0).reshape(9 * channels, -1)
    out: np.ndarray = columns.reshape(-1, 9 * channels).dot(matrix).reshape(n, height // 2, width // 2, -1) + bias
    return out


def _convolve_each(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Convolve each channel of (n, h, w, c) by its own 3 x 3 with a border of one zero."""
    n, height, width, channels = x.shape
    padded = np.zeros((n, height + 2, width + 2, channels), dtype=np.float32)
    padded[:, 1:-1, 1:-1] = x
    total: np.ndarray = np.zeros_like(x) + bias
    for i, j in product(range(3), range(3)):
        total += padded[:, i : i + height, j : j + width] * weight[:, 0, i, j]
    return total


def _normalise(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    n, height, width, channels = x.shape
    grouped = x.reshape(n, height * width, _GROUPS, channels // _GROUPS)
    mean, variance = grouped.mean(axis=(1, 3), keepdims=True), grouped.var(axis=(1, 3), keepdims=True)
    out: np.ndarray = ((grouped - mean) / np.sqrt(variance + _EPSILON)).reshape(x.shape) * weight + bias
    return out


def _gelu(x: np.ndarray) -> np.ndarray:
    """Return GELU by its tanh form, which NumPy computes several times faster than erf; it differs by less than 0.001."""
    inner: np.ndarray = x * x
    inner *= np.float32(0.044715 * _GELU)
    inner += np.float32(_GELU)
    inner *= x
    np.tanh(inner, out=inner)
    inner += np.float32(1)
    inner *= x
    inner *= np.float32(0.5)
    return inner
