"""The compiled renderer: the same pixels as torch's, pictures within a small tolerance, threads, workers, cache."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from basrelief.errors import GeometryError
from basrelief.limits import limits, use_limits
from basrelief.render import fast
from basrelief.render.cameras import Viewport
from basrelief.render.mesh import rasterize_mesh
from basrelief.render.shade import LIGHTINGS, Lighting, prepare_renderer, shade
from basrelief.render.spheres import rasterize_points
from basrelief.types import Mesh, PointCloud, Shape
from render.mesh_samples import ball, box, from_above, grid_plane, soup, viewport
from render.textured import dressed, several_materials

pytest.importorskip("numba")


@pytest.fixture(autouse=True)
def numba(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(fast.VARIABLE, "1")


MESHES: dict[str, Callable[[], Mesh]] = {
    "ball": lambda: ball(3),
    "soup": lambda: soup(300, seed=1),
    "tiny": lambda: soup(3000, seed=2, side=1e-3),
    "huge": lambda: soup(30, seed=3, side=1e6),
    "beyond": lambda: soup(20, seed=4, side=1e30),
    "plane": lambda: grid_plane(15, jitter=0.3),
    "box": lambda: box(1, 1, 1),
    "flat": lambda: Mesh(np.repeat(soup(50, seed=5).vertices[:50], 3, 0), np.arange(150).reshape(50, 3)),
    "lines": lambda: Mesh(soup(50, seed=6).vertices, soup(50, seed=6).faces[:, [0, 1, 1]]),
    "doubled": lambda: Mesh(soup(40, seed=7).vertices, np.concatenate([soup(40, seed=7).faces, soup(40, seed=7).faces[:, ::-1]])),
    "masked": lambda: dressed(soup(80, seed=8), *several_materials()),
}
VIEWS = {"orthographic": viewport(40), "perspective": viewport(40, distance=1.9), "inside": viewport(40, distance=0.7, extent=0.8)}


def both(draw: Callable[[], torch.Tensor]) -> tuple[np.ndarray, np.ndarray]:
    """What numba draws, and what torch does."""
    assert fast.usable("cpu")
    compiled = draw().numpy()
    with fast.without_numba():
        assert not fast.usable("cpu")
        return compiled, draw().numpy()


def differing(compiled: np.ndarray, plain: np.ndarray, *, by: float) -> float:
    """Share of pixels that differ by more than some value."""
    return float((np.abs(compiled - plain).max(-1) > by).mean())


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", MESHES)
def test_every_pixel_sees_the_same_face(name: str, view: str) -> None:
    mesh = MESHES[name]()
    items = both(lambda: rasterize_mesh(mesh, VIEWS[view]).item)
    depths = both(lambda: rasterize_mesh(mesh, VIEWS[view]).depth)
    if name == "masked":  # sums of texels are rounded in another order
        assert (items[0] != items[1]).mean() < 1e-3
    else:
        assert np.array_equal(*items)
        np.testing.assert_allclose(*depths, rtol=1e-6)


@pytest.mark.parametrize("view", VIEWS)
def test_every_pixel_sees_the_same_ball(view: str) -> None:
    cloud = PointCloud(np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32) * 0.5)
    for radius in (1e-9, 0.05, 0.4):
        raster = both(lambda radius=radius: rasterize_points(cloud, VIEWS[view], radius=radius).item)  # type: ignore[misc]
        depths = both(lambda radius=radius: rasterize_points(cloud, VIEWS[view], radius=radius).depth)  # type: ignore[misc]
        assert (raster[0] != raster[1]).mean() < 1e-3
        same = raster[0] == raster[1]
        np.testing.assert_allclose(depths[0][same], depths[1][same], rtol=1e-6, atol=1e-7)


def colored(seed: int) -> Mesh:
    mesh = soup(60, seed=seed)
    return replace(mesh, colors=np.random.default_rng(seed).random((len(mesh.vertices), 3), dtype=np.float32))


SHAPES: dict[str, Callable[[], Shape]] = {
    "clay": lambda: ball(3),
    "flat": lambda: box(1, 1, 1),
    "colours": lambda: colored(0),
    "textures": lambda: dressed(soup(60, seed=1), *several_materials()),
    "smooth textures": lambda: dressed(ball(2), *several_materials()[:1], tinted=False),
    "cloud": lambda: PointCloud(ball(4).vertices),
    "coloured cloud": lambda: PointCloud(ball(3).vertices, np.random.default_rng(0).random((642, 3), dtype=np.float32)),
}
LIGHTS = (
    *LIGHTINGS.values(),
    Lighting(ambient=0.2, sky=0.5, direction=(1, 2, 3), follows_camera=False, specular=0.6, shininess=5.0, occlusion=1.0),
    Lighting(specular=0, occlusion=0),
)


@pytest.mark.parametrize("distance", [None, 1.9])
@pytest.mark.parametrize("name", SHAPES)
def test_pictures_agree(name: str, distance: float | None) -> None:
    shape, view = SHAPES[name](), viewport(24, distance=distance)
    for lighting in LIGHTS:
        pictures = both(lambda lighting=lighting: shade(shape, view, lighting=lighting, background=(0.2, 0.4, 0.9)))  # type: ignore[misc]
        assert differing(*pictures, by=2e-3) < 4e-3


def test_a_picture_as_background_agrees() -> None:
    ground = torch.rand(72, 72, 3, generator=torch.Generator().manual_seed(0))
    pictures = both(lambda: shade(soup(6, seed=1), viewport(24), background=ground, supersample=3))
    assert differing(*pictures, by=2e-3) < 2e-3


def test_threads_do_not_change_a_picture() -> None:
    mesh, view = dressed(soup(200, seed=3), *several_materials()), viewport(32, views=7)
    before = torch.get_num_threads()
    pictures = []
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        pictures += [shade(mesh, view) for _ in range(2)]
    torch.set_num_threads(before)
    assert all(torch.equal(picture, pictures[0]) for picture in pictures)


def test_several_threads_draw_at_once_beside_torch() -> None:
    mesh, view = soup(200, seed=3), viewport(32)
    expected, product = shade(mesh, view), torch.ones(200, 200) @ torch.ones(200, 200)
    with ThreadPoolExecutor(4) as pool:
        pictures = [pool.submit(shade, mesh, view) for _ in range(8)]
        products = [pool.submit(torch.matmul, torch.ones(200, 200), torch.ones(200, 200)) for _ in range(8)]
    assert all(torch.equal(picture.result(), expected) for picture in pictures)
    assert all(torch.equal(found.result(), product) for found in products)


def test_many_faces_behind_each_other_are_an_error() -> None:
    plane = grid_plane(1)
    mesh = Mesh(plane.vertices, np.tile(plane.faces, (60, 1)))
    with use_limits(replace(limits(), overdraw=50)):
        for draw in (rasterize_mesh, shade):
            with pytest.raises(GeometryError, match="More than 50 of the 120 faces lie behind each other"):
                draw(mesh, from_above(16))
    rasterize_mesh(mesh, from_above(16))


def test_the_variable_switches_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(fast.VARIABLE, "0")
    assert not fast.usable("cpu")
    monkeypatch.delenv(fast.VARIABLE)
    assert fast.usable("cpu")
    assert not fast.usable("cuda")


PROBE = """
import json, sys
import basrelief.render.drawing
before = "numba" in sys.modules
import numpy as np
from basrelief.render.cameras import Viewport, look_at_cameras
from basrelief.render.mesh import rasterize_mesh
from basrelief.types import Mesh
rasterize_mesh(Mesh(np.eye(3, dtype=np.float32), np.array([[0, 1, 2]])), Viewport(look_at_cameras([0.0]), 8))
from basrelief.render.fast.triangles import draw_triangles
stats = draw_triangles.stats
print(json.dumps([before, sum(stats.cache_hits.values()), sum(stats.cache_misses.values())]))
"""


@pytest.mark.slow
def test_machine_code_is_kept_in_the_cache_folder_and_not_by_others(tmp_path: Path) -> None:
    def probe(folder: Path) -> list[int]:
        run = subprocess.run(
            [sys.executable, "-c", PROBE], env={**os.environ, "BASRELIEF_CACHE": str(folder)}, capture_output=True, text=True, check=True
        )
        return list(json.loads(run.stdout))

    assert probe(tmp_path) == [False, 0, 1]
    assert probe(tmp_path) == [False, 1, 0]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert all(path.suffix in (".nbi", ".nbc") for path in files)
    folder = next((tmp_path / "compiled").iterdir())
    folder.chmod(0o777)
    assert probe(tmp_path) == [False, 0, 1]
    (tmp_path / "file").touch()
    assert probe(tmp_path / "file") == [False, 0, 1]


def test_the_renderer_can_be_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    import basrelief.render.shade as module

    drawn: list[Shape] = []
    monkeypatch.setattr(module, "render_thumbnail", lambda shape, **_: drawn.append(shape))
    prepare_renderer()
    assert [type(shape) for shape in drawn] == [Mesh, PointCloud]
    monkeypatch.setenv(fast.VARIABLE, "0")
    prepare_renderer()
    assert len(drawn) == 2


def test_views_and_sizes_of_one() -> None:
    one = Viewport(viewport(1).cameras, 1)
    pictures = both(lambda: shade(ball(1), one, supersample=1))
    assert differing(*pictures, by=2e-3) == 0
