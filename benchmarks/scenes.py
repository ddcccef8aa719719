"""Proposals of scans: how much they find, how they rank it, seconds and memory.

    python benchmarks/scenes.py recall --first 500000 --rooms 6
    python benchmarks/scenes.py speed --points 100000 1000000
    python benchmarks/scenes.py segmentation
    python benchmarks/scenes.py labels --model tiny

`recall` scans generated rooms virtually, prepares them as `detect` does, and counts the things with a side above 20 cm whose box some
proposal meets, whatever their name. `random` are boxes of the sizes of things in other rooms, at random places. `AP` ranks
all proposals of all rooms by score. Seeds below 500,000 were used to choose and fit, those from there to 1,000,000 to validate.
`segmentation` compares the components with a plain loop over all edges, which must agree, on the same graph.
`labels` embeds and labels the boxes of a room, then asks for other words.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable

import numpy as np

import basrelief as br
from basrelief.geometry.box_iou import box_iou
from basrelief.geometry.boxes import Boxes
from basrelief.metrics.detection import ScoredBoxes, found_boxes, score_detections
from basrelief.scenes import embed_boxes, label_boxes
from basrelief.scenes.given import to_scene
from basrelief.scenes.guard import prepare_scene
from basrelief.scenes.proposals import Proposals, propose
from basrelief.scenes.scene import Scene
from basrelief.scenes.segmentation.graph import felzenszwalb, neighbour_graph, sort_edges, voxel_normals
from basrelief.scenes.segmentation.voxels import make_voxels
from basrelief.shapes.room_layouts import MORE_ROOM_WORDS, ROOM_WORDS
from basrelief.shapes.rooms import make_room
from basrelief.shapes.virtual_scan import scan_room
from peers.plain_segmentation import plain_felzenszwalb

LIMITS = (50, 100, 200)
LEAST_SIDE = 0.2
SCALES = (0.1, 0.3, 1.0, 3.0)


def random_boxes(scene: Scene, sizes: np.ndarray, *, limit: int, seed: int) -> Proposals:
    """Boxes of given sizes at random places; two of three on the floor."""
    rng = np.random.default_rng(seed)
    low, high = scene.cloud.points.min(axis=0), scene.cloud.points.max(axis=0)
    chosen = sizes[rng.integers(len(sizes), size=limit)]
    centers = rng.uniform(low, high, (limit, 3))
    centers[:, 2] = np.where(rng.random(limit) < 2 / 3, low[2] + chosen[:, 2] / 2, centers[:, 2])
    return Proposals(Boxes(centers, chosen), np.ones(limit, dtype=np.float32), "random")


def recall(options: argparse.Namespace) -> None:
    """Print recall and average precision of each method, whatever the class."""
    sizes = np.concatenate([make_room(seed=seed, kind=options.kind).boxes.sizes for seed in range(6)])
    methods: dict[str, Callable[[Scene], Proposals]] = {
        method: lambda scene, method=method: propose(scene, method, limit=max(LIMITS)) for method in options.methods
    }
    methods["random"] = lambda scene: random_boxes(scene, sizes, limit=max(LIMITS), seed=0)
    overlaps: dict[str, list[np.ndarray]] = {name: [] for name in methods}
    scored: dict[str, list[ScoredBoxes]] = {name: [] for name in methods}
    seconds: dict[str, float] = dict.fromkeys(methods, 0.0)
    things = 0
    for seed in range(options.first, options.first + options.rooms):
        room = make_room(seed=seed, kind=options.kind)
        scan = scan_room(room, seed=seed)
        scene = prepare_scene(scan.cloud)
        true = room.oriented if scene.kind == "tabletop" else room.boxes
        truth = to_scene(scene, true.centers, true.sizes, true.rotations())
        large = np.flatnonzero(truth.sizes.max(axis=1) > (0 if options.kind == "tabletop" else LEAST_SIDE))
        things += len(large)
        for name, method in methods.items():
            start = time.perf_counter()
            found = method(scene)
            seconds[name] += time.perf_counter() - start
            iou = box_iou(found.boxes, truth)
            overlaps[name].append(iou[:, large])
            scored[name].append(ScoredBoxes(found.scores[:, None].astype(np.float64), iou, np.zeros(len(truth), dtype=np.int64)))
        shares = [np.mean(found_boxes([overlaps[name][-1]], iou=0.25)[0]) for name in methods]
        line = "  ".join(f"{name} {share:.2f}" for name, share in zip(methods, shares, strict=True))
        print(f"{room}: {len(scan.cloud.points):,} points, {len(large)} things; recall at IoU 0.25 of {max(LIMITS)}: {line}", flush=True)
    print(f"\n{things} things      " + "".join(f"  {limit:>4} boxes    " for limit in LIMITS) + "  AP25   AP50   seconds a room")
    for name in methods:
        cells = []
        for limit in LIMITS:
            shares = [np.mean(np.concatenate(found_boxes(overlaps[name], iou=iou, limit=limit))) for iou in (0.25, 0.5)]
            cells.append(f"  {shares[0]:.3f} {shares[1]:.3f}")
        precision = [score_detections(scored[name], ["thing"], iou=iou).mean() for iou in (0.25, 0.5)]
        print(f"{name:<14}" + "  ".join(cells) + f"    {precision[0]:.3f}  {precision[1]:.3f}  {seconds[name] / options.rooms:.1f}")


def speed(options: argparse.Namespace) -> None:
    """Print seconds and memory of the guard and of each method, by points."""
    for points in options.points:
        room = make_room(seed=2)
        scan = scan_room(room, seed=2, points=points)
        times, busy = [time.perf_counter()], [time.process_time()]
        scene = prepare_scene(scan.cloud)
        times.append(time.perf_counter())
        busy.append(time.process_time())
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for method in options.methods:
            found = propose(scene, method)
            times.append(time.perf_counter())
            busy.append(time.process_time())
            grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
            used = f"{busy[-1] - busy[-2]:.2f} s of a processor (guard {busy[1] - busy[0]:.2f} s)"
            print(
                f"{len(scan.cloud.points):>9,} points, {scene.objects.sum():>9,} of things  {method:<10} {len(found):>4} boxes "
                f"{times[-1] - times[-2]:6.2f} s, {used}, peak memory grows by {grown:.0f} MB",
                flush=True,
            )


def segmentation(options: argparse.Namespace) -> None:
    """Print seconds of the segmentation and of a plain loop on the same graph."""
    scene = prepare_scene(scan_room(make_room(seed=2), seed=2, points=options.points[0]).cloud)
    voxels = make_voxels(scene.cloud.points[scene.objects], 0.04)
    graph = neighbour_graph(voxels.centers, neighbours=10, reach=0.12)
    normals, _ = voxel_normals(voxels, graph)
    bend = 1 - np.abs(np.einsum("ni,ni->n", normals[graph.pairs[:, 0]], normals[graph.pairs[:, 1]]))
    pairs, heights = sort_edges(graph.pairs, bend)
    for scale in SCALES:
        times = []
        labels = []
        for function in (felzenszwalb, plain_felzenszwalb):
            start = time.perf_counter()
            labels.append(function(len(voxels), pairs, heights, scale))
            times.append(time.perf_counter() - start)
        same = len(np.unique(labels[0] * len(voxels) + labels[1])) == labels[0].max() + 1 == labels[1].max() + 1
        print(
            f"{len(voxels):,} voxels, {len(pairs):,} edges, scale {scale}: {times[0]:.3f} s, plain {times[1]:.3f} s, "
            f"ratio {times[1] / times[0]:.1f}, {labels[0].max() + 1:,} segments, {'equal' if same else 'DIFFERENT'}"
        )


def labels(options: argparse.Namespace) -> None:
    """Print seconds of embedding 200 boxes, of labelling them, and of other words, which need no embedding."""
    model = br.load_model(options.model)
    scene = prepare_scene(scan_room(make_room(seed=2), seed=2, points=options.points[0]).cloud)
    found = propose(scene, options.methods[0], limit=200)
    times = [time.perf_counter()]
    embedded = embed_boxes(scene, found, model)
    times.append(time.perf_counter())
    detections = label_boxes(embedded, ROOM_WORDS)
    times.append(time.perf_counter())
    detections.relabel(MORE_ROOM_WORDS)
    times.append(time.perf_counter())
    first, second, third = np.diff(times)
    print(
        f"{model.name}: {len(embedded)} of {len(found)} boxes embedded in {first:.2f} s, labelled in {second:.2f} s, "
        f"other words in {third:.2f} s"
    )


PARTS = {"recall": recall, "speed": speed, "segmentation": segmentation, "labels": labels}


def main() -> None:
    """Run the chosen part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", default="speed", choices=PARTS)
    parser.add_argument("--first", type=int, default=500_000, help="seed of the first room")
    parser.add_argument("--rooms", type=int, default=6)
    parser.add_argument("--kind", default=None, help="kind of room; all in turn by default")
    parser.add_argument("--points", type=int, nargs="+", default=[100_000])
    parser.add_argument("--model", default="tiny", help="for labels")
    parser.add_argument("--methods", nargs="+", default=["segments", "clusters"])
    options = parser.parse_args()
    PARTS[options.part](options)


if __name__ == "__main__":
    main()
