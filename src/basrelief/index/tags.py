"""Tags from a user's own words: what each file is called, how surely, and by which view; written into the library, and taken back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from basrelief.index.filters import condition
from basrelief.index.table import Tables, vectors_of
from basrelief.models import Model
from basrelief.tasks import Judge

SIDECAR = ".tags.json"
"""What a sidecar's name adds to that of its file."""


@dataclass(frozen=True)
class TagAnswer:
    """What one file is called.

    Attributes:
        path: Of the file.
        label: The best of the words, or empty for none of these.
        confidence: Its probability, or its score where the model defines none.
        view: Number of the view that speaks most for it.
        declined: Why there is no label, or empty.
        others: The next labels with their probabilities.
    """

    path: str
    label: str
    confidence: float
    view: int
    declined: str = ""
    others: tuple[tuple[str, float], ...] = ()


def name_files(
    tables: Tables, model: Model, labels: Sequence[str], *, judge: Judge | None = None, where: Iterable[str] = ()
) -> Iterator[TagAnswer]:
    """Name the files of a library with one's own words, from the views it keeps; nothing is read or encoded again.

    Args:
        tables: Of the library.
        model: That of the library.
        labels: At least two.
        judge: When an answer is believed; every answer is when None.
        where: Filters.

    Raises:
        ConfigError: If labels or filters are wrong.
    """
    judge = judge or Judge()
    names = (*labels, *(word for word in judge.distractors if word not in labels))
    for batch in tables.batches(["path", "views"], where=condition(where)):
        if not batch.num_rows:
            continue
        views = torch.nn.functional.normalize(torch.from_numpy(vectors_of(batch, "views", tables.about.dim)), dim=-1)
        found = model.classify_views(views.to(model.encoder.device), names, sources=batch.column("path").to_pylist())
        for prediction in map(judge, found):
            sure = prediction.scores if prediction.probabilities is None else prediction.probabilities
            view = int(prediction.view_scores[:, 0].argmax())
            ranked = tuple((label, float(p)) for label, p in zip(prediction.labels[1:4], sure[1:4], strict=True))
            label = "" if prediction.declined else prediction.label
            yield TagAnswer(prediction.source, label, float(sure[0]), view, prediction.declined, ranked)


def write_tags(tables: Tables, tags: Iterable[tuple[str, Sequence[str]]], *, sidecars: bool = False) -> int:
    """Give files tags, as one change that `undo_tags` takes back.

    Args:
        tables: Of the library.
        tags: Path and tags of each file; they replace those it had.
        sidecars: Whether `FILE.tags.json` is written beside each file, too.

    Returns:
        How many files have other tags now.
    """
    wanted = {path: sorted(set(names)) for path, names in tags}
    before = {row["path"]: row["tags"] or [] for row in tables.rows("path", list(wanted), columns=["path", "tags"])}
    changed = {path: names for path, names in wanted.items() if path in before and before[path] != names}
    tables.log_tags([{"path": path, "before": before[path], "after": names} for path, names in changed.items()])
    tables.set_tags(changed)
    if sidecars:
        for path, names in wanted.items():
            if path in before:
                _write_sidecar(Path(path), names)
    return len(changed)


def undo_tags(tables: Tables) -> int:
    """Take back the last change of tags that was not taken back; sidecars that say what it wrote go back, too.

    Returns:
        How many files have their former tags again; 0 where there is nothing to take back.
    """
    last = tables.last_tags()
    tables.set_tags({row["path"]: row["before"] for row in last})
    for row in last:
        sidecar = Path(row["path"] + SIDECAR)
        if _sidecar_tags(sidecar) == row["after"]:
            _write_sidecar(Path(row["path"]), row["before"])
    tables.forget_tags(last)
    return len(last)


def _write_sidecar(file: Path, names: Sequence[str]) -> None:
    """Write what a file is called beside it; none when it has no tags."""
    sidecar = file.with_name(file.name + SIDECAR)
    if not names:
        sidecar.unlink(missing_ok=True)
        return
    part = sidecar.with_name(f".{sidecar.name}.part")
    part.write_text(json.dumps({"tags": list(names)}, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(sidecar)


def _sidecar_tags(sidecar: Path) -> list[str] | None:
    try:
        record: Any = json.loads(sidecar.read_text(encoding="utf-8"))
        return list(record["tags"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
