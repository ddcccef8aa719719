"""A folder into a library: what changed is hashed, read in processes, encoded here, and written a few rows at a time."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from basrelief.index.files import Found, find_files, hashed, inside, plan, words_of
from basrelief.index.read import ReadFile, Style, import_readers, read_file
from basrelief.index.table import Tables
from basrelief.models import Model, Progress
from basrelief.models.model import SHAPES_PER_PASS
from basrelief.processes import Failure, WorkerPool, attempt, batches

_WRITTEN = 64
_HASHED = 256


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
    known, failed = tables.known(), {path: file for path, (file, _) in tables.failed().items()}
    found = find_files(folder, roots={file.root for file in known.values()})
    todo = plan(folder, found, known=known, failed=failed, again=work.again)
    report = Report(gone=len(todo.gone), unchanged=todo.unchanged)
    filling = _Filling(tables, model, work, report)
    with WorkerPool(work.jobs, prepare=import_readers) as pool, ThreadPoolExecutor(4) as threads:
        done = 0
        for files in batches(todo.read, _HASHED):
            for count in filling.fill(files, pool, threads):
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

    def fill(self, files: Sequence[Found], pool: WorkerPool, threads: ThreadPoolExecutor) -> Iterator[int]:
        """Hash, copy what is known, read the rest; yields how many files are done."""
        whole = list(zip(files, threads.map(functools.partial(attempt, hashed), files), strict=True))
        self._fail([(one, result.reason) for one, result in whole if isinstance(result, Failure)])
        new = [result for _, result in whole if not isinstance(result, Failure)]
        yield len(files) - len(new)
        left, copied = self._copy(new)
        yield copied
        first: dict[tuple[str, str], Found] = {}
        for one in left:
            first.setdefault(_kind(one), one)
        yield from self._read(list(first.values()), pool)
        twins = [one for one in left if first[_kind(one)] is not one]
        bad, _ = self._copy(twins)
        self._fail([(one, f"file must be readable, but it is a copy of {first[_kind(one)].path}, which is not.") for one in bad])
        yield len(twins)

    def _copy(self, files: Sequence[Found]) -> tuple[list[Found], int]:
        """Write rows for files whose bytes have a row; returns the others, and how many were written."""
        rows = self.tables.rows("content", list({one.known.content for one in files}))
        by_kind = {(row["content"], row["format"]): row for row in rows}
        known = [one for one in files if _kind(one) in by_kind]
        self.tables.put([{**by_kind[_kind(one)], **_file_columns(one)} for one in known])
        self.report.copied += len(known)
        return [one for one in files if _kind(one) not in by_kind], len(known)

    def _read(self, files: Sequence[Found], pool: WorkerPool) -> Iterator[int]:
        if not files:
            return
        model = self.model()
        style = Style(model.projection, model.recipe.points, self.work.up, self.work.seed, strays=model.recipe.strays)
        results = pool.map(functools.partial(_read_found, style=style), files, size=lambda one: one.known.bytes)
        rows: list[dict[str, Any]] = []
        bad: list[tuple[Found, str]] = []
        for few in batches(zip(files, results, strict=True), SHAPES_PER_PASS):  # encoded while the next ones are read
            rows += self._rows(model, [(one, result) for one, result in few if not isinstance(result, Failure)])
            bad += [(one, result.reason) for one, result in few if isinstance(result, Failure)]
            if len(rows) + len(bad) >= _WRITTEN:
                yield self._write(rows, bad)
                rows, bad = [], []
        yield self._write(rows, bad)

    def _write(self, rows: Sequence[Mapping[str, Any]], bad: Sequence[tuple[Found, str]]) -> int:
        self.tables.put(rows)
        self._fail(bad)
        self.report.read += len(rows)
        return len(rows) + len(bad)

    def _rows(self, model: Model, few: Sequence[tuple[Found, ReadFile]]) -> Iterator[dict[str, Any]]:
        if not few:
            return
        images = torch.from_numpy(np.stack([read.images for _, read in few])).to(model.encoder.device)
        views = model.embed_depth_images(images).cpu()
        vectors = F.normalize(views.mean(dim=1), dim=-1)
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
                "tags": [],
                "vector": vectors[i].numpy(),
                "views": views[i].flatten().numpy().astype(np.float16),
                "form": read.form,
                "thumbnail": read.thumbnail,
                "sheet": read.sheet,
            }

    def _fail(self, failures: Sequence[tuple[Found, str]]) -> None:
        columns = ("path", "root", "bytes", "mtime", "content")
        rows = [{**{name: _file_columns(one)[name] for name in columns}, "reason": reason} for one, reason in failures]
        self.tables.put_failures(rows)


def _read_found(one: Found, *, style: Style) -> ReadFile:
    return read_file(one.path, style)


def _kind(one: Found) -> tuple[str, str]:
    """Files alike in this are read alike."""
    return one.known.content, one.path.suffix.lower().lstrip(".")


def _file_columns(one: Found) -> dict[str, Any]:
    known = one.known
    file = {"path": str(one.path), "root": known.root, "bytes": known.bytes, "mtime": known.mtime, "content": known.content}
    return {**file, "place": one.place, "words": words_of(one.place)}
