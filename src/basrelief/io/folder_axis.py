"""The up axis of the files of a folder: those of one format share an axis, so a few of them vote."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from basrelief.io.find import file_size
from basrelief.io.source import split_row
from basrelief.io.up_axis import AxisChoice, AxisEvidence, best_axis, has_prior

SAMPLE = 8
"""Files of a folder that vote, at most."""

_CANDIDATES = 2 * SAMPLE  # of which the smaller half is read
_ENOUGH = 4  # files; a folder with fewer votes together with its neighbours
_LEVELS = 2  # folders up, at most
_ALIKE = 0.1  # correlation of the files of a folder
_SURE, _DECIDED = 0.9, 0.8
_MINORITY = 0.25  # share of the files that may clearly say another axis

Group = tuple[Path, str]


@dataclass(frozen=True, eq=False)
class FolderVote:
    """What the files of a folder say about their up axis together.

    Attributes:
        scores: (6,) log probability of each of `UP_AXES`, up to a constant.
        files: Number of files that voted.
        agreed: Whether they agree; if not, each file is looked at by itself.
    """

    scores: Float[np.ndarray, " 6"]
    files: int
    agreed: bool

    @property
    def choice(self) -> AxisChoice | None:
        """The axis of every file, or None if the vote leaves it open."""
        up, confidence = best_axis(self.scores)
        if not self.agreed or confidence < _DECIDED:
            return None
        return AxisChoice(up, f"{self.files} files of its folder were compared ({min(confidence, 0.99):.0%} sure)", confidence)


def hold_vote(evidence: Iterable[AxisEvidence]) -> FolderVote | None:
    """Add up what files say; the order does not matter.

    The likelihoods of n files count as those of n / (1 + 0.1 (n - 1)) independent ones, because the files of a folder resemble each other.

    Returns:
        The vote, or None if fewer than two files have a form to look at.
    """
    voters = sorted((item for item in evidence if item.form is not None), key=lambda item: item.scores.tolist())
    if len(voters) < 2:
        return None
    forms = np.stack([item.form for item in voters if item.form is not None])
    scores = np.mean([item.prior for item in voters], axis=0) + forms.sum(axis=0) / (1 + _ALIKE * (len(voters) - 1))
    winner = best_axis(scores)[0]
    others = [item for item in voters if best_axis(item.scores)[0] != winner and best_axis(item.scores)[1] >= _SURE]
    return FolderVote(scores, len(voters), len(others) <= _MINORITY * len(voters))


class FolderAxes:
    """Votes on the up axis of files, one for each folder and format, held when first needed.

    Args:
        paths: All files that will be read, in any order. A folder with fewer than four of a format votes together with the folders around
            it, at most two levels up and within the folder that holds all files.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        files = sorted({path: None for path in paths if has_prior(_suffix(path))}, key=str)
        top = Path(os.path.commonpath([path.parent.absolute() for path in files])) if files else Path()
        counts = Counter(group for path in files for group in _groups(path, top))
        self._group_of = {path: next((g for g in _groups(path, top) if counts[g] >= _ENOUGH), _groups(path, top)[-1]) for path in files}
        self._members: dict[Group, list[Path]] = defaultdict(list)
        for path, group in self._group_of.items():
            self._members[group].append(path)
        self._votes: dict[Group, FolderVote | None] = {}

    def group(self, path: Path) -> Group | None:
        """Return the folder and format that a file votes with; None for a file that is not among those given."""
        return self._group_of.get(path)

    def votes(self, paths: Sequence[Path], read: Callable[[Sequence[Path]], Iterable[AxisEvidence | None]]) -> Mapping[Path, FolderVote]:
        """Return the votes on files; files without one are left out.

        Args:
            paths: Some of the files.
            read: Returns the evidence of each file, None for one that states its axis or cannot be read.
        """
        for group in dict.fromkeys(self._group_of[path] for path in paths if path in self._group_of):
            if group not in self._votes:
                members = self._members[group]
                self._votes[group] = hold_vote(item for item in read(_sample(members)) if item) if len(members) > 1 else None
        found = {path: self._votes[self._group_of[path]] for path in paths if path in self._group_of}
        return {path: vote for path, vote in found.items() if vote is not None}


def _suffix(path: Path) -> str:
    return split_row(path)[0].suffix.lower().lstrip(".")


def _groups(path: Path, top: Path) -> list[Group]:
    """Return the folder of a file and those around it, nearest first."""
    folder, kind = path.parent.absolute(), _suffix(path)
    around = [folder, *folder.parents][: _LEVELS + 1]
    return [(place, kind) for place in around if place.is_relative_to(top)]


def _sample(members: Sequence[Path]) -> list[Path]:
    """Return files spread evenly over a sorted list, the smaller ones of twice as many."""
    spread = np.linspace(0, len(members) - 1, min(_CANDIDATES, len(members))).round().astype(int)
    candidates = [members[i] for i in spread]
    return sorted(candidates, key=lambda path: (file_size(split_row(path)[0]), str(path)))[:SAMPLE]
