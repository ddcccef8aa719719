"""Tags from a user's own words: what each file is called, how surely, and by which view; written into the library, and taken back."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from basrelief.errors import OutputError
from basrelief.index.filters import condition
from basrelief.index.table import Tables, vectors_of
from basrelief.models import Model
from basrelief.output import write_text
from basrelief.tasks import RejectPolicy

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
    tables: Tables, model: Model, labels: Sequence[str], *, policy: RejectPolicy | None = None, where: Iterable[str] = ()
) -> Iterator[TagAnswer]:
    """Name the files of a library with one's own words, from the views it keeps; nothing is read or encoded again.

    Args:
        tables: Of the library.
        model: That of the library.
        labels: At least two.
        policy: When an answer is believed; every answer is when None.
        where: Filters.

    Raises:
        ConfigError: If labels or filters are wrong.
    """
    policy = policy or RejectPolicy()
    names = (*labels, *(word for word in policy.distractors if word not in labels))
    for batch in tables.batches(["path", "views"], where=condition(where)):
        if not batch.num_rows:
            continue
        views = torch.nn.functional.normalize(torch.from_numpy(vectors_of(batch, "views", tables.about.dim)), dim=-1)
        found = model.classify_views(views.to(model.encoder.device), names, sources=batch.column("path").to_pylist())
        for prediction in map(policy, found):
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

    Raises:
        OutputError: If the library or some of the sidecars cannot be written; the other sidecars are.
    """
    wanted = {path: sorted(set(names)) for path, names in tags}
    rows = tables.rows("path", list(wanted), columns=["path", "root", "tags"])
    before = {row["path"]: row["tags"] or [] for row in rows}
    changed = {path: names for path, names in wanted.items() if path in before and before[path] != names}
    tables.log_tags([{"path": path, "before": before[path], "after": names} for path, names in changed.items()])
    tables.set_tags(changed)
    if sidecars:
        _write_sidecars((Path(row["path"]), Path(row["root"]), wanted[row["path"]]) for row in rows)
    return len(changed)


def undo_tags(tables: Tables) -> int:
    """Take back the last change of tags that was not taken back; sidecars that say what it wrote go back, too.

    Returns:
        How many files have their former tags again; 0 where there is nothing to take back.

    Raises:
        OutputError: If the library or some of the sidecars cannot be written.
    """
    last = tables.last_tags()
    tables.set_tags({row["path"]: row["before"] for row in last})
    tables.forget_tags(last)
    roots = {row["path"]: row["root"] for row in tables.rows("path", [row["path"] for row in last], columns=["path", "root"])}
    here = [(Path(row["path"]), Path(roots[row["path"]]), row) for row in last if row["path"] in roots]
    _write_sidecars((path, root, row["before"]) for path, root, row in here if _holds(_sidecar(path), _content(row["after"])))
    return len(last)


def _write_sidecars(files: Iterable[tuple[Path, Path, Sequence[str]]]) -> None:
    """Write tags beside files, given with the folders they were indexed in; a file without tags has no sidecar."""
    failures = []
    for file, root, names in files:
        try:
            if not file.is_file() or not file.parent.resolve().is_relative_to(root.resolve()):
                raise OutputError(f"Cannot write {str(_sidecar(file))!r}: the file moved, or lies behind a link. Index the folder again.")
            if names:
                write_text(_sidecar(file), _content(names))
            else:
                _sidecar(file).unlink(missing_ok=True)
        except OSError as error:
            failures.append(str(error))
    if failures:
        raise OutputError(f"{len(failures):,} of the sidecars cannot be written. The first: {failures[0]}")


def _sidecar(file: Path) -> Path:
    return file.with_name(file.name + SIDECAR)


def _content(names: Sequence[str]) -> str:
    return json.dumps({"tags": list(names)}, ensure_ascii=False) + "\n"


def _holds(sidecar: Path, content: str) -> bool:
    """Tell whether a sidecar is as it was written: a regular file, never through a link, of which no more is read than that."""
    wanted = content.encode()
    try:
        opened = os.open(sidecar, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError):
        return False
    with open(opened, "rb") as file:  # noqa: PTH123 - a descriptor
        return stat.S_ISREG(os.fstat(opened).st_mode) and file.read(len(wanted) + 1) == wanted
