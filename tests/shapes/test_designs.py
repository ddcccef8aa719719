"""Shape families from the side: wheels below, crowns above, wings beside, blades at the end."""

from __future__ import annotations

import numpy as np
import pytest

from basrelief.geometry import sample_surface
from basrelief.shapes import make_shape
from shapes.laws import extent, slice_extent

SEEDS = (0, 1, 2, 3)


def points(category: str, seed: int, count: int = 3000) -> np.ndarray:
    return np.asarray(sample_surface(make_shape(category, seed=seed), count, seed=seed).points)


def height_shares(category: str, seed: int) -> np.ndarray:
    """Heights of surface points as shares of the whole."""
    z = points(category, seed)[:, 2]
    return np.asarray((z - z.min()) / np.ptp(z))


@pytest.mark.parametrize("category", ["tree", "palm tree", "street light"])
@pytest.mark.parametrize("seed", SEEDS)
def test_crowns_are_wider_than_stems(category: str, seed: int) -> None:
    mesh = make_shape(category, seed=seed)
    assert slice_extent(mesh, 0.6, 1.0).max() > 1.3 * slice_extent(mesh, 0.08, 0.35).min()


@pytest.mark.parametrize("category", ["pine tree", "traffic cone", "rocket"])
@pytest.mark.parametrize("seed", SEEDS)
def test_some_things_taper_upwards(category: str, seed: int) -> None:
    mesh = make_shape(category, seed=seed)
    assert slice_extent(mesh, 0.93, 1.0).max() < 0.9 * slice_extent(mesh, 0.0, 0.5).max()


@pytest.mark.parametrize("category", ["car", "truck", "bus"])
@pytest.mark.parametrize("seed", SEEDS)
def test_wheels_touch_the_ground_at_both_ends(category: str, seed: int) -> None:
    cloud = points(category, seed)
    low = cloud[cloud[:, 2] < cloud[:, 2].min() + 0.06 * np.ptp(cloud[:, 2])]
    span, middle = np.ptp(cloud[:, 0]), (cloud[:, 0].max() + cloud[:, 0].min()) / 2
    assert (low[:, 0] < middle - 0.1 * span).any()
    assert (low[:, 0] > middle + 0.1 * span).any()
    assert (np.abs(low[:, 0] - middle) < 0.04 * span).mean() < 0.5


@pytest.mark.parametrize("seed", SEEDS)
def test_airplanes_are_widest_in_their_middle(seed: int) -> None:
    cloud = points("airplane", seed)
    x = (cloud[:, 0] - cloud[:, 0].min()) / np.ptp(cloud[:, 0])
    ends = np.ptp(cloud[(x < 0.08) | (x > 0.95)][:, 1])
    assert np.ptp(cloud[(x > 0.25) & (x < 0.75)][:, 1]) > 1.2 * ends


@pytest.mark.parametrize("category", ["bicycle", "motorcycle"])
@pytest.mark.parametrize("seed", SEEDS)
def test_two_wheels_are_narrow(category: str, seed: int) -> None:
    size = extent(make_shape(category, seed=seed))
    assert size[1] < 0.6 * size[0]
    assert size[2] > 0.35 * size[0]


@pytest.mark.parametrize("category", ["lamp", "wine glass", "fan", "coat rack", "traffic sign"])
@pytest.mark.parametrize("seed", SEEDS)
def test_things_on_a_stem_are_thin_somewhere(category: str, seed: int) -> None:
    mesh = make_shape(category, seed=seed)
    cloud = points(category, seed)
    z = (cloud[:, 2] - cloud[:, 2].min()) / np.ptp(cloud[:, 2])
    widths = [
        np.ptp(cloud[(z >= low) & (z < low + 0.1)][:, 0]) for low in np.arange(0.1, 0.9, 0.1) if ((z >= low) & (z < low + 0.1)).sum() > 3
    ]
    assert min(widths) < 0.7 * extent(mesh)[0]


@pytest.mark.parametrize("category", ["house", "building", "tower"])
@pytest.mark.parametrize("seed", SEEDS)
def test_buildings_stand_broadly(category: str, seed: int) -> None:
    mesh = make_shape(category, seed=seed)
    assert (slice_extent(mesh, 0.0, 0.05) > 0.5 * extent(mesh)[:2]).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_stairs_rise_along_one_side(seed: int) -> None:
    cloud = points("staircase", seed)
    along = max((0, 1), key=lambda axis: abs(np.corrcoef(cloud[:, axis], cloud[:, 2])[0, 1]))
    assert abs(np.corrcoef(cloud[:, along], cloud[:, 2])[0, 1]) > 0.3


@pytest.mark.parametrize("category", ["bookshelf", "shelf", "dish rack"])
@pytest.mark.parametrize("seed", SEEDS)
def test_shelves_have_boards_at_several_heights(category: str, seed: int) -> None:
    counts = np.histogram(height_shares(category, seed), bins=40)[0]
    assert (counts > 1.5 * np.median(counts)).sum() >= 2


@pytest.mark.parametrize("category", ["bed", "sofa", "armchair"])
@pytest.mark.parametrize("seed", SEEDS)
def test_seats_are_below_the_top(category: str, seed: int) -> None:
    shares = height_shares(category, seed)
    assert 0.15 < np.median(shares) < 0.85


@pytest.mark.parametrize("category", ["mug", "teapot", "pot", "frying pan", "scissors"])
def test_handles_break_the_round(category: str) -> None:
    """Seen from above, something with a handle is no circle: its sides differ, in most designs."""
    sides = [extent(make_shape(category, seed=seed))[:2] for seed in range(10)]
    assert np.mean([max(side) / min(side) > 1.05 for side in sides]) >= 0.5


@pytest.mark.parametrize("category", ["bottle", "vase", "jar", "can", "glass"])
@pytest.mark.parametrize("seed", SEEDS)
def test_vessels_without_a_handle_are_about_round(category: str, seed: int) -> None:
    size = extent(make_shape(category, seed=seed))
    assert size[0] == pytest.approx(size[1], rel=0.6)


@pytest.mark.parametrize("category", ["door", "window", "mirror", "picture frame", "television", "curtain"])
@pytest.mark.parametrize("seed", SEEDS)
def test_upright_sheets_are_thin_from_the_side(category: str, seed: int) -> None:
    size = extent(make_shape(category, seed=seed))
    assert size[1] < 0.6 * max(size[0], size[2])
