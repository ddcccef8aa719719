"""Search the known variants: drafts of all orientations first, then real maps of fewer and fewer variants on more and more shapes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor
from torch.nn import functional as F

from basrelief.evaluate.doctor.maps.draft import likely_variants
from basrelief.evaluate.doctor.maps.measure import block_means
from basrelief.evaluate.doctor.maps.order import match_views
from basrelief.evaluate.doctor.maps.read import StoredMaps, foreground
from basrelief.evaluate.doctor.maps.variants import ORIENTATIONS, Variant, refinements

_LIKELY = 5
"""Variants of each projection and scale that are drawn on the first shape."""
_FINALISTS = 3
EXACT = 1e-4
"""Score below which a variant draws the maps exactly, but for single points that rounding moves."""
_COMPARED = 112
_CHEAPEST_FIRST = ("opendlign", "pointclip-v2", "opendlign-paper")
_WITHIN_REACH = 2.0
"""Ratio to the best score up to which another choice of points may make another projection the best one."""


@dataclass(eq=False)
class Trial:
    """A variant and what it costs on the shapes that it was drawn for.

    Attributes:
        variant: The variant.
        pixels: Sum over shapes of the mean absolute difference of each stored view from each drawn one.
        blocks: The same of the means of blocks, for each shape.
    """

    variant: Variant
    pixels: Float[np.ndarray, "stored drawn"] = field(default_factory=lambda: np.zeros((1, 1)))
    blocks: list[Float[np.ndarray, "stored drawn"]] = field(default_factory=list)

    def add(self, drawn: Float32[np.ndarray, "drawn size size"], stored: StoredMaps) -> None:
        """Add a shape; about 112 rows and columns of large maps are compared. What rounding explains is no difference."""
        step = max(1, drawn.shape[-1] // _COMPARED)
        ours, theirs = (torch.from_numpy(image[:, ::step, ::step]).flatten(1) for image in (drawn, stored.image))
        self.pixels = self.pixels + _difference(ours, theirs, stored.format.tolerance)
        self.blocks.append(_difference(block_means(drawn), block_means(stored.image), stored.format.tolerance))

    @property
    def shapes(self) -> int:
        """Number of shapes."""
        return len(self.blocks)

    @property
    def order(self) -> tuple[int, ...]:
        """The drawn view for each stored one, see `match_views`."""
        return match_views(np.mean(self.blocks, axis=0))[0]

    @property
    def error(self) -> float:
        """Mean absolute difference per pixel."""
        pairs = [(stored, drawn) for stored, drawn in enumerate(self.order) if drawn >= 0]
        return float(np.mean([self.pixels[pair] for pair in pairs])) / self.shapes

    @property
    def score(self) -> float:
        """Mean absolute difference of block means, which another random choice of the right number of points hardly changes."""
        return self.score_on(self.shapes)

    def score_on(self, shapes: int) -> float:
        """Return the score on the first few shapes."""
        return match_views(np.mean(self.blocks[:shapes], axis=0))[1]


def _difference(
    ours: Float[Tensor, "drawn values"], theirs: Float[Tensor, "stored values"], tolerance: float
) -> Float[np.ndarray, "stored drawn"]:
    """Return the mean absolute difference of each pair of views beyond a tolerance."""
    mean: np.ndarray = F.softshrink(ours - theirs[:, None], tolerance).abs_().mean(2).double().numpy()
    return mean


@dataclass(frozen=True, eq=False)
class Example:
    """A cloud and its stored maps."""

    cloud: Float32[np.ndarray, "points 3"]
    stored: StoredMaps

    def draw(self, variant: Variant, seed: int) -> Float32[np.ndarray, "views size size"]:
        """Draw the cloud for comparison with the stored maps; where these are coloured, silhouettes: 0 on the shape."""
        drawn = variant.draw(self.cloud, self.stored.image.shape[-1], seed=seed)
        return drawn if self.stored.colors is None else (~foreground(drawn)).astype(np.float32)


def search(examples: Sequence[Example], *, seed: int = 0, step: Callable[[], None] = lambda: None) -> tuple[list[Trial], dict[str, Trial]]:
    """Return all variants that were drawn, the best first, and the next best ones by property, see `alternatives`.

    Args:
        examples: A few shapes, whose maps have one number of views.
        seed: Seed of random choices of points.
        step: Called four times for each example.
    """
    clouds, images = [example.cloud for example in examples], [example.stored.image for example in examples]
    likely = likely_variants(clouds, images, keep=_LIKELY, seed=seed)
    raced: list[Trial] = []
    for projection in _CHEAPEST_FIRST:
        own = [variant for variant in likely if variant.projection == projection]
        exact = any(trial.score < EXACT for trial in raced if trial.shapes == len(examples))
        raced += _race(own[:1] if exact else own, examples, seed, step)
    raced.sort(key=_rank)
    best = {trial.variant.projection: trial for trial in reversed(raced)}
    near = [trial.variant for trial in best.values() if trial.score <= _WITHIN_REACH * max(raced[0].score, EXACT)]
    fewest = min(map(len, clouds))
    refined = _race([finer for variant in near for finer in refinements(variant, fewest)], examples, seed, step)
    trials = sorted({trial.variant: trial for trial in [*raced, *refined]}.values(), key=_rank)
    others = alternatives(trials)
    for trial in others.values():
        for example in examples[trial.shapes :]:
            trial.add(example.draw(trial.variant, seed), example.stored)
    return trials, others


def _race(variants: Sequence[Variant], examples: Sequence[Example], seed: int, step: Callable[[], None]) -> list[Trial]:
    """Draw all variants on the first shape, the better half on the second, and so on; return all, the best first."""
    trials = [Trial(variant) for variant in variants]
    running = trials
    for example in examples:
        for trial in running:
            trial.add(example.draw(trial.variant, seed), example.stored)
        running = sorted(running, key=_rank)
        running = running[: _FINALISTS if running[0].score < EXACT else max(_FINALISTS, math.ceil(len(running) / 2))]
        step()
    return sorted(trials, key=_rank)


def _rank(trial: Trial) -> tuple[int, float, int]:
    """Trials on more shapes come first; of equal scores, the simpler orientation."""
    return -trial.shapes, round(trial.score, 5), ORIENTATIONS.index(trial.variant.orientation)


def alternatives(trials: Sequence[Trial]) -> dict[str, Trial]:
    """Return for each property of the best variant the best trial in which it has another value, compared on the same shapes.

    Which points were chosen counts only where the best variant is exact; otherwise, their number.
    """
    best, exact = trials[0].variant, trials[0].score < EXACT
    same: dict[str, Callable[[Variant], object]] = {
        "projection": lambda variant: (variant.projection, variant.rig),
        "up axis": lambda variant: variant.orientation,
        "points": lambda variant: (variant.points, variant.sampling if exact else ""),
        "scale": lambda variant: variant.ratio,
        "median": lambda variant: variant.median,
    }
    found = {}
    for name, value in same.items():
        others = [trial for trial in trials if value(trial.variant) != value(best)]
        if others:
            found[name] = min(others, key=lambda trial: trial.score / max(trials[0].score_on(trial.shapes), EXACT))
    return found


def finalists(trials: Sequence[Trial]) -> list[Trial]:
    """Return the best variant; unless it is exact, also the next one and the best of each other projection."""
    if trials[0].score < EXACT:
        return list(trials[:1])
    first = {trial.variant.projection: trial for trial in reversed(trials)}
    ranked = [*trials[:2], *sorted(first.values(), key=_rank)]
    return list({trial.variant: trial for trial in ranked}.values())
