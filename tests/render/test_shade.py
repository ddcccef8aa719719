"""Shaded pictures: Phong's formula on known surfaces, colours, background, point clouds, thumbnails."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from basrelief.errors import ConfigError
from basrelief.render.cameras import Viewport, look_at_cameras
from basrelief.render.shade import CLAY, GAMMA, Lighting, render_thumbnail, shade
from basrelief.types import Mesh, PointCloud
from render.mesh_samples import ball, box, centres, from_above, grid_plane, soup, viewport
from support import shared_path

DARK = Lighting(ambient=0, headlight=0, directional=0, specular=0, occlusion=0)
BLACK = (0.0, 0.0, 0.0)
EVEN = Lighting(ambient=1, headlight=0, directional=0, specular=0, occlusion=0)


def only(**strengths: float | tuple[float, float, float] | bool) -> Lighting:
    return Lighting(**{"ambient": 0, "headlight": 0, "directional": 0, "specular": 0, "occlusion": 0} | strengths)  # type: ignore[arg-type]


def painted(mesh: Mesh, color: tuple[float, float, float]) -> Mesh:
    return Mesh(mesh.vertices, mesh.faces, np.tile(np.float32(color), (len(mesh.vertices), 1)))


def linear(picture: torch.Tensor) -> torch.Tensor:
    return picture**GAMMA


# colours


@pytest.mark.parametrize("color", [(1.0, 0.0, 0.0), (0.2, 0.5, 0.8), (0.0, 0.0, 0.0)])
def test_full_even_light_shows_the_colours_as_they_are(color: tuple[float, float, float]) -> None:
    picture = shade(painted(grid_plane(3), color), from_above(8), lighting=EVEN)
    torch.testing.assert_close(picture, torch.tensor(color).expand(1, 8, 8, 3), atol=1e-5, rtol=0)


def test_no_colours_are_clay() -> None:
    picture = shade(grid_plane(3), from_above(8), lighting=EVEN)
    torch.testing.assert_close(picture, torch.tensor(CLAY).expand(1, 8, 8, 3), atol=1e-5, rtol=0)


def test_vertex_colours_blend_linearly_across_a_face() -> None:
    plane = grid_plane(4)
    red = (plane.vertices[:, 1] + 1) / 2  # world +Y is the picture's right
    mesh = Mesh(plane.vertices, plane.faces, np.stack([red, 0 * red, 1 - red], 1).astype(np.float32))
    picture = shade(mesh, from_above(16), lighting=EVEN, supersample=1)[0]
    x, _ = centres(16)
    torch.testing.assert_close(picture[:, :, 0], torch.tensor((x + 1) / 2, dtype=torch.float32), atol=1e-3, rtol=0)


@pytest.mark.parametrize("background", [(1.0, 1.0, 1.0), (0.1, 0.2, 0.3)])
def test_background_fills_what_sees_nothing(background: tuple[float, float, float]) -> None:
    picture = shade(ball(2, radius=0.3), viewport(24), background=background)
    assert picture.shape == (3, 24, 24, 3)
    torch.testing.assert_close(picture[:, 0, 0], torch.tensor(background).expand(3, 3))
    assert not torch.allclose(picture[:, 12, 12], torch.tensor(background).expand(3, 3), atol=0.02)


@pytest.mark.parametrize("shape", [soup(40, seed=0), PointCloud(soup(40, seed=0).vertices)], ids=["mesh", "cloud"])
@pytest.mark.parametrize("distance", [None, 2.0])
def test_pictures_lie_between_black_and_white(shape: Mesh | PointCloud, distance: float | None) -> None:
    picture = shade(shape, viewport(24, distance=distance), lighting=Lighting(ambient=2, specular=3))
    assert picture.dtype == torch.float32
    assert picture.min() >= 0
    assert picture.max() <= 1


# light


def test_no_light_is_black() -> None:
    assert shade(grid_plane(2), from_above(8), lighting=DARK).max() == 0


@pytest.mark.parametrize("tilt", [0.0, 0.5, 1.0])
def test_headlight_falls_off_with_the_cosine(tilt: float) -> None:
    view = Viewport(look_at_cameras([0.0], 90 - math.degrees(tilt)), 8, 0.1)
    picture = shade(painted(grid_plane(2), (1, 1, 1)), view, lighting=only(headlight=0.8))
    torch.testing.assert_close(linear(picture), torch.full((1, 8, 8, 3), 0.8 * math.cos(tilt)), atol=1e-4, rtol=0)


def test_a_light_in_the_world_stays_there_and_one_at_the_camera_turns_with_it() -> None:
    mesh, turns = painted(ball(4), (1, 1, 1)), Viewport(look_at_cameras([0.0, 180.0]), 32)
    for follows, direction in ((False, (1.0, 0.0, 0.0)), (True, (0.0, 0.0, -1.0))):
        light = only(directional=1.0, direction=direction, follows_camera=follows)
        first, second = shade(mesh, turns, lighting=light)[:, 16, 16, 0]
        assert first > 0.98
        assert second == pytest.approx(first.item() if follows else 0.0, abs=0.02)


def test_directional_light_on_a_ball_is_lambert() -> None:
    light = only(directional=1.0, direction=(-3.0, -4.0, -12.0))
    picture = linear(shade(painted(ball(5), (1, 1, 1)), viewport(48), lighting=light, supersample=1))[..., 0]
    x, y = centres(48)
    z = -np.sqrt(np.maximum(0.64 - x**2 - y**2, 0))
    expected = np.maximum((x * -3 + y * -4 + z * -12) / 13 / 0.8, 0)
    inside = x**2 + y**2 < 0.55
    assert np.abs(picture.numpy() - expected)[:, inside].max() < 0.02


def test_highlight_is_phongs() -> None:
    """The mirrored light meets the eye where the normal is half-way between both."""
    light = only(specular=1.0, shininess=40.0, direction=(-1.0, 0.0, -1.0))
    picture = shade(painted(ball(5), (0, 0, 0)), Viewport(look_at_cameras([0.0]), 65), lighting=light, supersample=1, background=BLACK)[
        0, :, :, 0
    ]
    row, column = divmod(int(picture.argmax()), 65)
    assert row == pytest.approx(32, abs=1.5)
    assert (2 * column + 1) / 65 - 1 == pytest.approx(-0.8 * math.sin(math.pi / 8), abs=0.05)
    assert picture.max() > 0.98


def test_shininess_narrows_the_highlight() -> None:
    mesh, view = painted(ball(4), (0, 0, 0)), viewport(48)
    wide, narrow = (shade(mesh, view, lighting=only(specular=1.0, shininess=n), background=BLACK).mean() for n in (5.0, 80.0))
    assert wide > 2 * narrow


@pytest.mark.parametrize("distance", [None, 2.0])
def test_both_sides_are_lit_alike(distance: float | None) -> None:
    mesh, view = painted(ball(3), (0.5, 0.6, 0.7)), viewport(32, distance=distance)
    turned = Mesh(mesh.vertices, mesh.faces[:, ::-1], mesh.colors)
    torch.testing.assert_close(shade(mesh, view), shade(turned, view), atol=1e-4, rtol=0)


def test_folds_are_darker_and_planes_ridges_and_outlines_are_not() -> None:
    """A wall on a floor, seen so that the fold runs along the middle of the picture."""
    floor = np.float32([[0, -2, 0], [0, 2, 0], [4, 2, 0], [4, -2, 0], [0, -2, 4], [0, 2, 4]])
    mesh = painted(Mesh(floor, np.array([[0, 1, 2], [0, 2, 3], [0, 1, 5], [0, 5, 4]])), (1, 1, 1))
    light = only(ambient=0.5, occlusion=0.8)
    fold = linear(shade(mesh, Viewport(look_at_cameras([0.0], 45.0), 64), lighting=light))[0, :, :, 0]
    ridge = linear(shade(mesh, Viewport(look_at_cameras([180.0], -45.0), 64), lighting=light))[0, :, :, 0]
    assert fold[31:33].mean() < 0.35
    assert fold[:20].mean() == pytest.approx(0.5, abs=0.01)
    assert ridge.min() == pytest.approx(0.5, abs=1e-3)
    alone = linear(shade(painted(box(0.6, 0.6, 0.6), (1, 1, 1)), from_above(64), lighting=light))[0, :, :, 0]
    assert alone.min() == pytest.approx(0.5, abs=1e-3)


# smoothing


def test_supersampling_averages_the_edge_and_keeps_the_inside() -> None:
    mesh, view = painted(ball(4), (0, 0, 0)), viewport(32, views=1)
    hard, soft = (shade(mesh, view, lighting=EVEN, supersample=n)[0, :, :, 0] for n in (1, 4))
    assert set(hard.unique().tolist()) == {0.0, 1.0}
    assert len(soft.unique()) > 5
    x, y = centres(32)
    covered = 1 - soft.mean().item()
    assert covered == pytest.approx(math.pi * 0.64 / 4, abs=2e-3)
    assert torch.equal(hard[np.hypot(x, y) < 0.7], soft[np.hypot(x, y) < 0.7])


# point clouds


def test_a_cloud_is_drawn_in_its_colours() -> None:
    points = np.float32([[0, -0.5, 0], [0, 0.5, 0]])
    colored = PointCloud(points, np.float32([[1, 0, 0], [0, 0, 1]]))
    picture = shade(colored, from_above(64), lighting=EVEN)[0]
    torch.testing.assert_close(picture[32, 16], torch.tensor([1.0, 0.0, 0.0]), atol=1e-5, rtol=0)
    torch.testing.assert_close(picture[32, 48], torch.tensor([0.0, 0.0, 1.0]), atol=1e-5, rtol=0)


def test_balls_are_round_under_the_headlight() -> None:
    point = PointCloud(np.zeros((1, 3), np.float32), np.ones((1, 3), np.float32))
    view = Viewport(look_at_cameras([0.0]), 33, 0.08)
    picture = linear(shade(point, view, lighting=only(headlight=1.0), supersample=1, background=(0, 0, 0)))[0, :, :, 0]
    x, y = centres(33)
    expected = np.sqrt(np.maximum(1 - (x**2 + y**2) * (0.08 / 0.06) ** 2, 0))
    assert np.abs(picture.numpy() - expected)[np.hypot(x, y) < 0.6].max() < 0.01


# thumbnails


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("kind", ["mesh", "cloud"])
def test_thumbnails_fill_the_picture_whatever_the_size_and_place(scale: float, kind: str) -> None:
    mesh = ball(3)
    vertices = ((mesh.vertices + np.float32([3, -7, 2])) * scale).astype(np.float32)
    picture = render_thumbnail(Mesh(vertices, mesh.faces) if kind == "mesh" else PointCloud(vertices), size=64)
    assert picture.shape == (64, 64, 3)
    drawn = (picture < 0.99).any(-1)
    assert drawn.any(0).sum() >= 58
    assert drawn.any(1).sum() >= 58
    assert not drawn[0].any()
    assert not drawn[:, -1].any()


def test_stray_vertices_of_no_face_do_not_shrink_the_thumbnail() -> None:
    mesh = ball(3)
    stray = Mesh(np.concatenate([mesh.vertices, np.float32([[90, 90, 90]])]), mesh.faces)
    assert np.array_equal(render_thumbnail(mesh, size=32), render_thumbnail(stray, size=32))


@pytest.mark.parametrize("shape", [PointCloud(np.float32([[5, 5, 5]])), PointCloud(np.zeros((4, 3), np.float32))])
def test_one_place_has_a_thumbnail(shape: PointCloud) -> None:
    picture = render_thumbnail(shape, size=24)
    assert np.isfinite(picture).all()
    assert picture.min() < 0.9


def test_a_plane_seen_edge_on_has_a_thumbnail() -> None:
    assert np.isfinite(render_thumbnail(grid_plane(1), elevation=0.0, size=24)).all()


@pytest.mark.parametrize("name", ["chair", "airplane", "cup"])
def test_thumbnails_of_real_files_show_something(name: str) -> None:
    import trimesh

    file = sorted(shared_path(f"assets/shapes/{name}").glob("*.ply"))[0]
    source = trimesh.load(file, process=False)
    mesh = Mesh(np.asarray(source.vertices, np.float32), np.asarray(source.faces), np.asarray(source.visual.vertex_colors)[:, :3])
    picture = render_thumbnail(mesh, size=96)
    assert 0.05 < (picture < 0.98).any(-1).mean() < 0.95
    assert picture.std() > 0.02


# errors


def test_supersample_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="supersample is 0; it must be at least 1"):
        shade(grid_plane(1), from_above(8), supersample=0)


@pytest.mark.parametrize("name", ["ambient", "headlight", "directional", "specular", "shininess", "occlusion"])
@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_strengths_must_be_numbers_from_zero_up(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{name} is .*; it must be finite and not negative"):
        Lighting(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("direction", [(0.0, 0.0, 0.0), (math.inf, 0.0, 0.0)])
def test_light_must_come_from_somewhere(direction: tuple[float, float, float]) -> None:
    with pytest.raises(ConfigError, match="direction is .*; it must be finite and not zero"):
        Lighting(direction=direction)


@pytest.mark.gpu
@pytest.mark.parametrize("shape", [soup(40, seed=0), PointCloud(soup(40, seed=0).vertices)], ids=["mesh", "cloud"])
def test_cuda_gives_the_picture_of_the_cpu(shape: Mesh | PointCloud) -> None:
    cpu, cuda = shade(shape, viewport(32)), shade(shape, viewport(32), device="cuda")
    assert cuda.is_cuda
    assert ((cpu - cuda.cpu()).abs() > 1e-3).float().mean() < 1e-3


def test_a_background_may_be_a_picture() -> None:
    """It shows where nothing is seen, pixel by pixel, and nowhere else."""
    ground = torch.rand(64, 64, 3, generator=torch.Generator().manual_seed(0))
    whole = shade(soup(6, seed=1), viewport(32), background=ground, supersample=2)
    black, white = (shade(soup(6, seed=1), viewport(32), background=colour, supersample=2) for colour in (BLACK, (1.0, 1.0, 1.0)))
    bare = (white - black).amin(dim=-1) == 1
    small = torch.nn.functional.avg_pool2d(ground.permute(2, 0, 1)[None], 2)[0].permute(1, 2, 0)
    assert 0.05 < float(bare.float().mean()) < 1
    for view in range(len(whole)):
        torch.testing.assert_close(whole[view][bare[view]], small[bare[view]])
        covered = (white[view] - black[view]).amax(dim=-1) == 0
        torch.testing.assert_close(whole[view][covered], black[view][covered])
