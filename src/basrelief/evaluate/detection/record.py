"""What one scan contributes to an evaluation: proposals and true boxes with logits, kept in a file so that a stopped run resumes."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Float32, Int64

from basrelief.datasets.scans.scan_set import ScanItem
from basrelief.errors import BasreliefError
from basrelief.folders import cache_folder
from basrelief.geometry.boxes import Boxes
from basrelief.output import replace_file
from basrelief.version import __version__

_FORMAT = 1
_DECISIVE = ("datasets/scans", "encoders", "evaluate/detection", "geometry", "io", "models", "render", "scenes", "shapes")


@dataclass(frozen=True, eq=False)
class Labelled:
    """Boxes with the logits of a model.

    Attributes:
        boxes: K boxes in the frame of the scan.
        logits: (K, C + B) float32 of the classes, then of the background labels; NaN for boxes that could not be labelled.
        own: (K, C + B) float32, probabilities of the model's own pooling rule; None if it has none.
    """

    boxes: Boxes
    logits: Float32[np.ndarray, "boxes labels"]
    own: Float32[np.ndarray, "boxes labels"] | None


@dataclass(frozen=True, eq=False)
class ScanRecord:
    """One scan.

    Attributes:
        proposals: K proposals, best first.
        objectness: (K,) float32.
        point_counts: (K,) int64, points of the sample in each.
        class_probs: (K, C) float32 of the proposer's own class head, or None.
        truth: G true boxes.
        labels: (G,) int64, their classes.
        anchors: (R, 3) float32, random points of things, for the baseline of random boxes.
    """

    proposals: Labelled
    objectness: Float32[np.ndarray, " boxes"]
    point_counts: Int64[np.ndarray, " boxes"]
    class_probs: Float32[np.ndarray, "boxes classes"] | None
    truth: Labelled
    labels: Int64[np.ndarray, " truth"]
    anchors: Float32[np.ndarray, "anchors 3"]

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all fields as named arrays."""
        named: dict[str, np.ndarray | None] = {
            name: getattr(self, name) for name in ("objectness", "point_counts", "class_probs", "labels", "anchors")
        }
        for name in ("proposals", "truth"):
            part: Labelled = getattr(self, name)
            named |= {f"{name}.{field}": getattr(part.boxes, field) for field in ("centers", "sizes", "yaws")}
            named |= {f"{name}.logits": part.logits, f"{name}.own": part.own}
        return {name: array for name, array in named.items() if array is not None}

    @staticmethod
    def from_arrays(arrays: Mapping[str, np.ndarray]) -> ScanRecord:
        """Return the record of `arrays()`.

        Raises:
            KeyError: If one is missing.
        """
        parts = {
            name: Labelled(
                Boxes(arrays[f"{name}.centers"], arrays[f"{name}.sizes"], arrays[f"{name}.yaws"]),
                arrays[f"{name}.logits"],
                arrays.get(f"{name}.own"),
            )
            for name in ("proposals", "truth")
        }
        return ScanRecord(
            proposals=parts["proposals"],
            objectness=arrays["objectness"],
            point_counts=arrays["point_counts"],
            class_probs=arrays.get("class_probs"),
            truth=parts["truth"],
            labels=arrays["labels"],
            anchors=arrays["anchors"],
        )


class RecordCache:
    """Records of scans in a folder, one file each, under a hash of everything that decides them, the code included.

    A file that is missing, broken or of another scan is not read but made again.

    Attributes:
        folder: Where the files are; None keeps nothing.
        settings: What decides a record besides the scan: model, words, protocol, seed.
    """

    def __init__(self, settings: Mapping[str, Any], folder: Path | None) -> None:
        self.settings = json.dumps([_FORMAT, __version__, _code(), dict(settings)], sort_keys=True, default=str)
        self.folder = folder

    @classmethod
    def shared(cls, settings: Mapping[str, Any]) -> RecordCache:
        """Return the records in the user's cache folder, or in `BASRELIEF_CACHE`."""
        return cls(settings, cache_folder() / "detection")

    def get(self, item: ScanItem) -> ScanRecord | None:
        """Return the record of a scan, or None."""
        if self.folder is None:
            return None
        try:
            with self._path(item).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return ScanRecord.from_arrays({name: arrays[name] for name in arrays.files})
        except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error, BasreliefError):
            return None

    def put(self, item: ScanItem, record: ScanRecord) -> None:
        """Keep the record of a scan; a folder that cannot be written to is ignored."""
        if self.folder is None:
            return
        try:
            with replace_file(self._path(item)) as part, part.open("wb") as file:
                np.savez_compressed(file, allow_pickle=False, **record.arrays())
        except BasreliefError:
            return

    def _path(self, item: ScanItem) -> Path:
        try:
            state = item.path.stat()
            stamp = f"{state.st_size} {state.st_mtime_ns}"
        except OSError:
            stamp = "no file"
        digest = hashlib.sha256("\0".join((self.settings, item.id, str(item.path.resolve()), stamp)).encode(errors="replace")).hexdigest()
        return Path(str(self.folder)) / f"{digest[:32]}.npz"


@cache
def _code() -> str:
    """Hash of the sources that turn a scan into a record: figures of changed code are never taken from the cache."""
    package, digest = Path(__file__).parents[2], hashlib.sha256()
    for file in sorted(path for folder in _DECISIVE for path in (package / folder).rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
