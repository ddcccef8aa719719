"""Index a folder: hash and read changed files in worker processes, embed them here, write a few rows at a time."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from basrelief.errors import ConfigError, FileFormatError, unknown_choice
from basrelief.index.axes import RecordedAxis, RunAxes
from basrelief.index.boxes import ScanBoxes, box_columns, box_rows, find_boxes
from basrelief.index.files import FileEntry, find_changes, find_files, hash_file, is_inside, name_words, utf8_text
from basrelief.index.read import SCENES, FileOptions, ReadFile, import_readers, read_file
from basrelief.index.rows import IS_FILE
from basrelief.index.schema import BOX_MARK
from basrelief.index.table import Tables
from basrelief.io import count_unread
from basrelief.io.intrinsics import Intrinsics
from basrelief.io.load import check_up
from basrelief.limits import limits, use_limits
from basrelief.models import Model
from basrelief.models.model import SHAPES_PER_PASS
from basrelief.processes import Failure, WorkerPool, attempt, batches
from basrelief.types import Progress

T = TypeVar("T")
_ROWS_PER_WRITE = 64
_FILES_PER_BATCH = 256
_SIZE = operator.attrgetter("size")
_SCAN_TIME = 30  # times what reading a file may take
_CHANGED_MEANWHILE = "The file changed while it was read. Run basrelief index again."


@dataclass(frozen=True)
class IndexOptions:
    """How folders are indexed.

    Attributes:
        jobs: Worker processes that read and render; with 0 files are read in this process, without deadline and memory limit.
        up: Up axis of every file; `auto` to find it out; None continues what was chosen for the folder before, at first `auto`. Files whose
            axis changes by that are read again.
        seed: Seed of the surface sampling.
        retry_failed: Whether to read files again that could not be read before, even if they did not change.
        scenes: In which files to find things, each with a row of its own: `auto` in those that look like scans of several things, `all`,
            or `none`. None continues what the library did before, `auto` or `none`.
        intrinsics: Camera of depth maps, see `basrelief.load`.

    Raises:
        ConfigError: If `scenes` is another word, or `up` is no axis.
    """

    jobs: int = 0
    up: str | None = None
    seed: int = 0
    retry_failed: bool = False
    scenes: str | None = None
    intrinsics: Intrinsics | None = None

    def __post_init__(self) -> None:
        """Check the choice of scans and the axis."""
        check_up(self.up)
        if self.scenes not in (None, *SCENES):
            raise ConfigError(unknown_choice("scenes", self.scenes, SCENES))


@dataclass
class Report:
    """Summary of an indexing run.

    Attributes:
        read: Files that were read and embedded.
        reused: Moved files and copies: their bytes were indexed under another path, and so were their vectors.
        removed: Files that no longer exist.
        unchanged: Files that needed nothing.
        failures: Path and reason of every file under the folder that could not be read, now or before.
        boxes: Boxes that were found in the scans that were read.
        unread: Files of 3D formats that are not read, by suffix.
        colored: Files with colours among those that were read.
    """

    read: int = 0
    reused: int = 0
    removed: int = 0
    unchanged: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    boxes: int = 0
    unread: dict[str, int] = field(default_factory=dict)
    colored: int = 0


def add_folder(
    tables: Tables, model: Callable[[], Model], folder: Path, *, options: IndexOptions | None = None, progress: Progress | None = None
) -> Report:
    """Index a folder; a rerun only processes what changed, also after a run that was killed.

    Files of known size and time are not opened, and files whose bytes are known under another path are hashed but not read. Rows of
    deleted files go last, so that a moved file finds its vectors.

    Args:
        tables: Tables of the library.
        model: Returns the library's model; called when it is first needed.
        folder: Walked as `find_shapes` does.
        options: How.
        progress: Called with the number of finished files and of all files to read.
    """
    indexed = tables.indexed_files()
    found = find_files(folder, roots={file.root for file in indexed.values()})
    counts = tables.scan_files()
    chosen = options or IndexOptions()
    before = "auto" if any(count is not None for count in counts.values()) else "none"
    options = replace(chosen, scenes=chosen.scenes or before)
    with WorkerPool(options.jobs, prepare=import_readers) as pool:
        axes = RunAxes(found, {path: RecordedAxis(*axis) for path, axis in tables.axes().items()}, options.up, pool)
        run = _IndexRun(tables, model, options, axes)
        again = {path for path, count in counts.items() if not run.is_examined(count)}
        compare = functools.partial(
            find_changes, folder, found, indexed=indexed, failed=tables.failed_files(), retry_failed=options.retry_failed
        )
        changes = compare(again=again)
        turned, corrected = axes.changed(found, set(changes.to_read))
        tables.set_axes({path: (axis.up, axis.source) for path, axis in corrected.items()})
        changes = compare(again=again | turned) if turned else changes
        run.report.removed, run.report.unchanged = len(changes.removed), changes.unchanged
        done = 0
        for files in batches(changes.to_read, _FILES_PER_BATCH):
            for count in run.process(files, pool):
                done += count
                if progress:
                    progress(done, len(changes.to_read))
    tables.delete(changes.removed)
    if changes.to_read or changes.removed:
        tables.compact()
    resolved = folder.resolve()
    run.report.failures = sorted((path, reason) for path, reason in tables.failure_reasons().items() if is_inside(resolved, path))
    run.report.unread = count_unread([resolved])
    return run.report


@dataclass
class _IndexRun:
    """State of one run."""

    tables: Tables
    model: Callable[[], Model]
    options: IndexOptions
    axes: RunAxes
    report: Report = field(default_factory=Report)
    changed_meanwhile: set[FileEntry] = field(default_factory=set)

    def is_examined(self, boxes: int | None) -> bool:
        """Return whether things were looked for in a file as this run does, given the number of boxes recorded of it."""
        return {"none": True, "auto": boxes is not None, "all": bool(boxes)}[self.options.scenes or "none"]

    def process(self, files: Sequence[FileEntry], pool: WorkerPool) -> Iterator[int]:
        """Hash files, reuse rows of known content and read the rest; yield how many files were finished since the last time."""
        results = list(zip(files, pool.map(hash_file, files, size=_SIZE), strict=True))
        self._record_failures([(file, result.reason) for file, result in results if isinstance(result, Failure)])
        hashed = [result for _, result in results if not isinstance(result, Failure)]
        yield len(files) - len(hashed)
        unknown = self._reuse_rows(hashed)
        yield len(hashed) - len(unknown)
        originals: dict[tuple[str, str], FileEntry] = {}
        for file in unknown:
            originals.setdefault(_content_key(file), file)
        yield from self._read(list(originals.values()), pool)
        copies = [file for file in unknown if originals[_content_key(file)] is not file]
        failed = self._reuse_rows(copies)
        self._record_failures([(file, self._copy_reason(originals[_content_key(file)])) for file in failed])
        yield len(copies)

    def _reuse_rows(self, files: Sequence[FileEntry]) -> list[FileEntry]:
        """Write rows for files whose content has a row, and return the other files."""
        rows = self.tables.rows("content_hash", list({file.state.content_hash for file in files}), where=IS_FILE)
        known: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for row in rows:
            if self.is_examined(row["boxes"]):
                known.setdefault((row["content_hash"], row["format"]), []).append(row)
        found = ((file, self._row_of(file, known.get(_content_key(file), ()))) for file in files)
        copies = [(file, row) for file, row in found if row is not None]
        self.tables.upsert([{**row, **_file_columns(file)} for file, row in copies if not row["boxes"]])
        reused = {file.key for file, row in copies if not row["boxes"] or self._reuse_scan(file, row)}
        self.report.reused += len(reused)
        return [file for file in files if file.key not in reused]

    def _row_of(self, file: FileEntry, rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
        """Return the last of the rows whose up axis is that of the file."""
        fits = (row for row in reversed(rows) if self.axes.fits(file, RecordedAxis(row["up"], row["up_source"])))
        return next(fits, None)

    def _reuse_scan(self, file: FileEntry, row: Mapping[str, Any]) -> bool:
        """Write rows for a scan whose content has a row with boxes; return whether all of them were there."""
        boxes = self.tables.rows("scan", [row["path"]])
        if len(boxes) != row["boxes"]:  # a process was killed while it wrote them
            return False
        moved = [{**box, **box_columns(file, box["path"].rpartition(BOX_MARK)[2])} for box in boxes]
        self.tables.upsert([{**row, **_file_columns(file)}, *moved])
        return True

    def _read(self, files: Sequence[FileEntry], pool: WorkerPool) -> Iterator[int]:
        if not files:
            return
        model = self.model()
        files = self.axes.assign(files)
        options = FileOptions(model.input, seed=self.options.seed, scenes=self.options.scenes or "none", intrinsics=self.options.intrinsics)
        results = pool.map(functools.partial(_read_unchanged, read=read_file, options=options), files, size=_SIZE)
        rows: list[dict[str, Any]] = []
        failures: list[tuple[FileEntry, str]] = []
        scans: dict[FileEntry, dict[str, Any]] = {}
        for batch in batches(zip(files, results, strict=True), SHAPES_PER_PASS):  # embedded while the workers read on
            good = [(file, result) for file, result in batch if not isinstance(result, Failure)]
            for (file, result), row in zip(good, self._rows(model, good), strict=True):
                if result.scene:
                    scans[file] = row
                else:
                    rows.append(row)
            failures += [(file, result.reason) for file, result in batch if isinstance(result, Failure)]
            if len(rows) + len(failures) >= _ROWS_PER_WRITE:
                yield self._write(rows, failures)
                rows, failures = [], []
        yield self._write(rows, failures)
        for some in batches(scans, max(1, self.options.jobs)):
            find = functools.partial(_read_unchanged, read=find_boxes, options=options)
            with use_limits(replace(limits(), seconds=_SCAN_TIME * limits().seconds)):
                found = list(pool.map(find, some, size=_SIZE))
            for file, boxes in zip(some, found, strict=True):
                yield self._write_scan(model, file, scans[file], boxes)

    def _write(self, rows: Sequence[Mapping[str, Any]], failures: Sequence[tuple[FileEntry, str]]) -> int:
        self.tables.upsert(rows)
        self._record_failures(failures)
        self.report.read += len(rows)
        return len(rows) + len(failures)

    def _write_scan(self, model: Model, file: FileEntry, row: dict[str, Any], boxes: ScanBoxes | Failure | None) -> int:
        """Write the row of a scan together with those of its boxes."""
        embed = functools.partial(box_rows, model, file, seed=self.options.seed)
        of_boxes = boxes if isinstance(boxes, Failure) else attempt(embed, boxes)
        if isinstance(of_boxes, Failure):
            self._record_failures([(file, of_boxes.reason)])
            return 1
        tags = self._existing_tags([(box["path"], file) for box in of_boxes])
        self.tables.upsert([row | {"boxes": len(of_boxes)}, *(box | {"tags": tags.get(box["path"], [])} for box in of_boxes)])
        self.report.read += 1
        self.report.boxes += len(of_boxes)
        return 1

    def _rows(self, model: Model, batch: Sequence[tuple[FileEntry, ReadFile]]) -> Iterator[dict[str, Any]]:
        if not batch:
            return
        views = model.embed_prepared([read.prepared for _, read in batch]).cpu()
        vectors = model.pool_embeddings(views)
        tags = self._existing_tags([(file.key, file) for file, _ in batch])
        for i, (file, read) in enumerate(batch):
            width, depth, height = read.extent
            self.report.colored += read.colored
            yield {
                **_file_columns(file),
                "format": read.format,
                "kind": read.kind,
                "faces": read.faces,
                "points": read.points,
                "width": width,
                "depth": depth,
                "height": height,
                "tags": tags.get(file.key, []),
                "vector": vectors[i].numpy(),
                "views": views[i].flatten().numpy().astype(np.float16),
                "form": read.form,
                "thumbnail": read.thumbnail,
                "sheet": read.sheet,
                "up": read.up,
                "up_source": read.up_source,
                "boxes": None if self.options.scenes == "none" else 0,
            }

    def _existing_tags(self, files: Sequence[tuple[str, FileEntry]]) -> dict[str, list[str]]:
        """Return the tags of rows whose files did not change themselves, side files excepted, by path."""
        rows = self.tables.rows("path", [path for path, _ in files], columns=["path", "content_hash", "tags"])
        hashes = {path: _own_hash(file.state.content_hash) for path, file in files}
        return {row["path"]: row["tags"] or [] for row in rows if _own_hash(row["content_hash"]) == hashes[row["path"]]}

    def _record_failures(self, failures: Sequence[tuple[FileEntry, str]]) -> None:
        rows = []
        for file, reason in failures:
            if reason == _CHANGED_MEANWHILE:
                self.changed_meanwhile.add(file)
            state = replace(file.state, mtime=None) if file in self.changed_meanwhile else file.state
            rows.append({"path": file.key, **asdict(state), "reason": utf8_text(reason)})
        self.tables.upsert_failures(rows)

    def _copy_reason(self, original: FileEntry) -> str:
        """Return why a copy of a file that failed fails, too."""
        if original in self.changed_meanwhile:
            return _CHANGED_MEANWHILE
        return f"The file is a copy of {original.path}, which cannot be read. See the reason there."


def _read_unchanged(file: FileEntry, *, read: Callable[[Path, FileOptions], T], options: FileOptions) -> T:
    """Read a file that is still the one that was hashed, so that no vectors are stored under the hash of other bytes."""
    try:
        found = read(file.path, replace(options, up=file.up, vote=file.vote))
    except Exception:
        if hash_file(file) != file:
            raise FileFormatError(_CHANGED_MEANWHILE) from None
        raise
    if hash_file(file) != file:
        raise FileFormatError(_CHANGED_MEANWHILE)
    return found


def _own_hash(content_hash: str) -> str:
    """Return the part of a content hash that belongs to the file itself, without its side files."""
    return content_hash.partition("+")[0]


def _content_key(file: FileEntry) -> tuple[str, str]:
    """Deduplication key: content hash and suffix."""
    return file.state.content_hash, file.suffix


def _file_columns(file: FileEntry) -> dict[str, Any]:
    return {"path": file.key, **asdict(file.state), "relative_path": file.relative_path, "name_words": name_words(file.relative_path)}
