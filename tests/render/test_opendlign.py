"""Properties of both projections of OpenDlign: the program's and the one of the paper's text."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import label

from basrelief.errors import ConfigError
from basrelief.render.base import Cameras, PointBatch
from basrelief.render.cameras import look_at_cameras
from basrelief.render.opendlign import OpenDlignProjection, control_image
from basrelief.render.opendlign_paper import OpenDlignPaperProjection
from basrelief.render.plane_filter import PlaneFilter, PlaneGrid
from basrelief.render.rigs import get_rig
from render.maps import make_clouds

Kind = type[OpenDlignProjection] | type[OpenDlignPaperProjection]

PLANES: dict[Kind, dict[str, int]] = {OpenDlignProjection: {}, OpenDlignPaperProjection: {"planes": 24}}
FRONT = look_at_cameras([0.0], 0.0)
"""The eye on world +X: world +Y is right in the picture, world +Z is up."""


@pytest.fixture(params=[OpenDlignProjection, OpenDlignPaperProjection])
def kind(request: pytest.FixtureRequest) -> Kind:
    """Both projections."""
    chosen: Kind = request.param
    return chosen


def draw(kind: Kind, points: Any, device: torch.device | str = "cpu", **options: Any) -> torch.Tensor:
    """Depth (V, H, W) of one cloud."""
    projection = kind(**{"size": 64, **PLANES[kind], **options})
    return projection.depth(PointBatch.pack([np.asarray(points, dtype=np.float32) @ projection.frame.T], device=device))[0]


def board(x: float, y: tuple[float, float], z: tuple[float, float], step: float = 0.01) -> np.ndarray:
    """A dense rectangle that faces +X."""
    across, up = np.meshgrid(np.arange(y[0], y[1], step), np.arange(z[0], z[1], step))
    return np.stack([np.full(across.size, x), across.ravel(), up.ravel()], axis=1)


def test_order_of_points_does_not_matter(kind: Kind, device: torch.device) -> None:
    points = make_clouds(3)["ball"]
    shuffled = np.random.default_rng(0).permutation(points)
    assert torch.equal(draw(kind, points, device), draw(kind, shuffled, device))


def test_repeated_points_do_not_matter(kind: Kind) -> None:
    points = make_clouds(3)["box"]
    assert torch.equal(draw(kind, points), draw(kind, np.concatenate([points, points[::3]])))


def test_clouds_of_different_sizes_in_one_batch(kind: Kind, device: torch.device) -> None:
    clouds = list(make_clouds(5).values())
    projection = kind(size=48)
    together = projection.depth(PointBatch.pack(clouds, device=device))
    apart = torch.cat([projection.depth(PointBatch.pack([cloud], device=device)) for cloud in clouds])
    assert together.shape == (len(clouds), 10, 48, 48)
    assert together.dtype == torch.float32
    assert torch.equal(torch.isinf(together), torch.isinf(apart))
    torch.testing.assert_close(together, apart, atol=1e-6, rtol=0)


def test_batch_that_needs_several_parts(kind: Kind) -> None:
    clouds = [make_clouds(5)["ball"], make_clouds(6)["box"]]
    three = Cameras(get_rig("opendlign-33").rotation[::4])
    projection = kind(rig=three, size=1024 if kind is OpenDlignProjection else 224)
    together = projection.depth(PointBatch.pack(clouds))
    for number, view in ((0, 2), (1, 0), (1, 1)):
        alone = dataclasses.replace(projection, rig=Cameras(three.rotation[view : view + 1])).depth(PointBatch.pack([clouds[number]]))
        torch.testing.assert_close(together[number, view], alone[0, 0], atol=1e-6, rtol=0)


def test_degenerate_clouds_are_defined(kind: Kind, cloud: np.ndarray, device: torch.device) -> None:
    depth = draw(kind, cloud, device)
    seen = torch.isfinite(depth)
    assert not torch.isnan(depth).any()
    assert seen.flatten(1).any(1).all()
    assert torch.equal(depth.flatten(1).amin(1), torch.zeros(10, device=device))
    assert (depth[seen] < 1).all()


def test_background_is_exactly_one_and_the_rest_darker(kind: Kind) -> None:
    projection = kind(size=224, **PLANES[kind])
    depth = projection.depth(PointBatch.pack([make_clouds(1)["sphere"]]))
    image = projection.image(depth)
    assert image.shape == depth.shape
    assert torch.equal(image == 1, torch.isinf(depth))
    assert float(image.min()) == 0
    assert (image == 1).float().mean() > 0.2


def test_near_is_darker_than_far(kind: Kind) -> None:
    depth = draw(kind, np.concatenate([board(0.5, (-0.5, -0.1), (-0.4, 0.4)), board(-0.5, (0.1, 0.5), (-0.4, 0.4))]), rig=FRONT)[0]
    near, far = depth[32, 12:20], depth[32, 44:52]
    assert float(near.max()) < 0.01
    assert float(far.min()) > 0.5


def test_picture_is_upright_and_not_mirrored(kind: Kind) -> None:
    seen = torch.isfinite(draw(kind, [[0, 0, 1], [0, 0, -1], [0, 1, 0.5]], rig=FRONT)[0])
    rows, columns = torch.nonzero(seen, as_tuple=True)
    assert (rows[columns > 40] < 30).all()
    assert (columns > 40).any()
    assert rows.min() < 10


def test_every_rig_view_keeps_world_up(kind: Kind) -> None:
    depth = draw(
        kind,
        np.concatenate([board(0.0, (-0.1, 0.1), (-1, 1), 0.02), [[0.0, 0.6, 0.9], [0.0, -0.6, 0.9], [0.6, 0.0, 0.9], [-0.6, 0.0, 0.9]]]),
    )
    widths = torch.isfinite(depth).sum(2)
    assert (widths[:, :24].amax(1) > widths[:, 40:].amax(1)).all()


def test_place_and_scale_do_not_matter(kind: Kind) -> None:
    points = (make_clouds(2)["ball"] * 1024).round() / 1024
    here, there = draw(kind, points).clamp(max=1), draw(kind, points * 4 + 8).clamp(max=1)
    assert ((here - there).abs() > 1e-5).float().mean() < 2e-3  # rounding may put a point into the next voxel


@pytest.mark.parametrize("points_per_bar", [400, 2000])
def test_gaps_between_bars_stay_open(kind: Kind, points_per_bar: int) -> None:
    """Six bars as wide as the gaps; the 7x7 maximum takes 3 pixels from each side of a gap, the program's filter 2 more."""
    rng = np.random.default_rng(0)
    bars = [rng.uniform((-0.02, y, -0.5), (0.02, y + 1 / 11, 0.5), (points_per_bar, 3)) for y in np.arange(6) * 2 / 11]
    depth = draw(kind, np.concatenate(bars), size=224, rig=look_at_cameras([0.0, 20.0], [0.0, 20.0]))
    row = torch.isinf(depth[0, 100:125]).all(0).numpy()
    spans, count = label(row)
    assert count == 7
    widths = np.bincount(spans)[2:-1]
    expected = 224 * kind.ratio / 11 - (10 if kind is OpenDlignProjection else 6)
    assert (np.abs(widths - expected) <= 1.5).all()
    assert label(torch.isinf(depth[1, 112]).numpy())[1] == 7


def test_median_takes_away_specks_and_fills_pinholes(kind: Kind) -> None:
    depth = torch.full((1, 1, 32, 32), torch.inf)
    depth[..., 16:, :] = 0.5
    expected = depth.clamp(max=1)
    depth[..., 5:8, 10:13] = 0.2
    depth[..., 24, 20] = torch.inf
    image = kind(size=32, median=True).image(depth)
    assert torch.equal(image[..., :28, 4:28], expected[..., :28, 4:28])


def test_farthest_point_is_not_background(kind: Kind) -> None:
    ahead = board(0.5, (-0.5, 0.0), (-0.5, 0.5))
    depth = draw(kind, np.concatenate([ahead, [[-0.5, 0.3, 0.0]]]), rig=FRONT, bias=0.01)[0]
    assert 0.9 < float(depth[torch.isfinite(depth)].max()) < 1


def test_control_image_is_bright_near() -> None:
    image = torch.tensor([[0.0, 0.1], [0.5, 1.0]])
    torch.testing.assert_close(control_image(image), torch.tensor([[1.0, 0.9], [0.5, 0.0]]))
    torch.testing.assert_close(control_image(image, reading="reciprocal"), torch.tensor([[1.0, 1.0], [1 / 9, 0.0]]))
    torch.testing.assert_close(control_image(image, reading="reciprocal", floor=0.5), torch.tensor([[1.0, 1.0], [1.0, 0.0]]))


def test_control_image_refuses() -> None:
    with pytest.raises(
        ConfigError, match=r"^Unknown reading 'reciprocl'; expected one of complement, reciprocal\. Did you mean 'reciprocal'\?$"
    ):
        control_image(torch.zeros(2, 2), reading="reciprocl")
    for floor in (0.0, 1.0, float("nan")):
        with pytest.raises(ConfigError, match=r"^floor is .*; it must lie between 0 and 1\. Leave it out for 0\.1\.$"):
            control_image(torch.zeros(2, 2), floor=floor)


def test_one_point_is_a_dot_with_a_rim() -> None:
    for points in ([[0.3, -0.2, 5.0]], [[0.3, -0.2, 5.0]] * 9):
        depth = draw(OpenDlignProjection, points)
        assert torch.equal(torch.isfinite(depth).sum((1, 2)), torch.full((10,), 11 * 11 - 4 * 3))  # corners are farther than 2 away
        torch.testing.assert_close(depth[:, 31:34, 31:34], torch.zeros(10, 3, 3), atol=1e-6, rtol=0)
        assert (depth[:, 28, 33] > 0.5).all()


def test_sheet_seen_edge_on_is_a_line() -> None:
    """Rounding may spread its points over two columns, no more."""
    across, up = np.meshgrid(np.linspace(-1, 1, 40), np.linspace(-1, 1, 40))
    depth = draw(OpenDlignProjection, np.stack([across.ravel(), np.zeros(1600), up.ravel()], axis=1), rig=FRONT, size=224)
    columns = torch.isfinite(depth[0]).any(0).sum()
    assert 11 <= int(columns) <= 12


def test_silhouettes_grow_by_two_pixels_more_than_on_paper() -> None:
    points = board(0.0, (-0.5, 0.5), (-0.5, 0.5))
    ours = torch.isfinite(draw(OpenDlignProjection, points, rig=FRONT, ratio=0.8)[0])
    paper = torch.isfinite(draw(OpenDlignPaperProjection, points, rig=FRONT, ratio=0.8)[0])
    assert int(ours[32].sum()) == int(paper[32].sum()) + 4


def test_straight_edges_have_the_recorded_heights() -> None:
    """Values one pixel inside an edge, on it, and one and two outside, of a half plane of one height."""
    expected = {6: (5.954, 5.736, 0.264, 0.046), 4: (3.895, 3.445, 0.555, 0.105), 2: (1.892, 1.490, 0.510, 0.108)}
    for height, values in expected.items():
        grid = PlaneGrid.empty((height, 0, 0), (height, 30, 0), 1, torch.device("cpu"))
        row, zero = torch.arange(31, dtype=torch.int32), torch.zeros(31, dtype=torch.int32)
        grid.put(zero, torch.stack([zero + height, row, zero]), torch.full((31,), float(height)))
        across = PlaneFilter(6, 2.823).squeeze(grid)[0, 20]  # two pixels of margin, then seven of the plane
        np.testing.assert_allclose(across[[3, 2, 1, 0]], values, atol=6e-4)


def test_rig_of_the_program() -> None:
    cameras = get_rig("opendlign-original")
    np.testing.assert_allclose((cameras.azimuth + 90) % 360, np.arange(30, 301, 30), atol=1e-3)
    np.testing.assert_allclose(cameras.elevation, [20] * 9 + [12], atol=1e-3)


@pytest.mark.parametrize(
    ("option", "value"),
    [("size", 7), ("planes", 2), ("planes", 25), ("ratio", 0.0), ("ratio", 1.01), ("bias", -1.0), ("sigma", 0.0), ("sigma", float("nan"))],
)
def test_options_out_of_range(option: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"^{option} is {value}; it must lie in \[.*\]\. Leave it out for the default\.$"):
        OpenDlignProjection(**{option: value})


def test_projection_describes_itself() -> None:
    projection = OpenDlignProjection(size=96)
    assert (projection.name, projection.size, projection.image_size, projection.background) == ("opendlign", 96, 96, 1.0)
    assert np.array_equal(projection.frame @ [0, 0, 1], [0, 1, 0])
    assert OpenDlignProjection().size == 224
    assert not OpenDlignProjection().median


def test_memory_stays_bounded_for_many_clouds() -> None:
    """A thousand clouds are drawn in parts, of which each has a bounded grid."""
    sizes: list[int] = []
    projection = OpenDlignProjection(size=32)
    original = PlaneGrid.empty

    clouds = [make_clouds(0)["ball"][:20]] * 1000
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PlaneGrid, "empty", lambda *a: sizes.append((found := original(*a)).values.numel()) or found)
        projection.depth(PointBatch.pack(clouds))
    assert len(sizes) > 10
    assert max(sizes) <= 2**23
