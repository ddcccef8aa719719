"""Textures in pictures: per pixel, at the right resolution, with holes where alpha says so."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from basrelief.appearance import Appearance, Material
from basrelief.geometry.appearance import linear_from_srgb, srgb_from_linear, surface_colors
from basrelief.render.cameras import Viewport, look_at_cameras
from basrelief.render.mesh import rasterize_mesh
from basrelief.render.shade import LIGHTINGS, Lighting, shade
from basrelief.render.textures import MaterialTable, SurfaceTable
from basrelief.types import Mesh
from render.mesh_samples import ball, from_above, soup, viewport
from render.textured import checks, dressed, joined, noise, several_materials, sheet

EVEN = Lighting(ambient=1, headlight=0, directional=0, specular=0, occlusion=0)
BLACK = (0.0, 0.0, 0.0)


def test_points_have_the_colours_of_the_reference() -> None:
    mesh = dressed(soup(60, seed=0), *several_materials())
    assert mesh.appearance is not None
    rng = np.random.default_rng(1)
    faces, weights = rng.integers(0, 60, 5000), rng.dirichlet((1, 1, 1), 5000)
    expected = surface_colors(mesh, faces, weights)
    found = SurfaceTable(mesh, mesh.appearance, "cpu").light(torch.tensor(faces), torch.tensor(weights), torch.zeros(5000)).numpy()
    np.testing.assert_allclose(found[:, 3], expected[:, 3], atol=1e-5)
    np.testing.assert_allclose(srgb_from_linear(found[:, :3]), expected[:, :3], atol=1e-4)


def test_a_texture_is_drawn_pixel_by_pixel() -> None:
    """One texel for one pixel, on two faces: colours of vertices could not show it."""
    texture = noise(32, 32, alpha=False)
    picture = shade(sheet(0, Material(texture=texture)), from_above(32), lighting=EVEN, supersample=1)[0]
    np.testing.assert_allclose(picture.numpy(), texture[..., :3] / 255, atol=2e-3)


def test_fine_patterns_become_their_mean_and_not_noise() -> None:
    for repeats in (1, 8, 40.37):
        pattern = sheet(0, Material(texture=checks(32, 64)), repeats=repeats)
        picture = shade(pattern, from_above(16), lighting=EVEN, supersample=2)[0].numpy()
        assert np.abs(picture - 0.5).max() < 0.25
        assert picture.std() < 0.06


def test_levels_halve_to_one_texel_and_hidden_texels_lend_no_colour() -> None:
    texture = np.zeros((4, 6, 4), np.uint8)
    texture[:, ::2] = (200, 100, 0, 255)
    looks = [
        Appearance((Material(texture=texture, cutoff=cutoff),), np.zeros(1, np.int32), np.zeros((3, 2), np.float32)) for cutoff in (0, 0.5)
    ]
    plain, masked = (MaterialTable.of(look) for look in looks)
    assert plain.width[0].tolist() == [6, 3, 2, 1]
    assert plain.height[0].tolist() == [4, 2, 1, 1]
    assert plain.levels.tolist() == [4]
    assert plain.texels[plain.first[0, 1]].tolist() == [100, 50, 0, 255]
    assert np.abs(masked.texels[masked.first[0, 1]].astype(int) - [200, 100, 0, 128]).max() <= 1
    assert MaterialTable.of(looks[0]) is plain


def leaf(side: int = 16) -> np.ndarray:
    """A red disc on transparent green."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    disc = np.hypot(x, y) < side * 0.35
    return np.where(disc[..., None], np.uint8([255, 0, 0, 255]), np.uint8([0, 255, 0, 0]))


def test_what_is_behind_a_masked_leaf_shows() -> None:
    behind = sheet(-0.5, Material((0.0, 0.0, 1.0, 1.0)))
    mesh = joined(sheet(0, Material(texture=leaf(), cutoff=0.5)), behind)
    assert mesh.appearance is not None
    look = dataclasses.replace(mesh.appearance, material_ids=mesh.appearance.material_ids[::-1])
    for order in (mesh, Mesh(mesh.vertices, mesh.faces[::-1], appearance=look)):
        picture = shade(order, from_above(32), lighting=EVEN, supersample=1)[0].numpy()
        np.testing.assert_allclose(picture[16, 16], [1, 0, 0], atol=1e-3)
        np.testing.assert_allclose(picture[2, 2], [0, 0, 1], atol=1e-3)
        assert picture[..., 1].max() < 0.01


def test_a_hole_shows_the_background_from_both_sides() -> None:
    mesh = sheet(0, Material(texture=leaf(), cutoff=0.5))
    turned = Mesh(mesh.vertices, mesh.faces[:, ::-1], appearance=mesh.appearance)
    for each in (mesh, turned):
        raster = rasterize_mesh(each, from_above(32))
        assert raster.item[0, 16, 16] >= 0
        assert raster.item[0, 2, 2] == -1
        assert raster.depth[0, 2, 2] == torch.inf
    assert (rasterize_mesh(sheet(0, Material(texture=leaf())), from_above(32)).item >= 0).all()


@pytest.mark.parametrize(("color", "tint", "drawn"), [(0.4, 1.0, False), (0.6, 1.0, True), (1.0, 0.4, False), (0.8, 0.8, True)])
def test_the_cutoff_is_of_texture_times_factor_times_tint(color: float, tint: float, drawn: bool) -> None:
    mesh = sheet(0, Material((1, 1, 1, color), noise(2, 2, alpha=False), cutoff=0.5))
    assert mesh.appearance is not None
    look = dataclasses.replace(mesh.appearance, tints=np.tile(np.float32([1, 1, 1, tint]), (4, 1)))
    raster = rasterize_mesh(dataclasses.replace(mesh, appearance=look), from_above(8))
    assert bool((raster.item >= 0).all()) is drawn
    assert bool((raster.item < 0).all()) is not drawn


@pytest.mark.parametrize("distance", [None, 2.0])
def test_textures_stay_on_the_surface_in_perspective(distance: float | None) -> None:
    """A texture that holds world coordinates."""
    ramp = np.linspace(0, 255, 256).round().astype(np.uint8)
    texture = np.dstack(
        [np.tile(ramp, (256, 1)), np.tile(ramp[::-1, None], (1, 256)), np.zeros((256, 256), np.uint8), np.full((256, 256), 255, np.uint8)]
    )
    mesh = sheet(0, Material(texture=texture, wrap=("clamp", "clamp")))
    view = viewport(64, distance=distance)
    raster = rasterize_mesh(mesh, view)
    seen = raster.seen
    origin, direction = view.rays(seen)
    place = (origin + direction * raster.depth[tuple(seen.T)][:, None]).numpy()
    picture = shade(mesh, view, lighting=EVEN, supersample=1)[tuple(seen.T)].numpy()
    inside = np.abs(place[:, :2]).max(1) < 0.95
    assert inside.sum() > 500
    assert np.abs(picture[inside, 0] - (place[inside, 1] + 1) / 2).max() < 0.03
    assert np.abs(picture[inside, 1] - (1 - place[inside, 0]) / 2).max() < 0.03


def test_both_sides_show_the_texture_and_are_lit_alike() -> None:
    mesh = dressed(ball(3), Material(texture=noise(8, 8, alpha=False)), tinted=False)
    turned = Mesh(mesh.vertices, mesh.faces[:, ::-1], appearance=mesh.appearance)
    torch.testing.assert_close(shade(mesh, viewport(32)), shade(turned, viewport(32)), atol=1e-4, rtol=0)


def test_a_plain_white_appearance_is_white_and_not_clay() -> None:
    picture = shade(sheet(0, Material()), from_above(8), lighting=EVEN)
    torch.testing.assert_close(picture, torch.ones(1, 8, 8, 3), atol=1e-3, rtol=0)


def test_half_covered_pixels_have_the_mean_light_of_texels() -> None:
    """The mean of black and white is that of their light."""
    picture = shade(sheet(0, Material(texture=checks(2, 2))), from_above(1), lighting=EVEN, supersample=1)[0, 0, 0].numpy()
    np.testing.assert_allclose(linear_from_srgb(picture), 0.5, atol=0.3)


@pytest.mark.parametrize("distance", [None, 2.2])
def test_turning_shape_and_camera_together_changes_nothing(distance: float | None) -> None:
    mesh = dressed(soup(40, seed=5), *several_materials())
    quarter = np.float32([[0, -1, 0], [1, 0, 0], [0, 0, 1]])
    turned = dataclasses.replace(mesh, vertices=mesh.vertices @ quarter.T)
    pictures = [
        shade(shape, Viewport(look_at_cameras([azimuth], 25.0, distance=distance), 48), lighting=LIGHTINGS["studio"])
        for shape, azimuth in ((mesh, 10.0), (turned, 100.0))
    ]
    assert ((pictures[0] - pictures[1]).abs().amax(-1) > 0.02).float().mean() < 0.01


def test_a_texture_moved_by_whole_periods_is_the_same() -> None:
    material = Material(texture=noise(8, 8, alpha=False), wrap=("repeat", "mirror"))
    mesh = dressed(ball(2), material, tinted=False)
    assert mesh.appearance is not None
    assert mesh.appearance.uv is not None
    look = dataclasses.replace(mesh.appearance, uv=mesh.appearance.uv + np.float32([3, -4]))
    pictures = [shade(shape, viewport(32)) for shape in (mesh, dataclasses.replace(mesh, appearance=look))]
    assert ((pictures[0] - pictures[1]).abs().amax(-1) > 0.02).float().mean() < 0.01
