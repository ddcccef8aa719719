"""Draw meshes and clouds with the compiled kernels: a few threads, each with some of the views."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import torch
from jaxtyping import Float32

from basrelief.appearance import readonly
from basrelief.geometry.appearance import srgb_from_linear
from basrelief.limits import limits
from basrelief.render.cameras import Viewport
from basrelief.render.fast.balls import draw_balls
from basrelief.render.fast.geometry import View, project
from basrelief.render.fast.materials import MaterialArrays
from basrelief.render.fast.normals import Surface, face_normals, gather_corners, weld
from basrelief.render.fast.shading import DEEPEST, STEPS, Lights, shade_balls, shade_mesh
from basrelief.render.fast.triangles import draw_triangles
from basrelief.render.textures import LINEAR, MaterialTable
from basrelief.render.zbuffer import Raster, overdraw_error
from basrelief.types import Mesh, PointCloud

MOST_THREADS = 8


def rasterize_mesh(mesh: Mesh, viewport: Viewport) -> Raster:
    """Find the nearest face at every pixel, see `basrelief.render.mesh.rasterize_mesh`."""
    vertices, materials = mesh.vertices.astype(np.float64), material_arrays(mesh)
    raster, most = _Images(viewport), most_fragments(viewport)
    used = np.zeros(len(viewport.cameras), np.int64)

    def some(views: range) -> None:
        screen = np.empty((len(vertices), 8))
        for i in views:
            view = view_of(viewport, i)
            project(vertices, view, screen)
            used[i] = draw_triangles(vertices, mesh.faces, screen, view, materials, raster.depth[i], raster.item[i], most)

    share_views(some, len(viewport.cameras))
    if used.sum() > most:
        raise overdraw_error(len(mesh.faces))
    return raster.result()


def rasterize_points(cloud: PointCloud, viewport: Viewport, radius: float) -> Raster:
    """Find the nearest ball at every pixel, see `basrelief.render.spheres.rasterize_points`."""
    centres, raster = cloud.points.astype(np.float64), _Images(viewport)

    def some(views: range) -> None:
        screen = np.empty((len(centres), 8))
        for i in views:
            view = view_of(viewport, i)
            project(centres, view, screen)
            draw_balls(screen, view, radius, raster.depth[i], raster.item[i])

    share_views(some, len(viewport.cameras))
    return raster.result()


def draw_mesh(
    mesh: Mesh, fine: Viewport, size: int, colors: Float32[np.ndarray, "colors 3"], lights: Callable[[int], Lights]
) -> np.ndarray:
    """Draw a mesh in colour.

    Args:
        mesh: The mesh.
        fine: Cameras, and images of `size` times the supersampling.
        size: Side of the images that are returned.
        colors: One for each vertex, or one for all; read-only; used without an appearance.
        lights: The lights of each view.

    Returns:
        (V, size, size, 3) float32 sRGB.
    """
    surface, materials, most = surface_of(mesh), material_arrays(mesh), most_fragments(fine)
    views = len(fine.cameras)
    pictures, used = np.zeros((views, size, size, 3), np.float32), np.zeros(views, np.int64)

    def some(chosen: range) -> None:
        screen = np.empty((len(surface.vertices), 8))
        smooth, ready = np.empty((len(mesh.faces), 3, 3), np.float32), np.zeros(len(mesh.faces), bool)
        depth, item = np.empty((fine.size, fine.size), np.float32), np.empty((fine.size, fine.size), np.int32)
        for i in chosen:
            view = view_of(fine, i)
            project(surface.vertices, view, screen)
            used[i] = draw_triangles(surface.vertices, mesh.faces, screen, view, materials, depth, item, most)
            if used[i] <= most:
                shade_mesh(surface, materials, colors, view, lights(i), depth, item, smooth, ready, pictures[i])

    share_views(some, views)
    if used.sum() > most:
        raise overdraw_error(len(mesh.faces))
    return pictures


def draw_cloud(
    cloud: PointCloud, fine: Viewport, size: int, radius: float, colors: Float32[np.ndarray, "colors 3"], lights: Callable[[int], Lights]
) -> np.ndarray:
    """Draw a cloud as balls in colour, see `draw_mesh`."""
    centres, views = cloud.points.astype(np.float64), len(fine.cameras)
    pictures = np.zeros((views, size, size, 3), np.float32)

    def some(chosen: range) -> None:
        screen = np.empty((len(centres), 8))
        depth, item = np.empty((fine.size, fine.size), np.float32), np.empty((fine.size, fine.size), np.int32)
        for i in chosen:
            view = view_of(fine, i)
            project(centres, view, screen)
            draw_balls(screen, view, radius, depth, item)
            shade_balls(centres, colors, view, lights(i), depth, item, pictures[i])

    share_views(some, views)
    return pictures


class _Images:
    """The z-buffer of some views."""

    def __init__(self, viewport: Viewport) -> None:
        shape = (len(viewport.cameras), viewport.size, viewport.size)
        self.depth, self.item = np.empty(shape, np.float32), np.empty(shape, np.int32)

    def result(self) -> Raster:
        return Raster(torch.from_numpy(self.depth), torch.from_numpy(self.item).long())


def share_views(work: Callable[[range], None], views: int) -> None:
    """Let a few threads do `work` on some of the views each: as many as torch uses, at most `MOST_THREADS`."""
    threads = max(1, min(torch.get_num_threads(), views, MOST_THREADS))
    if threads == 1:
        work(range(views))
        return
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(work, range(first, views, threads)) for first in range(threads)]:
            done.result()


def most_fragments(viewport: Viewport) -> int:
    """Return how many rows and pixels of triangles may be drawn."""
    return limits().overdraw * len(viewport.cameras) * viewport.size**2


def view_of(viewport: Viewport, index: int) -> View:
    """Return one view for the kernels."""
    cameras = viewport.cameras
    rotation = np.array(cameras.rotation[index], np.float64, order="C")
    distance = math.inf if cameras.distance is None else float(cameras.distance)
    return View(rotation, distance, float(viewport.scale), float(viewport.near), int(viewport.size))


def surface_of(mesh: Mesh) -> Surface:
    """Return a mesh with its face normals and the corners that meet at each place."""
    vertices, faces = mesh.vertices.astype(np.float64), mesh.faces
    place, around = np.empty(len(vertices), np.int32), np.empty(3 * len(faces), np.int32)
    table = np.empty(1 << (2 * len(vertices)).bit_length(), np.int32)
    count = weld(vertices, vertices.view(np.uint64), table, np.empty_like(place), place)
    start, normals = np.empty(count + 1, np.int64), np.empty((len(faces), 4))
    gather_corners(faces, place, start, around)
    face_normals(vertices, faces, normals)
    return Surface(vertices, faces, normals, place, start, around)


def material_arrays(mesh: Mesh) -> MaterialArrays:
    """Return the materials of a mesh for the kernels."""
    if mesh.appearance is None:
        return _no_materials()
    table, uv = MaterialTable.of(mesh.appearance), mesh.appearance.uv
    return _material_arrays(table, mesh.appearance.material_ids, np.empty((0, 2), np.float32) if uv is None else uv)


@cache
def _no_materials() -> MaterialArrays:
    """Return the materials of a mesh without an appearance."""
    whole, real = np.empty(0, np.int32), np.empty((0, 4), np.float32)
    levels = whole.reshape(0, 1)
    table = MaterialTable(
        real.astype(np.uint8), levels.astype(np.int64), levels, levels, whole, whole.reshape(0, 2), real, real[:, 0].copy(), real
    )
    return _material_arrays(table, whole, np.empty((0, 2), np.float32))


def _material_arrays(table: MaterialTable, material: np.ndarray, uv: np.ndarray) -> MaterialArrays:
    """Collect arrays, all of them read-only: numba compiles a second time for arrays that can be written to."""
    arrays = [getattr(table, name) for name in ("texels", "first", "width", "height", "levels", "wrap", "factor", "cutoff")]
    return MaterialArrays(*map(readonly, (*arrays, material, uv, table.tints, LINEAR)))


@cache
def curves(gamma: float, shininess: float) -> dict[str, np.ndarray]:
    """Return the tables of `Lights`."""
    at = np.linspace(0, 1, STEPS + 1)
    depth = at * DEEPEST
    tables = {
        "fold": depth * np.exp(1 - depth),
        "gloss": at**shininess,
        "decode": at**gamma,
        "encode": at ** (2 / gamma),
        "display": srgb_from_linear(at**2) ** gamma,
    }
    return {name: table.astype(np.float32) for name, table in tables.items()}


def light_directions(direction: tuple[float, float, float], viewport: Viewport, *, follows_camera: bool) -> Float32[np.ndarray, "views 3"]:
    """Return unit vectors towards the distant light in the world frame, one for each view."""
    unit = (np.array(direction) / math.hypot(*direction)).astype(np.float32)
    if not follows_camera:
        return np.tile(unit, (len(viewport.cameras), 1))
    turned: np.ndarray = np.einsum("vji,j->vi", viewport.cameras.rotation, unit)
    return turned
