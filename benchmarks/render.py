"""Milliseconds that each depth projection takes for one cloud, beside the original code and the reference implementation.

    python benchmarks/render.py --threads 2
    python benchmarks/render.py --projection clip2point --points 1024 4096 --reference-up-to 0

Times are the best of several runs and include the depth image. `original` is the recorded time of the authors' code: rough medians on a
2-core x86-64 virtual machine, torch on 2 threads, one cloud per call, without the CLIP encoder (CLIP2Point's with pytorch3d's own CPU
rasteriser). OpenDlign's authors published no projection. The references are this project's literal restatements in numpy.
"""

from __future__ import annotations

import argparse
import importlib
import time
from collections.abc import Callable

import numpy as np
import torch

from basrelief.render import PROJECTIONS, Projection, get_projection
from basrelief.render.base import PointBatch

ORIGINAL_MS = {
    ("pointclip", 1024): 0.5,
    ("pointclip", 4096): 1.2,
    ("pointclip-fewshot", 1024): 1.4,
    ("pointclip-fewshot", 4096): 2.0,
    ("pointclip-v2", 1024): 45.0,
    ("pointclip-v2", 4096): 45.0,
    ("clip2point", 1024): 716.0,
    ("clip2point", 4096): 3097.0,
    ("clip2point-zeroshot", 1024): 434.0,
    ("clip2point-zeroshot", 4096): 1913.0,
}
REFERENCES = {
    "pointclip": "pointclip",
    "pointclip-fewshot": "pointclip",
    "pointclip-v2": "pointclip_v2",
    "clip2point": "clip2point",
    "clip2point-zeroshot": "clip2point",
    "discs": "clip2point",
    "opendlign": "opendlign",
}


def shell(count: int) -> np.ndarray:
    """Points on a bumpy closed surface in the unit sphere, (count, 3) float32."""
    direction = np.random.default_rng(0).normal(size=(count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    radius = 0.75 + 0.25 * np.sin(4 * direction[:, 0]) * np.cos(5 * direction[:, 2])
    return (direction * radius[:, None] * (1.0, 0.8, 0.6)).astype(np.float32)


def best_ms(run: Callable[[], object], repeats: int, device: torch.device) -> float:
    """Shortest of some runs after one to warm up."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return 1000 * min(times[1:] or times)


def measure(projection: Projection, count: int, args: argparse.Namespace) -> tuple[float, float | None]:
    """Milliseconds of the projection and of its reference (None where it would take too long)."""
    points = shell(count) @ projection.frame.T
    batch = PointBatch.pack([points], device=args.device)
    ours = best_ms(lambda: projection.image(projection.depth(batch)), args.repeats, args.device)
    if count > args.reference_up_to:
        return ours, None
    reference = importlib.import_module(f"basrelief.render.reference.{REFERENCES[projection.name]}")
    return ours, best_ms(lambda: reference.depth(points, projection), 0, torch.device("cpu"))


def row(projection: Projection, count: int, args: argparse.Namespace) -> str:
    """One line of the table."""
    ours, reference = measure(projection, count, args)
    original = ORIGINAL_MS.get((projection.name, count))
    cells = [f"{projection.name:20}{len(projection.cameras):>6}{count:>9,}{ours:>12.2f}"]
    for other in (original, reference):
        cells.append(f"{other:>12,.1f}{other / ours:>9,.1f}x" if other is not None else f"{'-':>12}{'-':>10}")
    return "".join(cells)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Time the depth projections, one cloud per call.")
    parser.add_argument("--threads", type=int, default=2, help="torch threads (2)")
    parser.add_argument("--points", type=int, nargs="+", default=[1024, 4096, 10_000, 100_000], help="points of a cloud")
    parser.add_argument("--projection", nargs="+", default=list(PROJECTIONS), choices=list(PROJECTIONS), help="which (all)")
    parser.add_argument("--repeats", type=int, default=10, help="best of so many runs (10)")
    parser.add_argument("--reference-up-to", type=int, default=1024, help="largest cloud that the reference draws too (1024; 0 for none)")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"), help="cpu or cuda")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(f"torch {torch.__version__}, {args.device}, {args.threads} threads, best of {args.repeats}, depth and image of one cloud")
    print(f"{'projection':20}{'views':>6}{'points':>9}{'ms':>12}{'original ms':>12}{'ratio':>10}{'slow ms':>12}{'ratio':>10}")
    with torch.no_grad():
        for name in args.projection:
            for count in args.points:
                print(row(get_projection(name), count, args), flush=True)


if __name__ == "__main__":
    main()
