"""Colours of points on textured surfaces."""

from __future__ import annotations

import math

import numpy as np
import pytest

from basrelief.appearance import Appearance, Material, Wrap
from basrelief.geometry import sample_surface
from basrelief.geometry.appearance import linear_from_srgb, srgb_from_linear, surface_colors
from basrelief.types import Mesh

RED, GREEN, BLUE, GREY = (255, 0, 0, 255), (0, 255, 0, 255), (0, 0, 255, 255), (100, 100, 100, 255)
FOUR = np.array([[RED, GREEN], [BLUE, GREY]], np.uint8)
"""Red and green above blue and grey."""


def square(uv: list[tuple[float, float]] | None = None, **look: object) -> Mesh:
    """The unit square of two faces, texture coordinates like the positions, a material of `look`."""
    vertices = np.float32([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    tints = look.pop("tints", None)
    appearance = Appearance(
        (Material(**look),),  # type: ignore[arg-type]
        np.zeros(2, np.int32),
        np.float32(vertices[:, :2] if uv is None else uv),
        tints,  # type: ignore[arg-type]
    )
    return Mesh(vertices, np.array([[0, 1, 2], [0, 2, 3]]), appearance=appearance)


def at(mesh: Mesh, x: float, y: float) -> np.ndarray:
    """Colour at a point of the square."""
    weights = [1 - x, x - y, y] if x >= y else [1 - y, x, y - x]
    return surface_colors(mesh, np.array([0 if x >= y else 1]), np.float64([weights]))[0]


def mean(*colors: tuple[int, ...]) -> np.ndarray:
    """Mean as linear light."""
    values = np.array(colors) / 255
    return np.append(srgb_from_linear(linear_from_srgb(values[:, :3]).mean(0)), values[:, 3].mean())


@pytest.mark.parametrize(("x", "y", "texel"), [(0.25, 0.75, RED), (0.75, 0.75, GREEN), (0.25, 0.25, BLUE), (0.75, 0.25, GREY)])
def test_the_middle_of_a_texel_has_its_colour_and_the_first_row_is_on_top(x: float, y: float, texel: tuple[int, ...]) -> None:
    np.testing.assert_allclose(at(square(texture=FOUR), x, y), np.array(texel) / 255, atol=1e-6)


def test_texels_blend_as_linear_light() -> None:
    np.testing.assert_allclose(at(square(texture=FOUR), 0.5, 0.75), mean(RED, GREEN), atol=1e-6)
    np.testing.assert_allclose(at(square(texture=FOUR), 0.5, 0.5), mean(RED, GREEN, BLUE, GREY), atol=1e-6)
    np.testing.assert_allclose(at(square(texture=FOUR), 0.375, 0.75), mean(RED, RED, RED, GREEN), atol=1e-6)


@pytest.mark.parametrize(
    ("wrap", "places", "texels"),
    [
        ("repeat", (-0.75, -0.25, 1.25, 1.75, 7.25), (RED, GREEN, RED, GREEN, RED)),
        ("mirror", (-0.75, -0.25, 1.25, 1.75, 2.25), (GREEN, RED, GREEN, RED, RED)),
        ("clamp", (-0.75, -0.25, 1.25, 1.75, 7.25), (RED, RED, GREEN, GREEN, GREEN)),
    ],
)
def test_wrapping_decides_what_is_outside(wrap: Wrap, places: tuple[float, ...], texels: tuple[tuple[int, ...], ...]) -> None:
    for u, texel in zip(places, texels, strict=True):
        across = square([(u, 0.75)] * 4, texture=FOUR, wrap=(wrap, "clamp"))
        np.testing.assert_allclose(at(across, 0.3, 0.2), np.array(texel) / 255, atol=1e-6)
        upright = square([(0.25, 1 - u)] * 4, texture=FOUR.swapaxes(0, 1), wrap=("clamp", wrap))
        np.testing.assert_allclose(at(upright, 0.3, 0.2), np.array(texel) / 255, atol=1e-6)


def test_a_repeated_texture_blends_over_its_border_and_a_clamped_one_does_not() -> None:
    repeated, clamped, mirrored = (
        at(square([(0.0, 0.75)] * 4, texture=FOUR, wrap=(wrap, "clamp")), 0.5, 0.5) for wrap in ("repeat", "clamp", "mirror")
    )
    np.testing.assert_allclose(repeated, mean(RED, GREEN), atol=1e-6)
    np.testing.assert_allclose(clamped, mean(RED), atol=1e-6)
    np.testing.assert_allclose(mirrored, mean(RED), atol=1e-6)


def test_factor_texture_and_tint_multiply_as_linear_light() -> None:
    factor, tint = (0.5, 0.8, 1.0, 0.9), np.tile(np.float32([0.7, 0.6, 0.2, 0.5]), (4, 1))
    texture = np.full((1, 1, 4), 128, np.uint8)
    light = linear_from_srgb(np.array(factor[:3])) * linear_from_srgb(tint[0, :3]) * linear_from_srgb(np.array(128 / 255))
    expected = [*srgb_from_linear(light), 0.9 * 0.5 * 128 / 255]
    np.testing.assert_allclose(at(square(texture=texture, color=factor, tints=tint, cutoff=0.1), 0.4, 0.1), expected, atol=1e-6)


def test_alpha_weighs_texels_where_it_decides_what_is_drawn_and_is_ignored_elsewhere() -> None:
    clear = FOUR.copy()
    clear[0, 1, 3] = 51
    middle = at(square(texture=clear, cutoff=0.5), 0.5, 0.75)
    light = (linear_from_srgb(np.array(RED[:3]) / 255) + 0.2 * linear_from_srgb(np.array(GREEN[:3]) / 255)) / 1.2
    np.testing.assert_allclose(middle, [*srgb_from_linear(light), 0.6], atol=1e-6)
    np.testing.assert_allclose(at(square(texture=clear), 0.5, 0.75), mean(RED, GREEN), atol=1e-6)
    hidden = np.where(np.arange(2)[:, None, None] == 0, np.uint8(RED), np.uint8((0, 255, 0, 0))).repeat(2, axis=1)
    np.testing.assert_allclose(at(square(texture=hidden, cutoff=0.5), 0.5, 0.55)[:3], [1, 0, 0], atol=1e-6)


def test_each_face_has_its_material_and_textures_need_coordinates() -> None:
    mesh = square()
    two = (Material((1, 0, 0, 1)), Material((0, 0, 1, 0.5), texture=FOUR))
    look = Appearance(two, np.array([0, 1], np.int32))
    mesh = Mesh(mesh.vertices, mesh.faces, appearance=look)
    found = surface_colors(mesh, np.array([1, 0]), np.full((2, 3), 1 / 3))
    np.testing.assert_allclose(found, [[0, 0, 1, 0.5], [1, 0, 0, 1]], atol=1e-6)


def test_without_an_appearance_vertex_colours_count_and_else_white() -> None:
    bare = Mesh(square().vertices, square().faces)
    assert (at(bare, 0.5, 0.2) == 1).all()
    colored = Mesh(bare.vertices, bare.faces, np.float32([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]))
    np.testing.assert_allclose(at(colored, 0.5, 0.25), [0.5, 0.25, 0, 1], atol=1e-6)


def test_coordinates_of_any_size_are_finite_colours() -> None:
    for wrap in ("repeat", "mirror", "clamp"):
        for value in (1e30, -1e30, math.nextafter(0, -1), 3e38):
            found = at(square([(value, -value)] * 4, texture=FOUR, wrap=(wrap, wrap)), 0.5, 0.2)
            assert np.isfinite(found).all()
            assert (found >= 0).all()
            assert (found <= 1).all()


def test_sampled_points_have_the_colours_of_the_texture() -> None:
    cloud = sample_surface(square(texture=FOUR), 4000, seed=1)
    assert cloud.colors is not None
    for x, y, texel in ((0.25, 0.75, RED), (0.75, 0.75, GREEN), (0.25, 0.25, BLUE)):
        near = np.abs(cloud.points[:, :2] - (x, y)).max(1) < 0.02
        assert near.any()
        assert np.abs(cloud.colors[near] - np.array(texel[:3]) / 255).max() < 0.3
    plain = sample_surface(Mesh(square().vertices, square().faces), 4000, seed=1)
    assert plain.colors is None
    assert np.array_equal(plain.points, cloud.points)
