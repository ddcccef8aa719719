"""Compare folders of depth maps with the known projections."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from basrelief.checks import check_at_least
from basrelief.errors import BasreliefError, FileFormatError
from basrelief.evaluate.doctor.maps.measure import Agreement, ColorByDepth, agreement, block_difference, mean_agreement
from basrelief.evaluate.doctor.maps.pairs import MapFile, find_maps
from basrelief.evaluate.doctor.maps.read import MapFormat, StoredMaps, read_cloud, read_maps
from basrelief.evaluate.doctor.maps.search import Example, Trial, finalists, search
from basrelief.evaluate.doctor.maps.variants import Variant
from basrelief.evaluate.doctor.sample import balanced_sample
from basrelief.types import Progress

_SEARCHED = 4
"""Shapes on which the variants are searched."""
_CHOICES = 3


@dataclass(frozen=True)
class VariantScore:
    """A variant and its agreement with the maps of a sample.

    Attributes:
        variant: The variant.
        order: The drawn view for each stored one, -1 for none.
        agreement: Mean over the shapes of the sample.
        chance: Score of a random choice of that many points against another one, the largest of three pairs; None for all points.
    """

    variant: Variant
    order: tuple[int, ...]
    agreement: Agreement
    chance: float | None


@dataclass(frozen=True)
class Searched:
    """A variant on the few shapes of the search.

    Attributes:
        variant: The variant.
        error: Its mean absolute difference.
        score: Its mean absolute difference of block means, see `Agreement`.
    """

    variant: Variant
    error: float
    score: float


@dataclass(frozen=True)
class MapComparison:
    """What is known about the depth maps of a folder.

    Attributes:
        folder: The folder.
        files: Number of map files in it.
        compared: Number of shapes compared.
        formats: How maps are stored, and how many files of the sample are.
        scores: Variants by their score on the sample, the best first; empty if nothing could be compared.
        searched: The best variant of the search; None if nothing could be compared.
        next_best: By property, the best variant with another value of it.
        color_by_depth: For coloured maps, the share of the colours' variance that the depth explains, else None.
        worst: Name of the shape with the largest error.
        worst_error: Its error.
        failures: Name and reason of each file that could not be compared.
    """

    folder: str
    files: int
    compared: int
    formats: tuple[tuple[MapFormat, int], ...]
    scores: tuple[VariantScore, ...]
    searched: Searched | None
    next_best: dict[str, Searched]
    color_by_depth: float | None
    worst: str
    worst_error: float
    failures: tuple[tuple[str, str], ...]


@dataclass(frozen=True, eq=False)
class WorstShape:
    """The shape with the largest error: its stored and drawn maps, in the order of the stored ones."""

    name: str
    stored: StoredMaps
    drawn: Float32[np.ndarray, "views size size"]
    score: VariantScore


def compare_maps(
    folder: Path, *, clouds: Path | None = None, sample: int = 24, seed: int = 0, progress: Progress | None = None
) -> list[tuple[MapComparison, WorstShape | None]]:
    """Compare depth maps with those of every known variant, see `basrelief.evaluate.diagnose_maps`."""
    check_at_least("sample", sample, 1, "Pass the number of shapes to compare.")
    found = find_maps(folder, clouds)
    chosen = {home: balanced_sample(files, lambda file: file.label, count=sample, seed=seed) for home, files in found.items()}
    done, total = 0, sum(len(files) + 4 * min(_SEARCHED, len(files)) for files in chosen.values())

    def step() -> None:
        nonlocal done
        done += 1
        if progress:
            progress(done, total)

    return [_Comparison(home, len(found[home]), files, seed, step).run() for home, files in chosen.items()]


@dataclass(eq=False)
class _Measured:
    """A variant, its agreement with each shape of the sample, and the differences between random choices of as many points."""

    trial: Trial
    parts: dict[str, Agreement] = field(default_factory=dict)
    chance: list[float] = field(default_factory=list)

    def add(self, name: str, example: Example, seed: int) -> None:
        variant = self.trial.variant
        drawn = example.draw(variant, seed)
        self.parts[name] = agreement(drawn, example.stored, self.trial.order)
        if variant.points:
            draws = [example.draw(replace(variant, sampling="random"), seed + number) for number in range(_CHOICES)]
            self.chance.append(max(block_difference(first, second) for first, second in combinations(draws, 2)))

    @property
    def score(self) -> VariantScore:
        chance = float(np.mean(self.chance)) if self.chance else None
        return VariantScore(self.trial.variant, self.trial.order, mean_agreement(list(self.parts.values())), chance)


class _Comparison:
    """The comparison of one folder, a shape in memory at a time but for the few of the search."""

    def __init__(self, home: Path, count: int, files: Sequence[MapFile], seed: int, step: Callable[[], None]) -> None:
        self.home, self.count, self.files, self.seed, self.step = home, count, files, seed, step
        self.failures: dict[str, str] = {}
        self.formats: Counter[MapFormat] = Counter()
        self.views = 0

    def run(self) -> tuple[MapComparison, WorstShape | None]:
        """Search on a few shapes, then measure on all."""
        few = [example for _, example in self._examples(_SEARCHED)]
        if not few:
            return self._result([], {}, [], None), None
        trials, others = search(few, seed=self.seed, step=self.step)
        del few
        self.formats.clear()
        measured, color = [_Measured(trial) for trial in finalists(trials)], ColorByDepth()
        for file, example in self._examples(len(self.files)):
            for one in measured:
                one.add(file.name, example, self.seed)
            if example.stored.colors is not None:
                depth = trials[0].variant.draw(example.cloud, example.stored.image.shape[-1], seed=self.seed)
                color.add(depth, example.stored, trials[0].order)
            self.step()
        measured.sort(key=lambda one: one.score.agreement.score)
        result = self._result(trials, others, measured, color)
        return result, self._worst(result)

    def _examples(self, count: int) -> Iterator[tuple[MapFile, Example]]:
        """Read up to `count` pairs; files that cannot be used become failures."""
        left = count
        for file in self.files:
            if not left:
                return
            if file.name in self.failures:
                continue
            try:
                example = self._read(file)
            except (BasreliefError, OSError) as error:
                self.failures[file.name] = str(error)
                continue
            left -= 1
            yield file, example

    def _read(self, file: MapFile) -> Example:
        if file.cloud is None:
            raise FileFormatError(file.reason)
        stored = read_maps(file.path)
        views = len(stored.image)
        if self.views and views != self.views:
            raise FileFormatError(
                f"{file.path.name} has {views} views, the others {self.views}. Compare such files in a folder of their own."
            )
        example = Example(read_cloud(file.cloud), stored)
        self.views = views
        self.formats[stored.format] += 1
        return example

    def _result(
        self, trials: Sequence[Trial], others: Mapping[str, Trial], measured: Sequence[_Measured], color: ColorByDepth | None
    ) -> MapComparison:
        errors = {name: part.error for name, part in measured[0].parts.items()} if measured else {}
        worst = max(errors, key=lambda name: errors[name], default="")
        return MapComparison(
            folder=str(self.home),
            files=self.count,
            compared=len(errors),
            formats=tuple(self.formats.most_common()),
            scores=tuple(one.score for one in measured),
            searched=_searched(trials[0]) if trials else None,
            next_best={name: _searched(trial) for name, trial in others.items()},
            color_by_depth=color.explained if color and any(form.colored for form in self.formats) else None,
            worst=worst,
            worst_error=errors.get(worst, 0.0),
            failures=tuple(self.failures.items()),
        )

    def _worst(self, result: MapComparison) -> WorstShape:
        file = next(file for file in self.files if file.name == result.worst)
        example, score = self._read(file), result.scores[0]
        order = [max(view, 0) for view in score.order]
        return WorstShape(file.name, example.stored, example.draw(score.variant, self.seed)[order], score)


def _searched(trial: Trial) -> Searched:
    return Searched(trial.variant, trial.error, trial.score)
