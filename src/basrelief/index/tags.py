"""Tags from a user's own words: propose them, write them into the library, undo them."""

from __future__ import annotations

import csv
import io
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from basrelief.errors import ConfigError, OutputError
from basrelief.index.files import is_inside
from basrelief.index.filters import sql_condition
from basrelief.index.rows import IS_FILE, vectors_of
from basrelief.index.table import Tables
from basrelief.models import Model
from basrelief.output import to_json, write_text
from basrelief.tasks import RejectPolicy

SIDECAR_SUFFIX = ".tags.json"
"""Appended to the name of a file to name its sidecar."""

_TABLE_SUFFIXES = (".csv", ".json", ".jsonl")
_CSV_COLUMNS = ("path", "label", "confidence", "view", "declined")


@dataclass(frozen=True)
class TagProposal:
    """The label that fits a file best.

    Attributes:
        path: Absolute path of the file.
        label: Best of the labels, or empty if none is accepted.
        confidence: Its probability, or its score if the model's pooling defines no probability.
        view: Index of the view with the highest score for it.
        declined: Why no label was accepted, or empty.
        others: The next labels with their probabilities.
    """

    path: str
    label: str
    confidence: float
    view: int
    declined: str = ""
    others: tuple[tuple[str, float], ...] = ()


def propose_tags(
    tables: Tables,
    model: Model,
    labels: Sequence[str],
    *,
    policy: RejectPolicy | None = None,
    where: Iterable[str] = (),
    folder: Path | None = None,
) -> Iterator[TagProposal]:
    """Classify the files of a library from their stored view embeddings; nothing is read, rendered or encoded again.

    Args:
        tables: Tables of the library.
        model: Model of the library.
        labels: At least two.
        policy: Which answers are accepted; all when None.
        where: Filters.
        folder: Only files under this folder; all when None.

    Raises:
        ConfigError: If labels or filters are wrong.
    """
    policy = policy or RejectPolicy()
    names = (*labels, *(label for label in policy.distractors if label not in labels))
    resolved = None if folder is None else folder.resolve()
    for rows in tables.batches(["path", "views"], where=sql_condition(where)):
        batch = rows if resolved is None else rows.filter([is_inside(resolved, path) for path in rows.column("path").to_pylist()])
        if not batch.num_rows:
            continue
        views = torch.nn.functional.normalize(torch.from_numpy(vectors_of(batch, "views", tables.info.dim)), dim=-1)
        predictions = model.classify_views(views.to(model.encoder.device), names, sources=batch.column("path").to_pylist())
        for prediction in map(policy, predictions):
            confidences = prediction.scores if prediction.probabilities is None else prediction.probabilities
            yield TagProposal(
                path=prediction.source,
                label="" if prediction.declined else prediction.label,
                confidence=float(confidences[0]),
                view=int(prediction.view_scores[:, 0].argmax()),
                declined=prediction.declined,
                others=tuple((label, float(p)) for label, p in zip(prediction.labels[1:4], confidences[1:4], strict=True)),
            )


@dataclass(frozen=True)
class ProposalFile:
    """A file for tag proposals: a table (`.csv`) or JSON lines (`.json`, `.jsonl`).

    Attributes:
        path: The file.

    Raises:
        ConfigError: If its suffix is another one.
    """

    path: Path

    def __post_init__(self) -> None:
        """Check the suffix."""
        if self.path.suffix.lower() not in _TABLE_SUFFIXES:
            raise ConfigError(f"Cannot tell the format of {str(self.path)!r}. Name a file that ends in .csv, .json or .jsonl.")

    def save(self, proposals: Iterable[TagProposal]) -> None:
        """Write proposals; a file of that name is replaced.

        Raises:
            OutputError: If the file cannot be written.
        """
        if self.path.suffix.lower() == ".csv":
            write_text(self.path, _csv(proposals))
        else:
            write_text(self.path, "".join(f"{to_json(asdict(proposal))}\n" for proposal in proposals))


def write_tags(tables: Tables, tags: Mapping[str, Sequence[str]], *, sidecars: bool = False) -> int:
    """Replace the tags of files as one change that `undo_tags` reverts.

    Args:
        tables: Tables of the library.
        tags: New tags by path.
        sidecars: Whether to write `FILE.tags.json` next to each file, too; boxes in scans have none.

    Returns:
        The number of files whose tags changed.

    Raises:
        OutputError: If the library or some of the sidecars cannot be written; the other sidecars are.
    """
    wanted = {path: sorted(set(names)) for path, names in tags.items()}
    rows = tables.rows("path", list(wanted), columns=["path", "root", "tags", "scan"])
    before = {row["path"]: row["tags"] or [] for row in rows}
    changed = {path: names for path, names in wanted.items() if path in before and before[path] != names}
    tables.record_tag_change([{"path": path, "before": before[path], "after": names} for path, names in changed.items()])
    tables.set_tags(changed)
    if sidecars:
        _write_sidecars(_Sidecar(Path(row["path"]), Path(row["root"]), wanted[row["path"]]) for row in rows if row["scan"] is None)
    return len(changed)


def undo_tags(tables: Tables) -> int:
    """Revert the last change of tags that was not reverted, and the sidecars that still hold what it wrote.

    Returns:
        The number of files whose tags were restored; 0 if there is nothing to undo.

    Raises:
        OutputError: If the library or some of the sidecars cannot be written.
    """
    change = tables.last_tag_change()
    tables.set_tags({row["path"]: row["before"] for row in change})
    tables.delete_tag_change(change)
    rows = tables.rows("path", [row["path"] for row in change], columns=["path", "root"], where=IS_FILE)
    roots = {row["path"]: Path(row["root"]) for row in rows}
    files = [(_Sidecar(Path(row["path"]), roots[row["path"]], row["before"]), row["after"]) for row in change if row["path"] in roots]
    _write_sidecars(sidecar for sidecar, after in files if _holds(sidecar.path, _sidecar_text(after)))
    return len(change)


@dataclass(frozen=True)
class _Sidecar:
    """A sidecar to write.

    Attributes:
        file: The shape file.
        root: The folder it was indexed in.
        tags: Its tags; a file without tags has no sidecar.
    """

    file: Path
    root: Path
    tags: Sequence[str]

    @property
    def path(self) -> Path:
        return self.file.with_name(self.file.name + SIDECAR_SUFFIX)

    def write(self) -> None:
        if not self.file.is_file() or not self.file.parent.resolve().is_relative_to(self.root.resolve()):
            raise OutputError(f"Cannot write {str(self.path)!r}: the file was moved or lies behind a link. Index the folder again.")
        if self.tags:
            write_text(self.path, _sidecar_text(self.tags))
        else:
            self.path.unlink(missing_ok=True)


def _write_sidecars(sidecars: Iterable[_Sidecar]) -> None:
    failures = []
    for sidecar in sidecars:
        try:
            sidecar.write()
        except OSError as error:
            failures.append(str(error))
    if failures:
        raise OutputError(f"{len(failures):,} sidecar files cannot be written. The first: {failures[0]}")


def _sidecar_text(tags: Sequence[str]) -> str:
    return json.dumps({"tags": list(tags)}, ensure_ascii=False) + "\n"


def _holds(sidecar: Path, content: str) -> bool:
    """Return whether a sidecar is a regular file with this content; never follows a link or reads more than the content's length."""
    wanted = content.encode()
    try:
        opened = os.open(sidecar, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError):
        return False
    with open(opened, "rb") as file:  # noqa: PTH123 - a descriptor
        return stat.S_ISREG(os.fstat(opened).st_mode) and file.read(len(wanted) + 1) == wanted


def _csv(proposals: Iterable[TagProposal]) -> str:
    """Format proposals for a spreadsheet; an apostrophe keeps it from reading a cell as a formula."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_CSV_COLUMNS)
    for proposal in proposals:
        cells = [str(getattr(proposal, name)) for name in _CSV_COLUMNS]
        writer.writerow(["'" + cell if cell[:1] in ("=", "+", "-", "@") else cell for cell in cells])
    return text.getvalue()
