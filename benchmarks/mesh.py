"""Time of a mesh's depth maps: ms for 10 views of 224 x 224 pixels, and the ratio to the reference implementation.

    python benchmarks/mesh.py [--threads 2] [--device cpu] [--no-reference]

The mesh is a bumpy ball, so that every view sees triangles of many sizes. The best of several runs is printed. The reference is timed on
at most 400 of the faces and scaled up, for it takes the same time for each.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
import trimesh

from basrelief.render.cameras import Viewport, look_at_cameras
from basrelief.render.mesh import rasterize_mesh
from basrelief.render.reference import mesh as reference
from basrelief.render.shade import shade
from basrelief.types import Mesh

FACES = (1_280, 20_480, 327_680)
REFERENCE_FACES = 400


def bumpy_ball(faces: int) -> Mesh:
    """An icosphere with bumps, inside the unit sphere; `faces` is 20 times a power of 4."""
    ball = trimesh.creation.icosphere(subdivisions=round(np.log(faces / 20) / np.log(4)))
    bumps = 0.85 + 0.1 * np.sin(7 * ball.vertices).prod(axis=1, keepdims=True)
    return Mesh((ball.vertices * bumps).astype(np.float32), np.asarray(ball.faces))


def best_ms(run: Callable[[], object], device: str, *, runs: int = 7) -> float:
    """Wall time of the fastest of several runs, milliseconds."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        run()
        if device != "cpu":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times) * 1e3


def reference_ms(mesh: Mesh, viewport: Viewport) -> float:
    """Time of the reference on the first faces, scaled to all."""
    part = Mesh(mesh.vertices, mesh.faces[:: max(1, len(mesh.faces) // REFERENCE_FACES)])
    return best_ms(lambda: reference.rasterize_mesh(part, viewport), "cpu", runs=1) * len(mesh.faces) / len(part.faces)


def main() -> None:
    """Print one line for each number of faces."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--no-reference", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    viewport = Viewport(look_at_cameras(np.arange(10) * 36.0, 20.0), 224)
    print(f"torch {torch.__version__}, {options.device}, {options.threads} threads; 10 views of 224 x 224 pixels, best of 7")
    print(f"{'faces':>8} {'depth ms':>9} {'shaded ms':>10} {'slow ms':>12} {'slow/depth':>11}")
    for faces in FACES:
        mesh = bumpy_ball(faces)
        depth = best_ms(lambda mesh=mesh: rasterize_mesh(mesh, viewport, device=options.device), options.device)
        shaded = best_ms(lambda mesh=mesh: shade(mesh, viewport, device=options.device), options.device, runs=3)
        slow = float("nan") if options.no_reference else reference_ms(mesh, viewport)
        print(f"{len(mesh.faces):>8} {depth:>9.1f} {shaded:>10.1f} {slow:>12.0f} {slow / depth:>10.0f}x")


if __name__ == "__main__":
    main()
