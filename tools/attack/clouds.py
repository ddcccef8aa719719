"""Clouds of points that a scan should not be: degenerate, enormous, tiny, far away, or made to defeat grids, samples and segmentation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

import numpy as np

Cloud = Callable[[np.random.Generator], np.ndarray]


def room(rng: np.random.Generator, count: int = 12_000) -> np.ndarray:
    """Points of a floor, two walls and six boxes, metres."""
    corners = rng.uniform((0.3, 0.3, 0), (4, 3, 0), (6, 3))
    sizes = rng.uniform((0.3, 0.3, 0.4), (0.9, 0.9, 1.2), (6, 3))
    lows = np.concatenate([[(0, 0, -0.01), (0, 0, 0), (0, 0, 0)], corners])
    spans = np.concatenate([[(5, 4, 0.01), (5, 0.01, 2.5), (0.01, 4, 2.5)], sizes])
    of = rng.integers(0, len(lows), count)
    points = rng.uniform(0, 1, (count, 3))
    axis = rng.integers(0, 3, count)
    points[np.arange(count), axis] = points[np.arange(count), axis].round()
    placed: np.ndarray = (lows[of] + points * spans[of]).astype(np.float32)
    return placed


def _with(extra: Callable[[np.random.Generator], np.ndarray]) -> Cloud:
    return lambda rng: np.concatenate([room(rng), extra(rng)])


def _far_share(share: float, distance: float) -> Cloud:
    """A share of the points of a room, moved away in all directions."""

    def make(rng: np.random.Generator) -> np.ndarray:
        points = room(rng).astype(np.float64)
        far = rng.random(len(points)) < share
        points[far] = rng.uniform(-distance, distance, (int(far.sum()), 3))
        return points

    return make


def _two_rooms(distance: float) -> Cloud:
    return lambda rng: np.concatenate([room(rng), room(rng) + np.float32(distance)])


def _between_samples(rng: np.random.Generator) -> np.ndarray:
    """A room at every row that a sample of some hundred thousand would look at, noise over a kilometre between."""
    points = rng.uniform(-1000, 1000, (700_001, 3))
    points[::2] = room(rng, 350_001)
    return points


def _directions(rng: np.random.Generator, count: int) -> np.ndarray:
    points = rng.normal(size=(count, 3))
    unit: np.ndarray = points / np.linalg.norm(points, axis=1, keepdims=True)
    return unit


def _slanted(rng: np.random.Generator) -> np.ndarray:
    ground = rng.uniform(0, 5, (30_000, 2))
    return np.column_stack([ground, ground @ (0.7, -0.4)])


def _all_scales(rng: np.random.Generator) -> np.ndarray:
    points: np.ndarray = _directions(rng, 20_000) * 10.0 ** rng.uniform(-12, 9, (20_000, 1))
    return points


def _plates(rng: np.random.Generator) -> np.ndarray:
    """Thousands of level plates that things may stand on."""
    corners = np.stack(np.meshgrid(np.arange(20), np.arange(20), np.arange(14), indexing="ij"), axis=-1).reshape(-1, 3) * (0.55, 0.55, 0.25)
    plate = np.stack(np.meshgrid(np.arange(10), np.arange(10), [0], indexing="ij"), axis=-1).reshape(-1, 3) * 0.04
    points: np.ndarray = (corners[:, None] + plate).reshape(-1, 3)
    return rng.permutation(points)


def _blobs(rng: np.random.Generator) -> np.ndarray:
    return (rng.uniform(0, 11, (15_000, 1, 3)) + rng.normal(0, 0.05, (15_000, 40, 3))).reshape(-1, 3)


def _noise(count: int, *sides: float) -> Cloud:
    return lambda rng: rng.uniform(0, sides, (count, 3))


def _walls(rng: np.random.Generator) -> np.ndarray:
    """Eighty parallel walls."""
    points = rng.uniform(0, (8, 5, 2.5), (80_000, 3))
    points[:, 0] = np.floor(points[:, 0] * 10) / 10
    return points


def _lattice(_rng: np.random.Generator) -> np.ndarray:
    points: np.ndarray = np.stack(np.meshgrid(*[np.arange(40) * 0.08] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    return points


def _star(rng: np.random.Generator) -> np.ndarray:
    """A large plane that thousands of small things touch."""
    plane = rng.uniform(0, (10, 10, 0), (150_000, 3))
    things = rng.uniform(0, (10, 10, 0), (5000, 1, 3)) + rng.uniform(0, (0.1, 0.1, 0.4), (5000, 25, 3))
    return np.concatenate([plane, things.reshape(-1, 3)])


CLOUDS: Mapping[str, Cloud] = MappingProxyType(
    {
        "empty": lambda _: np.zeros((0, 3)),
        "ten points": lambda rng: rng.random((10, 3)),
        "not a number": lambda _: np.full((5000, 3), np.nan),
        "infinite": lambda _: np.full((5000, 3), np.inf),
        "half not finite": lambda rng: np.where(rng.random((12_000, 3)) < 0.2, np.nan, room(rng)),
        "one axis not finite": lambda rng: room(rng) * (1, 1, np.inf),
        "extent 1e30": lambda rng: room(rng) * 1e30,
        "extent 1e38": lambda rng: room(rng) * 1e37,
        "extent 1e300": lambda rng: room(rng).astype(np.float64) * 1e300,
        "extent 1e-30": lambda rng: room(rng).astype(np.float64) * 1e-30,
        "denormal": lambda rng: room(rng) * np.float32(1e-40),
        "one place": lambda _: np.full((50_000, 3), 1.25),
        "origin": lambda _: np.zeros((50_000, 3)),
        "two places": lambda rng: np.where(rng.random((20_000, 1)) < 0.5, 0.0, 3.0) * np.ones(3),
        "plane": lambda rng: rng.uniform(0, (5, 4, 0), (30_000, 3)),
        "slanted plane": _slanted,
        "line": lambda rng: rng.uniform(0, 5, (30_000, 1)) * (1, 2, 3),
        "thick line": lambda rng: rng.uniform(0, 5, (30_000, 1)) * (1, 2, 3) + rng.normal(0, 1e-4, (30_000, 3)),
        "sphere": lambda rng: _directions(rng, 30_000),
        "duplicates": lambda rng: np.repeat(room(rng, 500), 200, axis=0),
        "two million at one place": _with(lambda _: np.full((2_000_000, 3), 1.0, dtype=np.float32)),
        "far and tiny": lambda rng: room(rng).astype(np.float64) * 1e-6 + 1e6,
        "survey": lambda rng: room(rng).astype(np.float64) + (4.5e5, 5.4e6, 300),
        "two points 1e9 apart": _with(lambda _: np.array([(-5e8, 0, 0), (5e8, 0, 0)])),
        "two points 1e14 apart": _with(lambda _: np.array([(-5e13, 0, 0), (5e13, 0, 1e13)])),
        "two points 1e30 apart": _with(lambda _: np.array([(-5e29, 0, 0), (5e29, 0, 1e29)])),
        "some points far away": _far_share(0.004, 1e9),
        "many points far away": _far_share(0.03, 1e9),
        "many points very far away": _far_share(0.1, 1e14),
        "many points a kilometre away": _far_share(0.03, 1000),
        "two rooms 70 m apart": _two_rooms(40),
        "two rooms a kilometre apart": _two_rooms(600),
        "two rooms 1e6 apart": _two_rooms(1e6),
        "long diagonal": lambda rng: rng.uniform(0, 79, (60_000, 1)) * (1, 1, 1) + rng.normal(0, 0.05, (60_000, 3)),
        "wide plain": _noise(200_000, 79, 79, 0.02),
        "wide plain of centimetres": _noise(200_000, 1499, 1499, 2),
        "wide plain of millimetres": _noise(200_000, 1e6, 1e6, 2),
        "noise": _noise(30_000, 5, 4, 2.5),
        "dense noise": _noise(200_000, 5, 4, 2.5),
        "wide noise": _noise(500_000, 11.9, 11.9, 11.9),
        "noise by tile": _noise(400_000, 60, 60, 3),
        "needle": _noise(30_000, 1e-9, 1e-9, 79),
        "heavy tails": lambda rng: rng.standard_cauchy((30_000, 3)),
        "all scales": _all_scales,
        "between samples": _between_samples,
        "plates": _plates,
        "blobs": _blobs,
        "walls": _walls,
        "lattice": _lattice,
        "star": _star,
    }
)
"""Makers of clouds by name; each is called with a generator of random numbers."""


def odd_arrays(rng: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    """Yield arrays of the wrong type or shape, by name."""
    points = room(rng, 3000)
    yield "half precision", points.astype(np.float16)
    yield "bytes", (points * 50).astype(np.uint8)
    yield "large integers", (points * 1e15).astype(np.int64)
    yield "truths", points > 1
    yield "complex", points.astype(np.complex64)
    yield "text", points[:100].astype("U20")
    yield "transposed", np.asfortranarray(points.T)
    yield "flat", points.ravel()
    yield "two columns", points[:, :2]
    yield "forty columns", np.tile(points, 14)[:, :40]
    yield "a batch", points.reshape(2, -1, 3)
    yield "scalar", np.array(3.0)


def changed(rng: np.random.Generator) -> np.ndarray:
    """Return a room after a few random changes of scale, place, number and order."""
    points = room(rng, int(10 ** rng.uniform(2.3, 4.3))).astype(np.float64)
    changes = (_scaled, _moved, _stretched, _repeated, _scattered, _snapped, _halved, _thrown, _poisoned, _turned)
    for number in rng.integers(0, len(changes), rng.integers(1, 5)):
        with np.errstate(all="ignore"):
            points = changes[int(number)](points, rng)
    small = np.abs(points[np.isfinite(points)]).max(initial=0) < 1e38
    return points.astype(np.float32) if small and rng.random() < 0.5 else points


def _scaled(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return points * 10 ** rng.uniform(-9, 9)


def _moved(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return points + rng.normal(size=3) * 10 ** rng.uniform(-3, 12)


def _stretched(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return points * 10 ** rng.uniform(-6, 3, 3) * (rng.random(3) < 0.9)


def _repeated(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return points[np.minimum(rng.geometric(0.01, len(points)), len(points)) - 1] if len(points) else points


def _scattered(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    far = rng.random(len(points)) < 10 ** rng.uniform(-4, 0)
    return points + far[:, None] * rng.standard_cauchy(points.shape) * 10 ** rng.uniform(-2, 6)


def _snapped(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    step = 10 ** rng.uniform(-3, 0.5)
    return np.round(points / step) * step


def _halved(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return points[points[:, rng.integers(3)] <= np.median(points[:, 0])] if len(points) else points


def _thrown(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.concatenate([points, rng.normal(size=(rng.integers(1, 400), 3)) * 10 ** rng.uniform(0, 14)])


def _poisoned(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.where(rng.random(points.shape) < 10 ** rng.uniform(-4, -1), rng.choice([np.nan, np.inf, -np.inf, 1e300]), points)


def _turned(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    turned: np.ndarray = points @ np.linalg.qr(rng.normal(size=(3, 3)))[0]
    return turned
