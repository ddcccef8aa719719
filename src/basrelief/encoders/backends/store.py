"""Exported graphs and decisions in the user's cache folder.

Entries are written under another name and renamed when they are complete, so that no process reads half of one, and several may write at
once. What belongs to another user, is a link, or has another size than recorded is ignored. An entry is data: OpenVINO's IR (XML and
weights) and JSON; no extension is loaded for it.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from basrelief.encoders.cache import is_own
from basrelief.errors import OutputError
from basrelief.folders import cache_folder
from basrelief.output import write_text

if TYPE_CHECKING:
    import openvino

LIMIT_BYTES = 12 << 30
"""Size of all exported graphs; those used least recently are removed first."""

_GRAPH, _RECORD = ("graph.xml", "graph.bin"), "entry.json"
_STALE_SECONDS = 3600.0
_MOST_DECISIONS = 500
_MOST_RECORD_BYTES = 1 << 16


@dataclass(frozen=True)
class Decision:
    """Which backend and precision run an encoder, and what was measured.

    Attributes:
        encoder: Name of the encoder.
        backend: `torch` or `openvino`.
        dtype: Precision of the image tower, or of the text tower alone.
        milliseconds: Time of each candidate that was measured, for the pictures of the probe.
        cosines: Smallest cosine of each to torch in float32.
    """

    encoder: str
    backend: str
    dtype: str
    milliseconds: Mapping[str, float] = field(default_factory=dict)
    cosines: Mapping[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Backend and precision, e.g. `openvino bfloat16`."""
        return f"{self.backend} {self.dtype}"

    @property
    def reason(self) -> str:
        """What was measured, in a sentence."""
        times = ", ".join(f"{name} {value:.0f} ms" for name, value in self.milliseconds.items())
        cosine = self.cosines.get(self.name)
        kept = "" if cosine is None else f", cosine to torch float32 {cosine:.5f}"
        return f"{self.name}: {f'measured {times}' if times else 'requested'}{kept}"


def recall(key: str) -> Decision | None:
    """Return the decision that was made under a key, or None."""
    return _read_decision(_folder("decisions") / f"{key}.json")


def remember(key: str, decision: Decision) -> None:
    """Keep a decision; one that cannot be written is made again next time."""
    folder = _folder("decisions")
    with contextlib.suppress(OSError, OutputError):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_text(folder / f"{key}.json", json.dumps(asdict(decision)))
        for path in sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime)[:-_MOST_DECISIONS]:
            path.unlink(missing_ok=True)


def recorded_decisions(encoder: str) -> list[Decision]:
    """Return the decisions for an encoder of that name on this machine, newest first."""
    with contextlib.suppress(OSError):
        paths = sorted(_folder("decisions").glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
        return [found for path in paths if (found := _read_decision(path)) is not None and found.encoder == encoder]
    return []


def _read_decision(path: Path) -> Decision | None:
    try:
        if not is_own(path) or path.stat().st_size > _MOST_RECORD_BYTES:
            return None
        record: dict[str, Any] = json.loads(path.read_bytes())
        numbers = [{str(k): float(v) for k, v in record[name].items()} for name in ("milliseconds", "cosines")]
        return Decision(str(record["encoder"]), str(record["backend"]), str(record["dtype"]), *numbers)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def load_graph(key: str) -> openvino.Model | None:
    """Return the exported graph of a key, or None if there is none that is whole and ours."""
    import openvino as ov

    entry = _folder("graphs") / key
    with contextlib.suppress(OSError, RuntimeError):
        if _is_whole(entry):
            os.utime(entry)
            return ov.Core().read_model(entry / _GRAPH[0])
    return None


def store_graph(key: str, graph: openvino.Model, *, limit: int = LIMIT_BYTES) -> None:
    """Keep an exported graph, whole or not at all; one that does not fit into the limit or on the disk is not kept."""
    import openvino as ov

    folder = _folder("graphs")
    part = folder / f".part-{secrets.token_hex(8)}"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        part.mkdir(mode=0o700)
        ov.save_model(graph, part / _GRAPH[0], compress_to_fp16=False)
        sizes = {name: (part / name).stat().st_size for name in _GRAPH}
        write_text(part / _RECORD, json.dumps(sizes))
        for path in part.iterdir():
            with path.open("rb+") as file:
                os.fsync(file.fileno())
        if sum(sizes.values()) <= limit:
            if (folder / key).exists() and not _is_whole(folder / key):
                _remove(folder / key)
            part.rename(folder / key)  # fails if another process was first, whose entry is as good
            _prune(folder, limit)
    except (OSError, RuntimeError, OutputError):
        pass
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _is_whole(entry: Path) -> bool:
    """Whether an entry is ours and has the recorded sizes."""
    try:
        if not is_own(entry, folder=True) or (entry / _RECORD).stat().st_size > _MOST_RECORD_BYTES:
            return False
        sizes = json.loads((entry / _RECORD).read_bytes())
        return all(is_own(entry / name) and (entry / name).stat().st_size == sizes[name] for name in _GRAPH)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return False


def _remove(entry: Path) -> None:
    """Remove an entry; others see it whole or not at all."""
    gone = entry.with_name(f".part-{secrets.token_hex(8)}")
    entry.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def _prune(folder: Path, limit: int) -> None:
    """Remove entries beyond the limit, and what killed processes left."""
    total = 0
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.stat().st_mtime, reverse=True):
        if entry.name.startswith(".part-"):
            if time.time() - entry.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(entry, ignore_errors=True)
            continue
        total += sum(path.stat().st_size for path in _files(entry))
        if total > limit:
            _remove(entry)


def _files(entry: Path) -> Iterator[Path]:
    return (path for path in entry.iterdir() if path.is_file()) if entry.is_dir() else iter(())


def _folder(name: str) -> Path:
    return cache_folder() / "backends" / name
