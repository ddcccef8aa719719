"""The up axis of each file of a run: given now or before, or decided by evidence; and which files must be read again because it changed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from basrelief.index.files import FileEntry
from basrelief.io.find import file_size
from basrelief.io.folder_axis import FolderAxes, FolderVote
from basrelief.io.load import AUTO, axis_evidence, decide_axis
from basrelief.io.up_axis import AxisEvidence, has_prior
from basrelief.processes import Failure, WorkerPool

_ONCE = "z"  # up axis of a file that states none, before libraries recorded axes


@dataclass(frozen=True)
class RecordedAxis:
    """What a library records of the up axis of a file.

    Attributes:
        up: One of `UP_AXES`; None in rows of libraries made before axes were recorded.
        source: See `Origin.up_source`; None like `up`.
    """

    up: str | None
    source: str | None


class RunAxes:
    """The up axes of one indexing run.

    Args:
        files: All files under the folder.
        recorded: What the library records of files, by path.
        up: An axis for all of them, `auto` to decide by evidence, or None to continue what was chosen for the folder before.
        pool: Reads the files that vote.
    """

    def __init__(self, files: Sequence[FileEntry], recorded: Mapping[str, RecordedAxis], up: str | None, pool: WorkerPool) -> None:
        self._recorded, self._up, self._pool = recorded, up, pool
        before = {recorded[file.key] for file in files if file.key in recorded}
        only = next(iter(before)) if len(before) == 1 else RecordedAxis(None, None)
        self._new = only.up if only.source == "given" else None
        self._folders = FolderAxes(file.path for file in files if self.given(file) is None)
        self._expected: dict[str, str] = {}  # of files that are read again because their axis changes

    def given(self, file: FileEntry) -> str | None:
        """Return the axis that the user gave for a file, now or before, or None."""
        if self._up is not None:
            return None if self._up == AUTO else self._up
        known = self._recorded.get(file.key)
        if known is None:
            return self._new
        return known.up if known.source == "given" else None

    def fits(self, file: FileEntry, row: RecordedAxis) -> bool:
        """Return whether the vectors of a row hold for a file of the same content."""
        expected = self._expected.get(file.key, self.given(file))
        return row.source != "given" if expected is None else row.up == expected

    def assign(self, files: Sequence[FileEntry]) -> list[FileEntry]:
        """Return files with the axis that was given, or the vote of their folder."""
        votes = self._votes([file for file in files if self.given(file) is None])
        return [replace(file, up=self.given(file), vote=votes.get(file.path)) for file in files]

    def changed(self, files: Sequence[FileEntry], to_read: Collection[FileEntry]) -> tuple[set[str], dict[str, RecordedAxis]]:
        """Compare the axes of known files with what the library records.

        Args:
            files: All files under the folder.
            to_read: Those that are read in any case; their folders vote again.

        Returns:
            Paths of the files to read again because their axis changes, and the records to correct of those whose axis stays.
        """
        corrected: dict[str, RecordedAxis] = {}
        voting = {self._folders.group(file.path) for file in to_read} - {None}
        asked = []
        for file in files:
            known, given = self._recorded.get(file.key), self.given(file)
            if known is None or file in to_read:
                continue
            if given is not None:
                if known.up != given:
                    self._expected[file.key] = given
                elif known.source != "given":
                    corrected[file.key] = RecordedAxis(given, "given")
            elif known.source != "stated" and (self._is_open(known, file) or self._folders.group(file.path) in voting):
                asked.append(file)
        for file, decided in self._decided(asked):
            known = self._recorded[file.key]
            if decided.up != (known.up or _ONCE):
                self._expected[file.key] = decided.up or _ONCE
            elif decided != known:
                corrected[file.key] = decided
        return set(self._expected), corrected

    @staticmethod
    def _is_open(known: RecordedAxis, file: FileEntry) -> bool:
        """Return whether evidence never decided the axis of a file: it was given, or the library did not record axes yet."""
        return known.source == "given" or (known.source is None and has_prior(file.suffix))

    def _decided(self, files: Sequence[FileEntry]) -> Iterator[tuple[FileEntry, RecordedAxis]]:
        """Yield the axis by evidence of files; where the vote of a folder decides, files that state none are not opened."""
        votes = self._votes(files)
        unread = []
        for file in files:
            vote = votes.get(file.path)
            if vote is not None and vote.choice is not None and self._recorded[file.key].source == "evidence":
                yield file, RecordedAxis(vote.choice.up, "evidence")
            else:
                unread.append(file)
        found = self._pool.map(_decide, [replace(file, vote=votes.get(file.path)) for file in unread], size=_bytes)
        for file, result in zip(unread, found, strict=True):
            yield file, self._recorded[file.key] if isinstance(result, Failure) else result

    def _votes(self, files: Sequence[FileEntry]) -> Mapping[Path, FolderVote]:
        return self._folders.votes([file.path for file in files], self._read)

    def _read(self, paths: Sequence[Path]) -> Iterator[AxisEvidence | None]:
        found = self._pool.map(axis_evidence, paths, size=file_size)
        return (None if isinstance(item, Failure) else item for item in found)


def _decide(file: FileEntry) -> RecordedAxis:
    return RecordedAxis(*decide_axis(file.path, vote=file.vote))


def _bytes(file: FileEntry) -> int:
    return file.size
