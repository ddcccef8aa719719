"""Time of drawing meshes: ms for 10 views of 224 x 224 pixels, depth maps and shaded, and for a thumbnail of 128 x 128 pixels.

    GOMP_SPINCOUNT=10000 python benchmarks/mesh.py [--threads 2] [--device cpu] [--no-reference] [--compile]

`numba` is what is used where the `fast` extra is installed, `torch` what is used elsewhere. The mesh is a bumpy ball, so that every view
sees triangles of many sizes; `textured` has a texture of 1,024 x 1,024 pixels on it. The best of several runs is printed. `peer` is what a
user would write with numba alone: edge functions over the bounding box of each triangle, views in parallel. `slow` is the reference
implementation, timed on at most 400 of the faces and scaled up, for it takes the same time for each. `--compile` also prints how long
compiling takes the first time, and loading the compiled code later.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from tempfile import TemporaryDirectory

import numpy as np
import torch
import trimesh

from basrelief.appearance import Appearance, Material
from basrelief.render import fast, render_thumbnail
from basrelief.render.cameras import Viewport, look_at_cameras
from basrelief.render.mesh import rasterize_mesh
from basrelief.render.reference import mesh as reference
from basrelief.render.shade import shade
from basrelief.types import Mesh, PointCloud

FACES = (1_280, 20_480, 327_680)
REFERENCE_FACES = 400
POINTS = 10_000
PREPARE = (
    "import time; from basrelief.render.shade import prepare_renderer as f; t = time.perf_counter(); f(); print(time.perf_counter() - t)"
)


def bumpy_ball(faces: int) -> Mesh:
    """An icosphere with bumps, inside the unit sphere; `faces` is 20 times a power of 4."""
    ball = trimesh.creation.icosphere(subdivisions=round(np.log(faces / 20) / np.log(4)))
    bumps = 0.85 + 0.1 * np.sin(7 * ball.vertices).prod(axis=1, keepdims=True)
    return Mesh((ball.vertices * bumps).astype(np.float32), np.asarray(ball.faces))


def textured(mesh: Mesh) -> Mesh:
    """The mesh with a texture of smooth noise."""
    small = np.random.default_rng(0).integers(0, 256, (32, 32, 4), dtype=np.uint8)
    material = Material(texture=small.repeat(32, 0).repeat(32, 1))
    uv = np.stack([np.arctan2(mesh.vertices[:, 1], mesh.vertices[:, 0]) / np.pi, mesh.vertices[:, 2]], axis=1)
    return Mesh(mesh.vertices, mesh.faces, appearance=Appearance((material,), np.zeros(len(mesh.faces), np.int32), uv.astype(np.float32)))


def best_ms(run: Callable[[], object], device: str, *, runs: int = 7) -> float:
    """Wall time of the fastest of several runs after one to warm up, milliseconds."""
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        run()
        if device != "cpu":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times[1:] or times) * 1e3


def reference_ms(mesh: Mesh, viewport: Viewport) -> float:
    """Time of the reference on the first faces, scaled to all."""
    part = Mesh(mesh.vertices, mesh.faces[:: max(1, len(mesh.faces) // REFERENCE_FACES)])
    start = time.perf_counter()
    reference.rasterize_mesh(part, viewport)
    return (time.perf_counter() - start) * 1e3 * len(mesh.faces) / len(part.faces)


def peer(threads: int) -> Callable[[Mesh, Viewport], np.ndarray]:
    """A z-buffer as a user of numba would write it; orthographic depth maps (V, S, S)."""
    import numba

    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))

    @numba.njit(parallel=True, fastmath=True)  # type: ignore[untyped-decorator]
    def draw(vertices: np.ndarray, faces: np.ndarray, rotation: np.ndarray, depth: np.ndarray) -> None:
        size = depth.shape[1]
        for view in numba.prange(len(depth)):
            r, a, b, c = rotation[view], vertices[:, 0], vertices[:, 1], vertices[:, 2]
            x = (r[0, 0] * a + r[0, 1] * b + r[0, 2] * c + 1) * (size / 2) - 0.5
            y = (r[1, 0] * a + r[1, 1] * b + r[1, 2] * c + 1) * (size / 2) - 0.5
            far = r[2, 0] * a + r[2, 1] * b + r[2, 2] * c
            for face in range(len(faces)):
                i, j, k = faces[face, 0], faces[face, 1], faces[face, 2]
                area = (x[j] - x[i]) * (y[k] - y[i]) - (x[k] - x[i]) * (y[j] - y[i])
                if area == 0:
                    continue
                left, right = max(0, int(np.ceil(min(x[i], x[j], x[k])))), min(size - 1, int(max(x[i], x[j], x[k])))
                top, bottom = max(0, int(np.ceil(min(y[i], y[j], y[k])))), min(size - 1, int(max(y[i], y[j], y[k])))
                for row in range(top, bottom + 1):
                    for column in range(left, right + 1):
                        u = ((x[j] - column) * (y[k] - row) - (x[k] - column) * (y[j] - row)) / area
                        v = ((x[k] - column) * (y[i] - row) - (x[i] - column) * (y[k] - row)) / area
                        w = 1 - u - v
                        if u >= 0 and v >= 0 and w >= 0:
                            z = u * far[i] + v * far[j] + w * far[k]
                            depth[view, row, column] = min(depth[view, row, column], z)

    def run(mesh: Mesh, viewport: Viewport) -> np.ndarray:
        depth = np.full((len(viewport.cameras), viewport.size, viewport.size), np.inf, np.float32)
        draw(mesh.vertices, mesh.faces, np.ascontiguousarray(viewport.cameras.rotation), depth)
        return depth

    return run


def row(name: str, draw: Callable[[], object], device: str, runs: int) -> tuple[str, float]:
    """One line of the table, by numba and by torch; and the time by numba, or by torch without it."""
    compiled = fast.usable(device)
    times = [best_ms(draw, device, runs=runs)] if compiled else []
    with fast.without_numba() if compiled else nullcontext():
        times.append(best_ms(draw, device, runs=2 if compiled else runs))
    cells = f"{times[0]:>9.1f} {times[1]:>9.1f} {times[1] / times[0]:>8.1f}x" if compiled else f"{'-':>9} {times[0]:>9.1f} {'-':>9}"
    return f"{name:<28} {cells}", times[0]


def compile_seconds() -> tuple[float, float]:
    """Seconds that drawing takes the first time after an installation, and in each later process."""
    with TemporaryDirectory() as folder:
        environment = {**os.environ, "BASRELIEF_CACHE": folder}
        first, later = (
            float(subprocess.run([sys.executable, "-c", PREPARE], env=environment, capture_output=True, text=True, check=True).stdout)
            for _ in range(2)
        )
    return first, later


def main() -> None:
    """Print one line for each number of faces and kind of picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--runs", type=int, default=7, help="best of so many runs (7)")
    parser.add_argument("--faces", type=int, nargs="+", default=list(FACES))
    parser.add_argument("--no-reference", action="store_true")
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device, runs = options.device, options.runs
    print(f"torch {torch.__version__}, {device}, {options.threads} threads; 10 views of 224 x 224 pixels, ms, best of {runs}")
    if options.compile and fast.usable(device):
        first, later = compile_seconds()
        print(f"compiling {first:.1f} s once, loading {later:.1f} s in each later process")
    view = Viewport(look_at_cameras(np.arange(10) * 36.0, 20.0), 224)
    other = peer(options.threads) if fast.usable(device) else None
    print(f"{'':<28} {'numba':>9} {'torch':>9} {'ratio':>9}")
    for faces in options.faces:
        mesh = bumpy_ball(faces)
        print(f"{len(mesh.faces):,} faces")
        line, ours = row("  depth", lambda mesh=mesh: rasterize_mesh(mesh, view, device=device), device, runs)
        if other is not None:
            peers = best_ms(lambda mesh=mesh: other(mesh, view), device, runs=runs)
            line += f"   peer {peers:.1f}, {peers / ours:.1f}x"
        if not options.no_reference:
            line += f"   slow {reference_ms(mesh, view):,.0f}"
        print(line, flush=True)
        for name, shape in (("  shaded", mesh), ("  shaded, textured", textured(mesh))):
            print(row(name, lambda shape=shape: shade(shape, view, device=device), device, min(runs, 3))[0], flush=True)
        if device == "cpu":
            print(row("  thumbnail", lambda mesh=mesh: render_thumbnail(mesh, size=128, supersample=2), device, runs)[0], flush=True)
    cloud = PointCloud(np.random.default_rng(0).normal(size=(POINTS, 3)).astype(np.float32) * 0.3)
    print(f"{POINTS:,} points")
    print(row("  shaded", lambda: shade(cloud, view, device=device), device, min(runs, 3))[0])


if __name__ == "__main__":
    main()
