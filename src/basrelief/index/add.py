"""A folder into a library: what changed is hashed and read in workers, encoded here, and written a few rows at a time."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from basrelief.errors import FileFormatError
from basrelief.index.files import FileEntry, find_files, identify, inside, plan, utf8_text, words_of
from basrelief.index.read import ReadFile, Style, import_readers, read_file
from basrelief.index.table import Tables
from basrelief.models import Model, Progress
from basrelief.models.model import SHAPES_PER_PASS
from basrelief.processes import Failure, WorkerPool, batches

_WRITTEN = 64
_HASHED = 256
_SIZE = operator.attrgetter("size")
_CHANGED = "file changed while it was read. It is read again by the next run."


@dataclass(frozen=True)
class Work:
    """How a folder is gone through.

    Attributes:
        jobs: Worker processes that read and draw; with 0 it is done in this process, without deadline and memory limit.
        up: Up axis of every file, `auto`, or None for each format's own rule.
        seed: Of the surface samples.
        again: Whether files that could not be read are tried again though they did not change.
    """

    jobs: int = 0
    up: str | None = None
    seed: int = 0
    again: bool = False


@dataclass
class Report:
    """What became of a folder.

    Attributes:
        read: Files that were read and encoded.
        copied: Files whose bytes were known under another path: moved ones and copies.
        gone: Files that are not there any more.
        unchanged: Files that needed nothing.
        failures: Path and reason of every file that could not be read, now or before.
    """

    read: int = 0
    copied: int = 0
    gone: int = 0
    unchanged: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)


def add_folder(
    tables: Tables, model: Callable[[], Model], folder: Path, *, work: Work | None = None, progress: Progress | None = None
) -> Report:
    """Bring a library up to date with a folder; killed at any moment, it goes on where it stood.

    Files whose size and time are known cost nothing, those whose bytes are known no reading. Rows of files that are gone are dropped
    last, so that a moved file finds its vectors.

    Args:
        tables: Of the library.
        model: Gives that of the library, when it is needed.
        folder: Walked as `find_shapes` does.
        work: How.
        progress: Told as files are done.
    """
    work = work or Work()
    tables.upgrade()
    known, failed = tables.known(), {path: file for path, (file, _) in tables.failed().items()}
    found = find_files(folder, roots={file.root for file in known.values()})
    todo = plan(folder, found, known=known, failed=failed, again=work.again)
    report = Report(gone=len(todo.gone), unchanged=todo.unchanged)
    filling = _Filling(tables, model, work, report)
    with WorkerPool(work.jobs, prepare=import_readers) as pool:
        done = 0
        for files in batches(todo.read, _HASHED):
            for count in filling.fill(files, pool):
                done += count
                if progress:
                    progress(done, len(todo.read))
    tables.drop(todo.gone)
    if todo.read or todo.gone:
        tables.tidy()
    home = folder.resolve()
    report.failures = sorted((path, reason) for path, (_, reason) in tables.failed().items() if inside(home, path))
    return report


@dataclass
class _Filling:
    """The work of one run."""

    tables: Tables
    model: Callable[[], Model]
    work: Work
    report: Report
    changed: set[FileEntry] = field(default_factory=set)

    def fill(self, files: Sequence[FileEntry], pool: WorkerPool) -> Iterator[int]:
        """Hash, copy what is known, read the rest, yielding how many files are done."""
        whole = list(zip(files, pool.map(identify, files, size=_SIZE), strict=True))
        self._fail([(one, result.reason) for one, result in whole if isinstance(result, Failure)])
        new = [result for _, result in whole if not isinstance(result, Failure)]
        yield len(files) - len(new)
        left, copied = self._copy(new)
        yield copied
        first: dict[tuple[str, str], FileEntry] = {}
        for one in left:
            first.setdefault(_kind(one), one)
        yield from self._read(list(first.values()), pool)
        copies = [one for one in left if first[_kind(one)] is not one]
        bad, _ = self._copy(copies)
        self._fail([(one, _copy_reason(first[_kind(one)], changed=first[_kind(one)] in self.changed)) for one in bad])
        yield len(copies)

    def _copy(self, files: Sequence[FileEntry]) -> tuple[list[FileEntry], int]:
        """Write rows for files whose bytes have a row; returns the others, and how many were written."""
        rows = self.tables.rows("content", list({one.known.content for one in files}))
        by_kind = {(row["content"], row["format"]): row for row in rows}
        known = [one for one in files if _kind(one) in by_kind]
        self.tables.put([{**by_kind[_kind(one)], **_file_columns(one)} for one in known])
        self.report.copied += len(known)
        return [one for one in files if _kind(one) not in by_kind], len(known)

    def _read(self, files: Sequence[FileEntry], pool: WorkerPool) -> Iterator[int]:
        if not files:
            return
        model = self.model()
        style = Style(model.projection, model.recipe.points, self.work.up, self.work.seed, strays=model.recipe.strays)
        results = pool.map(functools.partial(_read_entry, style=style), files, size=_SIZE)
        rows: list[dict[str, Any]] = []
        bad: list[tuple[FileEntry, str]] = []
        for few in batches(zip(files, results, strict=True), SHAPES_PER_PASS):  # encoded while the next ones are read
            rows += self._rows(model, [(one, result) for one, result in few if not isinstance(result, Failure)])
            bad += [(one, result.reason) for one, result in few if isinstance(result, Failure)]
            if len(rows) + len(bad) >= _WRITTEN:
                yield self._write(rows, bad)
                rows, bad = [], []
        yield self._write(rows, bad)

    def _write(self, rows: Sequence[Mapping[str, Any]], bad: Sequence[tuple[FileEntry, str]]) -> int:
        self.tables.put(rows)
        self._fail(bad)
        self.report.read += len(rows)
        return len(rows) + len(bad)

    def _rows(self, model: Model, few: Sequence[tuple[FileEntry, ReadFile]]) -> Iterator[dict[str, Any]]:
        if not few:
            return
        images = torch.from_numpy(np.stack([read.images for _, read in few])).to(model.encoder.device)
        views = model.embed_depth_images(images).cpu()
        vectors = F.normalize(views.mean(dim=1), dim=-1)
        tags = self._kept_tags([one for one, _ in few])
        for i, (one, read) in enumerate(few):
            width, depth, height = read.extent
            yield {
                **_file_columns(one),
                "format": read.format,
                "kind": read.kind,
                "faces": read.faces,
                "points": read.corners,
                "width": width,
                "depth": depth,
                "height": height,
                "tags": tags.get(one.key, []),
                "vector": vectors[i].numpy(),
                "views": views[i].flatten().numpy().astype(np.float16),
                "form": read.form,
                "thumbnail": read.thumbnail,
                "sheet": read.sheet,
            }

    def _kept_tags(self, files: Sequence[FileEntry]) -> dict[str, list[str]]:
        """Tags of files of which nothing but side files changed, by path."""
        rows = {row["path"]: row for row in self.tables.rows("path", [one.key for one in files], columns=["path", "content", "tags"])}
        same = [one.key for one in files if one.key in rows and _own_hash(rows[one.key]["content"]) == _own_hash(one.known.content)]
        return {key: rows[key]["tags"] or [] for key in same}

    def _fail(self, failures: Sequence[tuple[FileEntry, str]]) -> None:
        rows = []
        for one, reason in failures:
            if reason == _CHANGED:
                self.changed.add(one)
            known = replace(one.known, mtime=None) if one in self.changed else one.known
            rows.append({"path": one.key, **asdict(known), "reason": utf8_text(reason)})
        self.tables.put_failures(rows)


def _read_entry(one: FileEntry, *, style: Style) -> ReadFile:
    """Read a file that is still the one that was hashed, so that no vectors are stored under the hash of other bytes."""
    try:
        read = read_file(one.path, style)
    except Exception:
        if identify(one) != one:
            raise FileFormatError(_CHANGED) from None
        raise
    if identify(one) != one:
        raise FileFormatError(_CHANGED)
    return read


def _own_hash(content: str) -> str:
    return content.partition("+")[0]


def _copy_reason(first: FileEntry, *, changed: bool) -> str:
    return _CHANGED if changed else f"file must be readable, but it is a copy of {first.path}, which is not."


def _kind(one: FileEntry) -> tuple[str, str]:
    """Deduplication key: content hash and suffix."""
    return one.known.content, one.path.suffix.lower().lstrip(".")


def _file_columns(one: FileEntry) -> dict[str, Any]:
    return {"path": one.key, **asdict(one.known), "place": one.place, "words": words_of(one.place)}
