"""`basrelief tag`: files named with one's own words, from what a library keeps of them."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from basrelief.cli import options as opt
from basrelief.cli.index import DATABASE, Database, Where, open_index
from basrelief.errors import ConfigError
from basrelief.output import write_text

if TYPE_CHECKING:
    from basrelief.index import TagAnswer

_COLUMNS = ("path", "label", "confidence", "view", "declined")


def tag(
    folder: Annotated[Path | None, typer.Argument(metavar="DIR", help="Folder to bring into the library first.")] = None,
    labels: Annotated[str | None, typer.Option("--labels", "-l", help="Your words: `chair,table`, a file, or a named set.")] = None,
    db: Database = DATABASE,
    where: Where = None,
    min_confidence: Annotated[float, typer.Option(help="No label below this probability.")] = 0.0,
    min_margin: Annotated[float, typer.Option(help="No label where the best leads by less probability.")] = 0.0,
    distractors: Annotated[str | None, typer.Option(help="Names that are compared too; when one is best, no label.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the answers: .csv, or .json lines.")] = None,
    write: Annotated[bool, typer.Option(help="Write the labels into the library as tags.")] = False,
    sidecars: Annotated[bool, typer.Option(help="Write FILE.tags.json beside each file, too.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Take the last written tags back.")] = False,
    jobs: opt.Jobs = 0,
    weights: opt.Weights = None,
    checkpoint: opt.CheckpointFile = None,
    device: opt.Device = "auto",
    as_json: opt.Json = False,
) -> None:
    """Name every file with your own words, with how sure and by which view; nothing is written unless asked for."""
    from basrelief.index import Work
    from basrelief.tasks import RejectPolicy

    library = open_index(db, weights=weights, checkpoint=checkpoint, device=device)
    if undo:
        typer.echo(f"{library.undo():,} files have their former tags again")
        return
    if labels is None:
        raise ConfigError("tag must be given --labels or --undo, but got neither. Name your words, e.g. --labels chair,table.")
    if out and out.suffix.lower() not in (".csv", ".json", ".jsonl"):
        raise ConfigError(f"out must end in .csv, .json or .jsonl, but got {str(out)!r}. Name one of these.")
    names = opt.read_labels(labels)
    policy = RejectPolicy(None, min_confidence, min_margin, () if distractors is None else opt.read_labels(distractors))
    failures: list[tuple[str, str]] = []
    filters = list(where or ())
    if folder is not None:
        with opt.progress(f"index {folder.name}", quiet=as_json) as progress:
            failures = library.add(folder, work=Work(opt.cores(jobs)), progress=progress).failures
    found = [answer for answer in library.name(names, policy=policy, where=filters) if _inside(answer.path, folder)]
    lines = [opt.json_line(asdict(answer)) for answer in found]
    for answer, line in zip(found, lines, strict=True):
        typer.echo(line if as_json else _row(answer))
    if out:
        write_text(out, _csv(found) if out.suffix.lower() == ".csv" else "".join(f"{line}\n" for line in lines))
    if write or sidecars:
        changed = library.tag(((answer.path, [answer.label] if answer.label else []) for answer in found), sidecars=sidecars)
        typer.echo(f"basrelief: {changed:,} files have other tags now; basrelief tag --undo takes them back", err=True)
    opt.end_with(failures, see_all="basrelief index --json lists them all")


def _inside(path: str, folder: Path | None) -> bool:
    return folder is None or Path(path).is_relative_to(folder.resolve())


def _row(answer: TagAnswer) -> str:
    name = answer.label or f"none of these: {answer.declined}"
    return f"{answer.confidence:6.3f}  {name:<24}  view {answer.view}  {opt.printable(answer.path)}"


def _csv(found: list[TagAnswer]) -> str:
    """The answers for a spreadsheet; a cell that it would take for a formula begins with an apostrophe."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for answer in found:
        cells = [str(getattr(answer, name)) for name in _COLUMNS]
        writer.writerow(["'" + cell if cell[:1] in ("=", "+", "-", "@") else cell for cell in cells])
    return text.getvalue()
