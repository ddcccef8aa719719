"""Checks of a data set: its data card, and a sample of its shapes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from basrelief.datasets import Benchmark, Item
from basrelief.errors import BasreliefError
from basrelief.evaluate.doctor.files import Vote
from basrelief.evaluate.doctor.sample import balanced_sample
from basrelief.models import Pose, Recipe, resolve_pose
from basrelief.types import Finding, Mesh, Shape

_MIN_CONFIDENCE = 0.6
_MAJORITY = 0.6


def check_benchmark(
    benchmark: Benchmark, *, recipe: Recipe | None = None, sample: int = 24, seed: int = 0, vote: Vote = resolve_pose
) -> list[Finding]:
    """Check a data set: its findings against its card, and a sample of its shapes.

    Args:
        benchmark: Opened with `strict=False`, so that mismatches with the card are findings.
        recipe: The model that is to run on it, or None.
        sample: Number of shapes to read, balanced over classes.
        seed: Seed of the sample.
        vote: Estimates the up axis of shapes.
    """
    findings = [*benchmark.findings, *_split(benchmark)]
    if benchmark.kind == "depth_maps":
        fact = "The files are rendered depth maps, dense as their authors rendered them."
        return [
            *findings,
            Finding("input", "warning", fact, "Use point clouds or meshes if you have them."),
        ]
    chosen = _sample(benchmark, sample, seed)
    shapes, failures = _read(benchmark, chosen)
    if failures:
        fact = f"{len(failures)} of {len(chosen)} sampled shapes cannot be read, e.g. {failures[0]}"
        findings.append(Finding("reading", "wrong", fact, "Download or export them again; unreadable shapes count as wrong."))
    if not shapes:
        return findings
    return [*findings, *_axis(shapes, benchmark, vote), *_points(shapes, recipe, benchmark), *_colors(shapes), *_scale(shapes)]


def _split(benchmark: Benchmark) -> Iterator[Finding]:
    if benchmark.split == "train":
        yield Finding("split", "warning", "This is the training split; papers report the test split.", "Leave out --split.")
    card = benchmark.card
    if card and card.variant_notes:
        others = ", ".join(variant for variant in card.counts if variant != benchmark.variant)
        fact = f"The variant is {benchmark.variant or card.default_variant}; others are {others}."
        yield Finding("variant", "ok", f"{fact} {card.variant_notes}")
    classes = Counter(item.label for item in benchmark.items)
    empty = [benchmark.labels[i] for i in range(len(benchmark.labels)) if not classes[i]]
    if empty:
        fact = f"{len(empty)} of {len(benchmark.labels)} classes have no shape in this split, e.g. {empty[0]!r}."
        yield Finding("classes", "warning", fact, "They still count as labels.")


def _sample(benchmark: Benchmark, count: int, seed: int) -> list[Item]:
    """A random sample, balanced over classes."""
    return balanced_sample(benchmark.items, lambda item: item.label, count=count, seed=seed)


def _read(benchmark: Benchmark, items: Sequence[Item]) -> tuple[list[Shape], list[str]]:
    shapes, failures = [], []
    for item in items:
        try:
            shapes.append(benchmark.load(item))
        except BasreliefError as error:
            failures.append(f"{item.id}: {error}")
    return shapes, failures


def _axis(shapes: Sequence[Shape], benchmark: Benchmark, vote: Vote) -> Iterator[Finding]:
    """Return the up axis of most shapes that are not ambiguous."""
    poses: list[Pose] = vote(shapes)
    sure = [pose for pose in poses if pose.confidence >= _MIN_CONFIDENCE]
    if not sure:
        yield Finding("upright", "ok", f"The form of none of {len(shapes)} sampled shapes tells which way is up.")
        return
    axis, count = Counter(pose.up for pose in sure).most_common(1)[0]
    share = f"{count} of {len(sure)} sampled shapes with a clear up direction"
    if axis == "z" and count >= _MAJORITY * len(sure):
        yield Finding("upright", "ok", f"{share} stand upright.")
    elif count >= _MAJORITY * len(sure):
        fact = f"{share} have world {axis} up, so {benchmark.up or 'the format default'} is not the up axis of the files."
        yield Finding("upright", "wrong", fact, "A wrong axis costs tens of points. Look at a shape with basrelief render, then pass --up.")
    else:
        upright = sum(pose.up == "z" for pose in sure)
        fact = f"Only {upright} of {len(sure)} sampled shapes with a clear up direction stand upright; the others disagree on an axis."
        yield Finding("upright", "warning", fact, "The shapes may have random orientations: classify them with --pose axes.")


def _points(shapes: Sequence[Shape], recipe: Recipe | None, benchmark: Benchmark) -> Iterator[Finding]:
    counts = [len(shape.points) for shape in shapes if not isinstance(shape, Mesh)]
    if not counts:
        return
    fact = f"{min(counts):,} to {max(counts):,} points per shape."
    if recipe is None:
        yield Finding("points", "ok", fact)
        return
    wanted = recipe.for_dataset(benchmark.name).points if benchmark.card else recipe.points
    if min(counts) < wanted:
        remedy = "Use a copy with more points; with fewer, accuracy is not comparable to the paper's."
        yield Finding("points", "warning", f"{fact} {recipe.name} samples {wanted:,} in its paper.", remedy)
    else:
        yield Finding("points", "ok", f"{fact} {recipe.name} samples {wanted:,} of them.")


def _colors(shapes: Sequence[Shape]) -> Iterator[Finding]:
    with_color = sum(shape.colors is not None for shape in shapes)
    fact = f"{with_color} of {len(shapes)} sampled shapes have colour."
    yield Finding("colour", "ok", f"{fact} Depth models use none; point encoders trained with colour get 0.4 grey instead.")


def _scale(shapes: Sequence[Shape]) -> Iterator[Finding]:
    sizes = [float(np.ptp(shape.vertices if isinstance(shape, Mesh) else shape.points, axis=0).max()) for shape in shapes]
    if min(sizes) <= 0:
        yield Finding("scale", "wrong", "Some shapes have all their points at one position.", "Download or export them again.")
        return
    yield Finding("scale", "ok", f"Longest sides from {min(sizes):.3g} to {max(sizes):.3g}; every model normalises its input.")
