"""Checks of a data set: what its card says, and what a sample of its shapes shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from basrelief.datasets import Benchmark, Item, dataset_card, list_datasets
from basrelief.errors import BasreliefError
from basrelief.evaluate.doctor.files import Vote
from basrelief.models import Pose, Recipe, resolve_pose
from basrelief.types import Finding, Mesh, Shape

_SURE = 0.6
_MOST = 0.6


def examine_benchmark(
    benchmark: Benchmark, *, recipe: Recipe | None = None, sample: int = 24, seed: int = 0, vote: Vote = resolve_pose
) -> list[Finding]:
    """Check a data set: its findings against its card, and a sample of its shapes.

    Args:
        benchmark: Opened with `strict=False`, so that what is wrong is a finding.
        recipe: What is to run on it, or None.
        sample: Shapes that are read, of every class in turn.
        seed: Of the choice.
        vote: Says how shapes stand.
    """
    findings = [*benchmark.findings, *_split(benchmark)]
    if benchmark.kind == "depth_maps":
        fact = "These are drawn depth maps: dense, as their authors drew them."
        return [
            *findings,
            Finding("input", "warning", fact, "Give clouds or meshes where you have them."),
        ]
    chosen = _sample(benchmark, sample, seed)
    shapes, failures = _read(benchmark, chosen)
    if failures:
        fact = f"{len(failures)} of {len(chosen)} sampled shapes cannot be read, e.g. {failures[0]}"
        findings.append(Finding("reading", "wrong", fact, "Fetch or export these again; they count as wrong in a figure."))
    if not shapes:
        return findings
    return [*findings, *_axis(shapes, benchmark, vote), *_points(shapes, recipe, benchmark), *_colors(shapes), *_scale(shapes)]


def _split(benchmark: Benchmark) -> Iterator[Finding]:
    if benchmark.split == "train":
        yield Finding("split", "warning", "This is the training split; papers report the test split.", "Leave out --split.")
    card = dataset_card(benchmark.name) if benchmark.name in list_datasets() else None
    if card and card.variant_notes:
        others = ", ".join(variant for variant in card.counts if variant != benchmark.variant)
        fact = f"{benchmark.variant or card.default_variant} is read; others are {others}."
        yield Finding("variant", "ok", f"{fact} {card.variant_notes}")
    classes = Counter(item.label for item in benchmark.items)
    empty = [benchmark.labels[i] for i in range(len(benchmark.labels)) if not classes[i]]
    if empty:
        fact = f"{len(empty)} of {len(benchmark.labels)} classes have no shape in this split, e.g. {empty[0]!r}."
        yield Finding("classes", "warning", fact, "They still compete as labels.")


def _sample(benchmark: Benchmark, count: int, seed: int) -> list[Item]:
    """Shapes of every class in turn, at random."""
    order = np.random.default_rng(seed).permutation(len(benchmark))
    seen: Counter[int] = Counter()
    turns: list[tuple[int, int, Item]] = []
    for place in order.tolist():
        item = benchmark.items[place]
        turns.append((seen[item.label], len(turns), item))
        seen[item.label] += 1
    return [item for _, _, item in sorted(turns, key=lambda turn: turn[:2])[:count]]


def _read(benchmark: Benchmark, items: Sequence[Item]) -> tuple[list[Shape], list[str]]:
    shapes, failures = [], []
    for item in items:
        try:
            shapes.append(benchmark.load(item))
        except BasreliefError as error:
            failures.append(f"{item.id}: {error}")
    return shapes, failures


def _axis(shapes: Sequence[Shape], benchmark: Benchmark, vote: Vote) -> Iterator[Finding]:
    """What most shapes that can tell say about up."""
    poses: list[Pose] = vote(shapes)
    sure = [pose for pose in poses if pose.confidence >= _SURE]
    if not sure:
        yield Finding("upright", "ok", f"None of {len(shapes)} sampled shapes tells by its form what is up.")
        return
    axis, count = Counter(pose.up for pose in sure).most_common(1)[0]
    told = f"{count} of {len(sure)} sampled shapes that tell what is up"
    if axis == "z" and count >= _MOST * len(sure):
        yield Finding("upright", "ok", f"{told} stand upright.")
    elif count >= _MOST * len(sure):
        fact = f"{told} have world {axis} up, so {benchmark.up or 'the format'} is not the up axis of the files."
        yield Finding("upright", "wrong", fact, "A wrong axis costs tens of points: look at one with basrelief render, then give --up.")
    else:
        upright = sum(pose.up == "z" for pose in sure)
        fact = f"Only {upright} of {len(sure)} sampled shapes that tell what is up stand upright; the others do not agree on an axis."
        yield Finding("upright", "warning", fact, "The shapes may lie as they fell: name them with --pose axes.")


def _points(shapes: Sequence[Shape], recipe: Recipe | None, benchmark: Benchmark) -> Iterator[Finding]:
    counts = [len(shape.points) for shape in shapes if not isinstance(shape, Mesh)]
    if not counts:
        return
    fact = f"{min(counts):,} to {max(counts):,} points a shape."
    if recipe is None:
        yield Finding("points", "ok", fact)
        return
    wanted = recipe.for_dataset(benchmark.name).points if benchmark.name in list_datasets() else recipe.points
    if min(counts) < wanted:
        remedy = "Take the copy with more points; the figure is not the paper's with fewer."
        yield Finding("points", "warning", f"{fact} {recipe.name} draws {wanted:,} in its paper.", remedy)
    else:
        yield Finding("points", "ok", f"{fact} {recipe.name} draws {wanted:,} of them.")


def _colors(shapes: Sequence[Shape]) -> Iterator[Finding]:
    with_color = sum(shape.colors is not None for shape in shapes)
    fact = f"{with_color} of {len(shapes)} sampled shapes have colour."
    yield Finding("colour", "ok", f"{fact} Models that draw depth use none; point encoders taught with it take 0.4 grey.")


def _scale(shapes: Sequence[Shape]) -> Iterator[Finding]:
    sizes = [float(np.ptp(shape.vertices if isinstance(shape, Mesh) else shape.points, axis=0).max()) for shape in shapes]
    if min(sizes) <= 0:
        yield Finding("scale", "wrong", "Some shapes have all their points in one place.", "Fetch or export them again.")
        return
    yield Finding("scale", "ok", f"Longest sides from {min(sizes):.3g} to {max(sizes):.3g}; every model normalises by itself.")
