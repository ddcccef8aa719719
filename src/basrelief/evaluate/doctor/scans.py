"""Checks of a data set of annotated scans: its files, and a sample of its scans."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from basrelief.datasets import ScanSet
from basrelief.errors import FileFormatError
from basrelief.evaluate.doctor.sample import balanced_sample
from basrelief.types import Finding, Mesh

_EXTENT = (1.0, 40.0)  # metres that the longer horizontal side of an interior may have


def check_scans(scans: ScanSet, *, sample: int = 24, seed: int = 0) -> list[Finding]:
    """Check a data set of scans: layout, split, annotations, alignment, and a sample of its scans.

    Args:
        scans: From `open_scans`.
        sample: Number of scans to read, one at a time.
        seed: Seed of the sample.
    """
    chosen = balanced_sample(scans.scans, lambda _: 0, count=sample, seed=seed)
    labels, extents, without_boxes, unaligned, failures = [], [], 0, [], []
    for item in chosen:
        try:
            scan = item.load()
        except FileFormatError as error:
            failures.append(str(error))
            continue
        points = scan.shape.vertices if isinstance(scan.shape, Mesh) else scan.shape.points
        extents.append(np.ptp(np.percentile(points, [1, 99], axis=0), axis=0))
        labels += scan.labels.tolist()
        without_boxes += not len(scan.labels)
        unaligned += [finding.fact for finding in scan.findings]
    findings = [*scans.findings, *_count(scans)]
    if failures:
        fact = f"{len(failures)} of {len(chosen)} sampled scans cannot be used. {failures[0]}"
        findings.append(Finding("reading", "wrong", fact, "Unpack or download them again; scans that cannot be used count as missed."))
    if not extents:
        return findings
    read = len(extents)
    findings.append(Finding("reading", "ok", f"{read} sampled scans have {len(labels):,} boxes, {without_boxes} of them have none."))
    if unaligned:
        fact = f"{len(unaligned)} of {read} sampled scans are not aligned with their walls. {unaligned[0]}"
        findings.append(Finding("alignment", "warning", fact, "Download the files that say so: published boxes follow the walls."))
    return [*findings, *_classes(scans, labels), *_scale(np.array(extents))]


def _count(scans: ScanSet) -> Iterator[Finding]:
    expected = scans.card.count("", scans.split)
    fact = f"{len(scans):,} scans of {scans.split}, {expected or 0:,} expected ({scans.card.title})."
    if expected is not None and expected != len(scans):
        yield Finding("count", "warning", fact, "Figures on a part of the split do not compare with published ones.")
    elif expected is not None:
        yield Finding("count", "ok", fact)
    yield Finding("licence", "ok", f"{scans.card.licence}. {scans.card.notes}")


def _classes(scans: ScanSet, labels: Sequence[int]) -> Iterator[Finding]:
    counts = np.bincount(np.array(labels, dtype=np.int64), minlength=len(scans.class_names))
    empty = [name for name, count in zip(scans.class_names, counts, strict=True) if not count]
    fact = f"{len(scans.class_names) - len(empty)} of {len(scans.class_names)} classes occur in the sample."
    absent = f" Not among them: {', '.join(empty[:5])}." if empty else ""
    if not labels:
        yield Finding("classes", "wrong", fact, "Check that annotations and table of labels belong together.")
    else:
        yield Finding("classes", "ok", f"{fact}{absent}")
    if scans.classes.catch_all:
        names = ", ".join(map(repr, scans.classes.catch_all))
        yield Finding("classes", "ok", f"{names} also names boxes of other things: report means with and without it.")


def _scale(extents: np.ndarray) -> Iterator[Finding]:
    sides, heights = extents[:, :2].max(axis=1), extents[:, 2]
    fact = f"Longer horizontal sides from {sides.min():.3g} to {sides.max():.3g}, heights from {heights.min():.3g} to {heights.max():.3g}."
    if not _EXTENT[0] <= np.median(sides) <= _EXTENT[1]:
        yield Finding("scale", "wrong", f"{fact} That is not metres.", "Scans and boxes must be in metres; export them again.")
    elif np.median(heights) > np.median(sides):
        yield Finding("up axis", "wrong", f"{fact} Most are taller than wide.", "The files must be +Z up; export them again.")
    else:
        yield Finding("scale", "ok", f"{fact} In metres, +Z up.")
