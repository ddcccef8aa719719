"""Detect things in many scans: one bad file never stops the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from basrelief.errors import FileFormatError, GeometryError
from basrelief.io import load
from basrelief.io.find import file_size
from basrelief.io.intrinsics import Intrinsics
from basrelief.processes import Failure, WorkerPool
from basrelief.scenes.detections import Detections
from basrelief.scenes.export.archive import holds_detections
from basrelief.types import Shape


@dataclass(frozen=True, eq=False)
class ScanResult:
    """Result of one scan: labelled boxes, or an error.

    Attributes:
        path: The file as the user named it.
        detections: The labelled boxes, or None if the scan failed.
        error: Why it failed, or None.
    """

    path: Path
    detections: Detections | None = None
    error: str | None = None


def detect_files(
    paths: Iterable[Path],
    finder: Callable[[Shape], Detections],
    *,
    again: Callable[[Path], Detections],
    up: str | None = None,
    intrinsics: Intrinsics | None = None,
    jobs: int = 1,
) -> Iterator[ScanResult]:
    """Detect things in scans one at a time, yielding results in the order of the paths.

    Args:
        paths: Files that `basrelief.load` reads, or .npz files of `Detections.save`.
        finder: Finds labelled boxes in a scan, e.g. `detect` with its arguments filled in.
        again: Labels saved boxes again, e.g. by `load_detections` and `relabel`.
        up: Up axis of every file, `auto`, or None for each format's own rule.
        intrinsics: Camera of depth maps, see `basrelief.load`.
        jobs: Worker processes that read files; 0 reads in this process, without deadline and memory limit.
    """
    with WorkerPool(jobs) as pool:
        for path in paths:
            if path.suffix.lower() == ".npz" and holds_detections(path):
                yield _result(path, partial(again, path))
                continue
            (shape,) = pool.map(partial(load, up=up, intrinsics=intrinsics), [path], size=file_size)
            yield ScanResult(path, error=shape.reason) if isinstance(shape, Failure) else _result(path, partial(finder, shape))


def _result(path: Path, find: Callable[[], Detections]) -> ScanResult:
    try:
        return ScanResult(path, find())
    except (GeometryError, FileFormatError) as error:
        return ScanResult(path, error=str(error))
