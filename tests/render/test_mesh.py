"""Triangles to depth: closed forms, the reference, an outside ray caster, watertight edges, hostile meshes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from basrelief.render import mesh as fast_module
from basrelief.render.cameras import Viewport, look_at_cameras
from basrelief.render.mesh import rasterize_mesh
from basrelief.render.reference import mesh as reference
from basrelief.types import Mesh
from render.mesh_samples import as_mesh, assert_alike, ball, band, box, centres, from_above, grid_plane, soup, viewport

# closed forms


def test_orthographic_sphere_has_the_depth_of_a_sphere() -> None:
    raster = rasterize_mesh(ball(5), viewport(64))
    x, y = centres(64)
    expected = -np.sqrt(np.maximum(0.64 - x**2 - y**2, 0))
    inside = x**2 + y**2 < 0.6
    assert np.abs(raster.depth.numpy() - expected)[:, inside].max() < 4e-3
    assert torch.isinf(raster.depth[:, x**2 + y**2 > 0.65]).all()


def test_orthographic_sphere_covers_its_area() -> None:
    raster = rasterize_mesh(ball(5), viewport(128, views=6))
    share = (raster.item >= 0).float().mean((1, 2))
    torch.testing.assert_close(share, torch.full((6,), math.pi * 0.64 / 4), atol=2e-3, rtol=0)


@pytest.mark.parametrize("distance", [1.5, 2.0, 10.0])
def test_perspective_sphere_has_the_depth_of_a_sphere(distance: float) -> None:
    view = viewport(64, distance=distance, extent=1.0)
    raster = rasterize_mesh(ball(5), view)
    x, y = centres(64)
    slope = (x**2 + y**2) / distance**2  # the ray is t (x / d, y / d, 1)
    root = distance**2 - (1 + slope) * (distance**2 - 0.64)
    inside = root > 0.02
    expected = (distance - np.sqrt(np.maximum(root, 0))) / (1 + slope)
    assert np.abs(raster.depth.numpy() - expected)[:, inside].max() < 6e-3
    assert torch.isinf(raster.depth[:, root < -0.02]).all()


@pytest.mark.parametrize("distance", [1.2, 2.0, 30.0, None])
def test_by_default_the_unit_sphere_touches_the_border(distance: float | None) -> None:
    seen = rasterize_mesh(ball(5, radius=1.0), viewport(128, distance=distance, views=1)).item[0] >= 0
    rows, columns = seen.any(1).nonzero(), seen.any(0).nonzero()
    assert (int(rows.min()), int(columns.min())) <= (1, 1)
    assert (int(rows.max()), int(columns.max())) >= (126, 126)
    assert seen.float().mean().item() == pytest.approx(math.pi / 4, abs=5e-3)


def test_box_from_above_is_a_rectangle_at_the_depth_of_its_lid() -> None:
    raster = rasterize_mesh(box(1.0, 0.5, 0.25), from_above(64))
    x, y = centres(64)
    inside = (np.abs(y) < 0.5) & (np.abs(x) < 0.25)  # the picture's right is +Y, its bottom +X
    assert np.array_equal(raster.item[0].numpy() >= 0, inside)
    assert torch.equal(raster.depth[0][inside], torch.full((int(inside.sum()),), -0.125))


def test_perspective_box_from_above_has_one_depth_too() -> None:
    raster = rasterize_mesh(box(1.0, 0.5, 0.25), from_above(65, distance=3.0, extent=1.0))
    lid = (0.25 * 3 / 2.875, 0.5 * 3 / 2.875)
    x, y = centres(65)
    inside = (np.abs(y) < lid[1]) & (np.abs(x) < lid[0])
    torch.testing.assert_close(raster.depth[0][inside], torch.full((int(inside.sum()),), 2.875))
    assert torch.isinf(raster.depth[0][~inside]).all()


def test_picture_is_right_way_up_and_not_mirrored() -> None:
    corner = [[0.0, 0.5, 0.5], [0.0, 0.6, 0.5], [0.0, 0.5, 0.6]]  # seen from +X: +Y is right, +Z is up
    raster = rasterize_mesh(Mesh(np.array(corner, np.float32), np.array([[0, 1, 2]])), Viewport(look_at_cameras([0.0]), 40))
    row, column = (raster.item[0] >= 0).nonzero().float().mean(0)
    assert row < 15
    assert column > 25


def test_the_nearer_of_two_faces_wins_from_either_side() -> None:
    square = grid_plane(1)
    both = Mesh(
        np.concatenate([square.vertices + np.float32([0, 0, 0.5]), square.vertices - np.float32([0, 0, 0.5])]),
        np.concatenate([square.faces, square.faces + 4]),
    )
    raster = rasterize_mesh(both, Viewport(look_at_cameras([0.0, 0.0], [90.0, -90.0]), 16))
    assert set(raster.item[0].unique().tolist()) == {0, 1}
    assert set(raster.item[1].unique().tolist()) == {2, 3}
    assert torch.equal(raster.depth, torch.full((2, 16, 16), -0.5))


def test_tilted_plane_has_the_plane_equation() -> None:
    plane = grid_plane(1, half=4.0)
    tilt = trimesh.transformations.rotation_matrix(0.9, [1, 2, 0])[:3, :3]
    tilted = Mesh((plane.vertices @ tilt.T).astype(np.float32), plane.faces)
    normal = tilt[:, 2]
    for distance in (None, 3.0):
        view = from_above(32, distance=distance, extent=1.0)
        raster = rasterize_mesh(tilted, view)
        origin, direction = view.rays(raster.seen)
        hit = origin + direction * raster.depth[raster.item >= 0][:, None]
        assert len(hit) == 32 * 32
        assert (hit @ torch.tensor(normal)).abs().max() < 2e-5  # corners are rounded to 1/4096 pixel


# watertight


@pytest.mark.parametrize("distance", [None, 2.0])
@pytest.mark.parametrize(("cells", "jitter"), [(1, 0.0), (7, 0.0), (16, 0.0), (64, 0.0), (150, 0.0), (13, 0.4), (90, 0.4)])
def test_a_subdivided_plane_has_no_hole(cells: int, jitter: float, distance: float | None) -> None:
    view = from_above(64, distance=distance, extent=0.999)
    raster = rasterize_mesh(grid_plane(cells, jitter=jitter), view)
    assert (raster.item >= 0).all()
    expected = torch.full((1, 64, 64), distance or 0.0)
    torch.testing.assert_close(raster.depth, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [8, 32, 64])
def test_vertices_on_pixel_centres_leave_no_hole(size: int) -> None:
    half = 1 - 1 / size  # the outermost vertices are the outermost pixel centres
    raster = rasterize_mesh(grid_plane(size - 1, half=half), from_above(size))
    assert (raster.item[0, :-1, :-1] >= 0).all()


@pytest.mark.parametrize("jitter", [0.0, 0.4])
def test_every_pixel_belongs_to_one_triangle(jitter: float) -> None:
    """Drawn one by one, the triangles of a plane partition the pixels: none is counted twice, none is left out."""
    plane, view = grid_plane(6, jitter=jitter), from_above(40, extent=0.9)
    count = sum((rasterize_mesh(Mesh(plane.vertices, face[None]), view).item >= 0).int() for face in plane.faces)
    assert torch.equal(count, torch.ones(1, 40, 40, dtype=torch.int32))


def test_pixels_on_edges_belong_to_one_triangle_each_even_with_vertices_on_centres() -> None:
    plane, view = grid_plane(7, half=7 / 8), from_above(16)
    count = sum((rasterize_mesh(Mesh(plane.vertices, face[None]), view).item >= 0).int() for face in plane.faces)
    assert int(count.max()) == 1
    assert int(count.sum()) == 14 * 14


def test_unwelded_meshes_are_watertight_too() -> None:
    plane = grid_plane(20, jitter=0.4)
    apart = Mesh(plane.vertices[plane.faces].reshape(-1, 3), np.arange(plane.faces.size).reshape(-1, 3))
    for view in (from_above(50, extent=0.99), Viewport(look_at_cameras([33.0], 61.0, distance=4.0), 50, 0.3)):
        assert (rasterize_mesh(apart, view).item >= 0).all()


def test_a_closed_ball_lets_no_far_side_through() -> None:
    raster = rasterize_mesh(ball(4), viewport(100, views=5))
    assert (raster.depth[raster.item >= 0] < 0.05).all()


# reference and outside implementation


@pytest.mark.parametrize("distance", [None, 1.5, 3.0])
@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_the_reference_on_triangle_soups(seed: int, distance: float | None) -> None:
    shape, view = soup(40, seed=seed), viewport(40, distance=distance, views=4)
    assert_alike(rasterize_mesh(shape, view), reference.rasterize_mesh(shape, view), edge=0.002)


@pytest.mark.parametrize("distance", [0.3, 0.6, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_the_reference_inside_the_shape(seed: int, distance: float) -> None:
    """The eye is among the triangles: some are behind it, some on both sides."""
    shape = soup(60, seed=seed, side=1.5)
    view = viewport(40, distance=distance, extent=distance, views=4)
    fast, slow = rasterize_mesh(shape, view), reference.rasterize_mesh(shape, view)
    assert (fast.item >= 0).float().mean() > 0.9
    assert_alike(fast, slow, edge=0.002)


@pytest.mark.parametrize("distance", [None, 2.0])
def test_agrees_with_the_reference_on_small_triangles(distance: float | None) -> None:
    shape, view = ball(2), viewport(24, distance=distance, views=2)
    assert_alike(rasterize_mesh(shape, view), reference.rasterize_mesh(shape, view), edge=0.002)


def outside_depth(shape: Mesh, view: Viewport) -> np.ndarray:
    """Depth by trimesh: lines against the planes of faces, then barycentric coordinates."""
    pixels = torch.ones(len(view.cameras), view.size, view.size).nonzero()
    origin, direction = (ray.numpy() for ray in view.rays(pixels))
    triangles = shape.vertices[shape.faces].astype(np.float64)
    normals, valid = trimesh.triangles.normals(triangles)
    depth = np.full(len(pixels), np.inf)
    for triangle, normal in zip(triangles[valid], normals, strict=True):
        facing = np.abs(direction @ normal) > 1e-12
        hit = ((triangle[0] - origin[facing]) @ normal) / (direction[facing] @ normal)
        at = origin[facing] + hit[:, None] * direction[facing]
        weights = trimesh.triangles.points_to_barycentric(np.broadcast_to(triangle, (len(at), 3, 3)), at)
        inside = (weights >= 0).all(1) & (hit >= view.near)
        depth[np.flatnonzero(facing)[inside]] = np.minimum(depth[np.flatnonzero(facing)[inside]], hit[inside])
    return depth.reshape(len(view.cameras), view.size, view.size)


@pytest.mark.parametrize("distance", [None, 2.5])
def test_agrees_with_the_outside_ray_caster(distance: float | None) -> None:
    shape = as_mesh(trimesh.creation.annulus(r_min=0.3, r_max=0.8, height=0.5, sections=12))
    view = viewport(36, distance=distance, views=3)
    raster, expected = rasterize_mesh(shape, view), torch.tensor(outside_depth(shape, view), dtype=torch.float32)
    inner = ~band(raster)
    torch.testing.assert_close(raster.depth[inner], expected[inner], atol=1e-4, rtol=1e-5)
    extra = raster.depth.isfinite() != expected.isfinite()
    assert extra.float().mean() < 0.003


def test_edges_are_unbiased() -> None:
    """Over many placements a triangle covers as many pixels as its area."""
    rng = np.random.default_rng(5)
    triangle = np.array([[-0.31, -0.42, 0], [0.4, -0.1, 0], [-0.05, 0.37, 0]])
    places = rng.uniform(-0.05, 0.05, (300, 1, 3)) * [1, 1, 0]
    counts = [
        int((rasterize_mesh(Mesh((triangle + p).astype(np.float32), np.array([[0, 1, 2]])), from_above(20)).item >= 0).sum())
        for p in places
    ]
    area = abs(np.cross(triangle[1] - triangle[0], triangle[2] - triangle[0])[2]) / 2 * 100
    assert np.mean(counts) == pytest.approx(area, abs=0.35)


# laws


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), distance=st.sampled_from([None, 2.0]))
def test_order_of_faces_and_their_winding_do_not_matter(seed: int, distance: float | None) -> None:
    shape, view = soup(30, seed=seed), viewport(24, distance=distance)
    order = np.random.default_rng(seed).permutation(30)
    turned = Mesh(shape.vertices, shape.faces[order][:, [2, 0, 1]][:, ::-1])
    first, second = rasterize_mesh(shape, view), rasterize_mesh(turned, view)
    torch.testing.assert_close(first.depth, second.depth)
    named = torch.where(second.item >= 0, torch.tensor(order)[second.item.clamp(min=0)], -1)
    assert (first.item == named).float().mean() > 0.999


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000))
def test_more_faces_never_push_the_surface_back(seed: int) -> None:
    shape, view = soup(30, seed=seed), viewport(24)
    part = rasterize_mesh(Mesh(shape.vertices, shape.faces[:15]), view)
    assert (rasterize_mesh(shape, view).depth <= part.depth).all()


def test_all_views_at_once_are_each_view_alone() -> None:
    shape, view = soup(50, seed=2), viewport(32, distance=2.0, views=5)
    together = rasterize_mesh(shape, view)
    for i in range(5):
        alone = rasterize_mesh(shape, Viewport(type(view.cameras)(view.cameras.rotation[i : i + 1], 2.0), 32))
        assert torch.equal(alone.depth[0], together.depth[i])
        assert torch.equal(alone.item[0], together.item[i])


@pytest.mark.parametrize("chunk", [1, 7, 100])
def test_work_in_small_pieces_gives_the_same_picture(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    shape, view = soup(25, seed=3), viewport(20, distance=1.5, views=3)
    whole = rasterize_mesh(shape, view)
    monkeypatch.setattr(fast_module, "CHUNK", chunk)
    pieces = fast_module.pieces
    monkeypatch.setattr(fast_module, "pieces", lambda counts: pieces(counts, chunk))
    small = rasterize_mesh(shape, view)
    assert torch.equal(whole.depth, small.depth)
    assert torch.equal(whole.item, small.item)


def test_of_equally_near_faces_the_first_is_seen() -> None:
    plane = grid_plane(1)
    twice = Mesh(plane.vertices, np.concatenate([plane.faces, plane.faces]))
    assert set(rasterize_mesh(twice, from_above(16)).item.unique().tolist()) == {0, 1}


# hostile meshes


def test_nothing_is_seen_of_faces_outside_behind_or_without_area() -> None:
    view = viewport(16, distance=2.0)
    outside = Mesh(np.float32([[50, 50, 0], [51, 50, 0], [50, 51, 0]]), np.array([[0, 1, 2]]))
    point = Mesh(np.float32([[0.1, 0.1, 0.1]] * 3), np.array([[0, 1, 2]]))
    line = Mesh(np.float32([[0, 0, 0], [1, 1, 1], [0.5, 0.5, 0.5]]), np.array([[0, 1, 2], [0, 0, 1]]))
    eye = -view.cameras.rotation[0, 2] * 2
    behind = Mesh((soup(1, seed=0, reach=0.1, side=0.2).vertices + 2 * eye).astype(np.float32), np.array([[0, 1, 2]]))
    for shape in (outside, point, line):
        assert (rasterize_mesh(shape, view).item == -1).all()
    assert (rasterize_mesh(behind, view).item[0] == -1).all()


def test_a_face_through_the_eye_and_far_beyond_is_drawn() -> None:
    """A floor that reaches behind the eye is seen below the horizon, however long."""
    floor = Mesh(np.float32([[-1e4, -1e4, -0.5], [1e4, -1e4, -0.5], [0, 2e4, -0.5]]), np.array([[0, 1, 2]]))
    view = Viewport(look_at_cameras([0.0], distance=2.0), 33, 2.0)
    raster = rasterize_mesh(floor, view)
    seen = raster.item[0] >= 0
    assert seen[17:].all()
    assert not seen[:17].any()
    _, y = centres(33)
    torch.testing.assert_close(raster.depth[0, 17:], torch.tensor(0.5 / y[17:], dtype=torch.float32), atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e12, 1e37])
@pytest.mark.parametrize("distance", [None, 2.0])
def test_extreme_coordinates_give_a_picture_without_nan(scale: float, distance: float | None) -> None:
    shape = soup(20, seed=1)
    raster = rasterize_mesh(Mesh(shape.vertices * np.float32(scale), shape.faces), viewport(16, distance=distance))
    assert not raster.depth.isnan().any()
    assert torch.equal(raster.depth.isfinite(), raster.item >= 0)


def test_one_pixel_is_a_picture() -> None:
    raster = rasterize_mesh(ball(1), viewport(1, views=2))
    assert raster.depth.shape == (2, 1, 1)
    assert (raster.item >= 0).all()


def test_depth_and_item_agree_on_what_is_seen() -> None:
    raster = rasterize_mesh(soup(30, seed=8), viewport(32, distance=1.5))
    assert raster.depth.dtype == torch.float32
    assert raster.item.dtype == torch.int64
    assert torch.equal(raster.depth.isinf(), raster.item == -1)
    assert len(raster.seen) == int((raster.item >= 0).sum())


# barycentric coordinates


@pytest.mark.gpu
@pytest.mark.parametrize("distance", [None, 2.0])
def test_cuda_gives_the_picture_of_the_cpu(distance: float | None) -> None:
    shape, view = soup(200, seed=6), viewport(64, distance=distance, views=6)
    cpu, cuda = rasterize_mesh(shape, view), rasterize_mesh(shape, view, device="cuda")
    assert cuda.depth.is_cuda
    assert (cpu.item == cuda.item.cpu()).float().mean() > 0.9999
    torch.testing.assert_close(cpu.depth, cuda.depth.cpu(), atol=1e-5, rtol=1e-5)


@pytest.mark.gpu
def test_a_plane_has_no_hole_on_cuda() -> None:
    assert (rasterize_mesh(grid_plane(90, jitter=0.4), from_above(64, extent=0.999), device="cuda").item >= 0).all()
