"""Milliseconds that each depth projection takes for one cloud, beside the original code and the reference implementation.

    python benchmarks/render.py --threads 2
    python benchmarks/render.py --projection clip2point --points 1024 4096 --reference-up-to 0

Times are the best of several runs and include the depth image. `original` is the recorded time of the authors' code: rough medians on a
2-core x86-64 virtual machine, torch on 2 threads, one cloud per call, without the CLIP encoder (CLIP2Point's with pytorch3d's own CPU
rasteriser). `peer` is, for `opendlign`, what a user would write with well-kept libraries, run beside ours: torch's maximum over whole
planes and OpenCV's bilateral filter (`pip install opencv-python-headless`). The references are this project's literal restatements in
numpy.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from basrelief.render import PROJECTIONS, Projection, get_projection
from basrelief.render.base import PointBatch
from basrelief.render.opendlign import OpenDlignProjection

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
    ("opendlign", 1024): 73.0,
    ("opendlign", 4096): 75.0,
    ("opendlign", 10_000): 79.0,
}
REFERENCES = {
    "pointclip": "pointclip",
    "pointclip-fewshot": "pointclip",
    "pointclip-v2": "pointclip_v2",
    "clip2point": "clip2point",
    "clip2point-zeroshot": "clip2point",
    "discs": "clip2point",
    "opendlign": "opendlign",
    "opendlign-paper": "opendlign_paper",
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


def peer(points: np.ndarray, projection: OpenDlignProjection) -> Tensor:
    """OpenDlign's images by torch's and OpenCV's functions on the six planes that can hold points, (V, size, size)."""
    import cv2

    cv2.setNumThreads(torch.get_num_threads())
    right, down, ahead = torch.einsum(
        "vij,nj->ivn", torch.from_numpy(projection.cameras.rotation @ projection.frame.T), torch.from_numpy(points)
    )
    camera = torch.stack([down, right, -ahead])
    low, high = camera.amin(2, keepdim=True), camera.amax(2, keepdim=True)
    unit = (camera - (high + low) / 2) / (high - low).amax(0) * 2
    size, planes = projection.size, projection.planes - 2
    near = ((unit[2] + 1) / 2 + projection.bias) / (1 + projection.bias) * planes
    row, column = ((axis * projection.ratio + 1).div(2).mul(size).ceil().clamp(1, size - 2).long() for axis in unit[:2])
    plane = near.ceil().clamp(1, planes).long() - 1
    grid = torch.zeros(len(plane) * planes * size * size)
    index = ((torch.arange(len(plane))[:, None] * planes + plane) * size + row) * size + column
    grid.scatter_reduce_(0, index.flatten(), near.clamp(1, planes).flatten(), "amax")
    dense = max_pool2d(max_pool2d(grid.view(-1, planes, size, size), (7, 1), 1, (3, 0)), (1, 7), 1, (0, 3))
    smooth = [cv2.bilateralFilter(one.numpy(), 5, projection.sigma, projection.sigma) for one in dense.flatten(0, 1)]
    seen = torch.from_numpy(np.stack(smooth)).view(-1, planes, size, size).amax(1)
    return 1 - seen / seen.amax((1, 2), keepdim=True)


def measure(projection: Projection, count: int, args: argparse.Namespace) -> tuple[float, float | None, float | None]:
    """Milliseconds of the projection, of its peer and of its reference (None where there is none or it would take too long)."""
    points = shell(count) @ projection.frame.T
    batch = PointBatch.pack([points], device=args.device)
    ours = best_ms(lambda: projection.image(projection.depth(batch)), args.repeats, args.device)
    other = slow = None
    if type(projection) is OpenDlignProjection and args.device.type == "cpu" and importlib.util.find_spec("cv2"):
        other = best_ms(lambda: peer(points, projection), args.repeats, args.device)
    if count <= args.reference_up_to:
        reference = importlib.import_module(f"basrelief.render.reference.{REFERENCES[projection.name]}")
        slow = best_ms(lambda: reference.depth(points, projection), 0, torch.device("cpu"))
    return ours, other, slow


def row(projection: Projection, count: int, args: argparse.Namespace) -> str:
    """One line of the table."""
    ours, other, reference = measure(projection, count, args)
    original = ORIGINAL_MS.get((projection.name, count))
    cells = [f"{projection.name:20}{len(projection.cameras):>6}{count:>9,}{ours:>12.2f}"]
    for time_ms in (original, other, reference):
        cells.append(f"{time_ms:>12,.1f}{time_ms / ours:>9,.1f}x" if time_ms is not None else f"{'-':>12}{'-':>10}")
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
    others = "".join(f"{name + ' ms':>12}{'ratio':>10}" for name in ("original", "peer", "slow"))
    print(f"{'projection':20}{'views':>6}{'points':>9}{'ms':>12}{others}")
    with torch.no_grad():
        for name in args.projection:
            for count in args.points:
                print(row(get_projection(name), count, args), flush=True)


if __name__ == "__main__":
    main()
