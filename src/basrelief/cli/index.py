"""`basrelief index | search | similar | dedupe`: a folder of shapes as a library that is asked."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from basrelief.cli import options as opt
from basrelief.output import write_text

if TYPE_CHECKING:
    from basrelief.index import Hit, Index

Database = Annotated[str, typer.Option("--db", help="The library: a folder, or an address LanceDB opens.", envvar="BASRELIEF_DB")]
DATABASE = "basrelief.lance"
Where = Annotated[list[str] | None, typer.Option("--where", "-w", help="Filter: faces<50k, format:glb, under:furniture/, tag:red, not ...")]
_Top = Annotated[int, typer.Option(min=1, help="How many shapes to show.")]
_Page = Annotated[Path | None, typer.Option("--html", help="Write the answer as a page with pictures.")]
_NONE = "nothing found"


def index(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR", help="Folders of shape files.")],
    db: Database = DATABASE,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Name of a model; tiny for a new library.")] = None,
    weights: opt.Weights = None,
    checkpoint: opt.CheckpointFile = None,
    up: opt.Up = None,
    jobs: opt.Jobs = 0,
    retry: Annotated[bool, typer.Option(help="Try files again that could not be read before.")] = False,
    device: opt.Device = "auto",
    dtype: opt.Dtype = "auto",
    as_json: opt.Json = False,
) -> None:
    """Bring a library up to date with folders: new and changed files are read, moved ones keep their vectors, deleted ones leave.

    Stopped at any moment, the same command goes on. Exit code 1 when a file could not be read; the others are in.
    """
    from basrelief.index import Work

    library = open_index(db, model, weights=weights, checkpoint=checkpoint, device=device, dtype=dtype)
    failures: list[tuple[str, str]] = []
    for folder in folders:
        with opt.progress(f"index {folder.name}", quiet=as_json) as progress:
            report = library.add(folder, work=Work(opt.cores(jobs), up, again=retry), progress=progress)
        failures += report.failures
        if as_json:
            typer.echo(opt.json_line({"folder": str(folder), **asdict(report)}))
        else:
            counts = f"{report.read:,} read, {report.copied:,} moved or copied, {report.gone:,} gone, {report.unchanged:,} unchanged"
            typer.echo(f"{opt.printable(str(folder))}: {counts}; {len(library):,} files in {db}")
    opt.end_with(failures, see_all="--json lists them all")


def search(
    words: Annotated[list[str] | None, typer.Argument(help="What to look for; several are mixed.")] = None,
    image: Annotated[list[Path] | None, typer.Option(help="A picture of it.")] = None,
    shape: Annotated[list[Path] | None, typer.Option(help="A shape like it.")] = None,
    without: Annotated[list[str] | None, typer.Option("--not", help="Words to keep away from.")] = None,
    where: Where = None,
    db: Database = DATABASE,
    top: _Top = 10,
    views: Annotated[str, typer.Option(help="How views count: by their mean, or the best of them.")] = "mean",
    names: Annotated[bool, typer.Option(help="Whether file names that hold the words count.")] = True,
    page: _Page = None,
    weights: opt.Weights = None,
    checkpoint: opt.CheckpointFile = None,
    device: opt.Device = "auto",
    as_json: opt.Json = False,
) -> None:
    """Find shapes by words, a picture, a shape, or a mixture of them, best first."""
    from basrelief.index import Query, read_picture
    from basrelief.io import load

    asked = Query(
        tuple(words or ()),
        tuple(read_picture(path) for path in image or ()),
        tuple(load(path) for path in shape or ()),
        tuple(without or ()),
        tuple(where or ()),
        views,
        names,
    )
    library = open_index(db, weights=weights, checkpoint=checkpoint, device=device)
    hits = library.search(asked, top_k=top)
    for text, nearest in library.model.unknown_words([*asked.words, *asked.without]).items():
        typer.echo(f"basrelief: {library.model.name} does not know {text!r}; nearest known: {nearest!r}", err=True)
    title = " + ".join([*asked.words, *(path.name for path in [*(image or ()), *(shape or ())])])
    _show(library, hits, page=page, title=title, as_json=as_json)


def similar(
    file: Annotated[Path, typer.Argument(help="A shape file, of the library or not.")],
    where: Where = None,
    db: Database = DATABASE,
    top: _Top = 10,
    page: _Page = None,
    weights: opt.Weights = None,
    checkpoint: opt.CheckpointFile = None,
    device: opt.Device = "auto",
    as_json: opt.Json = False,
) -> None:
    """Find shapes that look like one, best first."""
    library = open_index(db, weights=weights, checkpoint=checkpoint, device=device)
    _show(library, library.similar(file, top_k=top, where=where or ()), page=page, title=f"like {file.name}", as_json=as_json)


def dedupe(
    where: Where = None,
    db: Database = DATABASE,
    tolerance: Annotated[float | None, typer.Option(min=0, help="How much the forms of copies may differ.")] = None,
    as_json: opt.Json = False,
) -> None:
    """List files that hold the same form in any format, place, turn and scale. Nothing is deleted."""
    found = open_index(db).duplicates(where=where or (), **({} if tolerance is None else {"tolerance": tolerance}))
    for group in found:
        typer.echo(opt.json_line(group) if as_json else "\n".join(map(opt.printable, group)) + "\n")
    if not as_json:
        typer.echo(f"{len(found):,} groups, {sum(map(len, found)) - len(found):,} files more than forms" if found else "no copies found")


def open_index(
    db: str,
    model: str | None = None,
    *,
    weights: Path | None = None,
    checkpoint: Path | None = None,
    device: str = "auto",
    dtype: str = "auto",
) -> Index:
    """The library that was named, its model loaded when it is needed."""
    from basrelief.index import Index
    from basrelief.models import load_model

    loader = functools.partial(load_model, weights=weights, checkpoint=checkpoint, device=device, dtype=dtype)
    return Index.open(db, model=model, loader=loader)


def _show(library: Index, hits: Sequence[Hit], *, page: Path | None, title: str, as_json: bool) -> None:
    """Print hits as rows or JSON lines, and write them as a page."""
    from basrelief.index import facts, gallery_page

    if page:
        pictures = library.pictures([hit.path for hit in hits])
        write_text(page, gallery_page(hits, pictures, title=title))
    places = [opt.printable(hit.about["place"]) for hit in hits]
    width = max(map(len, places), default=0)
    for hit, place in zip(hits, places, strict=True):
        record = {**hit.about, "score": round(hit.score, 6), "view": hit.view, "by_name": hit.by_name}
        typer.echo(opt.json_line(record) if as_json else f"{hit.score:6.3f}  {place:<{width}}  {opt.printable(facts(hit))}")
    if not hits and not as_json:
        typer.echo(_NONE)
