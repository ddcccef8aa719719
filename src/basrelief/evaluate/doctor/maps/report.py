"""Findings about depth maps: which variant drew them, how sure that is, and how they are stored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from basrelief.evaluate.doctor.maps.compare import MapComparison, Searched, VariantScore, WorstShape, compare_maps
from basrelief.evaluate.doctor.maps.order import describe_order
from basrelief.evaluate.doctor.maps.picture import comparison_sheet
from basrelief.evaluate.doctor.maps.read import MapFormat
from basrelief.evaluate.doctor.maps.search import EXACT
from basrelief.evaluate.doctor.maps.variants import AUTHORS, Variant
from basrelief.types import Finding, Progress

if TYPE_CHECKING:
    from PIL.Image import Image

_MOVED = 0.001
"""Share of the pixels of maps of 224 pixels that may differ: rounding moves single points to the next voxel, and 7 x 7 pixels with them."""
_OVERLAP = 0.999
_CHANCE = 1.25
"""Largest ratio of the score to that between random choices of points."""
_UNSURE = 1.15
"""Smallest ratio of the next best score to the best one that tells them apart."""
_COLOR_MAP = 0.9


@dataclass(frozen=True, eq=False)
class MapDiagnosis:
    """What is known about the depth maps of a folder.

    Attributes:
        comparison: The figures.
        findings: What they mean, the answer first.
        worst: Maps of the shape with the largest error; None if nothing could be compared.
    """

    comparison: MapComparison
    findings: tuple[Finding, ...]
    worst: WorstShape | None

    def sheet(self) -> Image | None:
        """Draw stored maps, drawn maps and differences of the worst shape; None if nothing could be compared."""
        return None if self.worst is None else comparison_sheet(self.worst)


def diagnose_maps(
    folder: Path | str, *, clouds: Path | str | None = None, sample: int = 24, seed: int = 0, progress: Progress | None = None
) -> list[MapDiagnosis]:
    """Find out which known projection drew depth maps, and from which points.

    Four shapes decide between all variants: OpenDlign's program, the text of its paper and PointCLIP V2, 48 orientations of the cloud, two
    scales, a median, several choices of points, any order of the views. The best ones are then measured on the whole sample.

    Args:
        folder: Folder with depth maps `ID+CLASS_dm.npy` (V, S, S) or (V, S, S, 3), or one above it.
        clouds: Folder of the point clouds, called `ID` or `ID+CLASS`. By default they are looked for below `folder`; if it holds the maps
            itself and no cloud, then beside it.
        sample: Number of shapes of each folder of maps to compare, balanced over classes.
        seed: Seed of the sample and of random choices of points.
        progress: Called after each step.

    Returns:
        A diagnosis of each folder that holds maps.

    Raises:
        ConfigError: If there are no maps, or no point clouds for them.
    """
    compared = compare_maps(Path(folder), clouds=Path(clouds) if clouds else None, sample=sample, seed=seed, progress=progress)
    return [MapDiagnosis(comparison, tuple(findings(comparison)), worst) for comparison, worst in compared]


def findings(comparison: MapComparison) -> Iterator[Finding]:
    """Say what a comparison means, the answer first."""
    for check in (_agreement, _properties, _storage, _worst, _failures):
        yield from check(comparison)


def agrees(score: VariantScore, form: MapFormat) -> str:
    """Return `same` if a variant draws the stored maps, `chance` if it does but for the random choice of points, else an empty string."""
    if form.colored:
        return "same" if score.agreement.silhouette_iou >= _OVERLAP else ""
    if score.agreement.within_tolerance >= 1 - _MOVED * max(1.0, 224 / form.shape[1]) ** 2:
        return "same"
    if score.chance is not None and score.agreement.score <= _CHANCE * score.chance + (form.tolerance if form.levels else 0):
        return "chance"
    return ""


def _agreement(comparison: MapComparison) -> Iterator[Finding]:
    if not comparison.scores:
        yield Finding("projection", "wrong", "No depth maps could be compared.", "See why below, and repair the files.")
        return
    best, form = comparison.scores[0], comparison.formats[0][0]
    kind = agrees(best, form)
    variant, figures = best.variant, _figures(best, form)
    shapes = f"{comparison.compared:,} shape{'s' if comparison.compared > 1 else ''}"
    if kind:
        fact = f"{variant.projection} ({AUTHORS[variant.projection]}) drew them: {figures}, over {shapes}."
        if kind == "chance":
            fact += f" Random choices of {variant.points:,} points differ as much from each other, so only the choice is unknown."
        yield _property(comparison, "projection", fact)
        return
    fact = f"None of the known variants agrees. Nearest: {variant}; {figures}, over {shapes}.{_next(comparison, 'projection')}"
    yield Finding("projection", "wrong", fact, "Look at the worst shape with --sheet FILE. The maps or the clouds are of another version.")


def _figures(score: VariantScore, form: MapFormat) -> str:
    found = score.agreement
    if form.colored:
        return f"silhouettes overlap by {_percent(found.silhouette_iou)}"
    near = (
        f"{_percent(found.within_level)} within 1/255"
        if form.tolerance > 1e-5
        else f"{_percent(found.within_rounding)} of the pixels within 1e-5"
    )
    return (
        f"{near}, {_percent(found.within_2_percent)} within 0.02, mean error {found.error:.2g}, "
        f"silhouettes overlap by {_percent(found.silhouette_iou)}"
    )


def _percent(share: float) -> str:
    """Format a share so that only 1 becomes 100 %."""
    return "100 %" if share == 1 else f"{min(share, 0.9999) * 100:.2f} %"


def _next(comparison: MapComparison, check: str) -> str:
    other = comparison.next_best.get(check)
    return f" Next best: {_named(other.variant, check)}, mean error {other.error:.2g}." if other else ""


def _named(variant: Variant, check: str) -> str:
    return {
        "projection": variant.projection + (f" with {variant.rig}" if variant.rig == "opendlign-33" else ""),
        "up axis": str(variant.orientation),
        "points": variant.choice,
        "scale": f"{variant.ratio:g}",
        "median": "with the 7x7 median" if variant.median else "without the 7x7 median",
    }[check]


def _properties(comparison: MapComparison) -> Iterator[Finding]:
    """What is known of the variant if one agrees, each with the margin to the next best value."""
    if not comparison.scores or not agrees(comparison.scores[0], comparison.formats[0][0]):
        return
    best = comparison.scores[0]
    orientation = best.variant.orientation
    words = str(orientation)
    yield _property(comparison, "up axis", f"U{words[1:]}: +X, +Y and +Z (up) are {orientation.axes} of the files.")
    chance = agrees(best, comparison.formats[0][0]) == "chance"
    choice = f"an unknown choice of {best.variant.points:,} points" if chance else best.variant.choice
    yield _property(comparison, "points", f"Drawn from {choice}.")
    yield _property(comparison, "scale", f"The longest side covers {best.variant.ratio:g} of the width.")
    if "median" in comparison.next_best:
        yield _property(comparison, "median", f"{_named(best.variant, 'median').capitalize()}.")
    ordered = describe_order(best.order)
    if best.order == tuple(range(len(best.order))):
        yield Finding("view order", "ok", f"The views are stored {ordered}.")
    else:
        remedy = "Put the views in the projection's order before you use weights that tell views apart."
        yield Finding("view order", "warning", f"The views are stored {ordered}.", remedy)


def _property(comparison: MapComparison, check: str, fact: str) -> Finding:
    whole = f"{fact}{_next(comparison, check)}"
    other, best = comparison.next_best.get(check), comparison.searched
    if other and best and not _is_clear(best, other):
        return Finding(check, "warning", whole, "These are hardly told apart: compare more shapes, or shapes of other classes.")
    return Finding(check, "ok", whole)


def _is_clear(best: Searched, other: Searched) -> bool:
    return other.score > max(EXACT, _UNSURE * best.score)


def _storage(comparison: MapComparison) -> Iterator[Finding]:
    for form, count in comparison.formats:
        yield Finding("storage", "ok", f"{count:,} of {comparison.files:,} files looked at: {form}.{_rounding(comparison, form)}")
    if len(comparison.formats) > 1:
        yield Finding("storage", "warning", "The files are not stored alike.", "Compare each kind in a folder of its own.")
    if any(form.near == "bright" for form, _ in comparison.formats):
        fact = "Near is bright, the inverse of what OpenDlign's figures show."
        yield Finding("storage", "warning", fact, "Subtract the maps from 1 before you use them with its weights.")
    if comparison.color_by_depth is not None:
        share = f"Depth explains {comparison.color_by_depth:.0%} of the variance of the colours"
        kind = "a colour map of the depth" if comparison.color_by_depth >= _COLOR_MAP else "they show something else"
        yield Finding("colour", "ok", f"{share}: {kind}.")


def _rounding(comparison: MapComparison, form: MapFormat) -> str:
    """Whether 8-bit values were cut off or rounded, where a variant agrees."""
    if not form.levels or form.colored or not comparison.scores or agrees(comparison.scores[0], form) != "same":
        return ""
    found = comparison.scores[0].agreement
    offset = found.bias / max(found.foreground, 1e-9) * 255 * (1 if form.near == "dark" else -1)
    return " Values were cut off to whole levels." if offset < -0.25 else " Values were rounded to whole levels."


def _worst(comparison: MapComparison) -> Iterator[Finding]:
    if comparison.compared > 1:
        yield Finding("worst shape", "ok", f"{comparison.worst}: mean error {comparison.worst_error:.2g}.")


def _failures(comparison: MapComparison) -> Iterator[Finding]:
    if comparison.failures:
        name, reason = comparison.failures[0]
        every = comparison.compared + len(comparison.failures)
        fact = f"{len(comparison.failures):,} of {every:,} shapes cannot be compared, e.g. {name}: {reason}"
        yield Finding("reading", "wrong", fact, "Repair or download these files; --json lists them all.")
