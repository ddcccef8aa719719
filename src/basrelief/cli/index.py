"""`basrelief index | search | similar | dedupe`: libraries of shapes."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from basrelief.cli import options as opt
from basrelief.output import to_json

if TYPE_CHECKING:
    from basrelief.index import Hit, Index

Database = Annotated[str, typer.Option("--db", help="The library: a folder or a LanceDB address.", envvar="BASRELIEF_DB")]
DATABASE = "basrelief.lance"
ModelOfLibrary = Annotated[str | None, typer.Option("--model", "-m", help="Name of a model. Default: the library's; tiny for a new one.")]
Where = Annotated[list[str] | None, typer.Option("--where", "-w", help="Filter: faces<50k, format:glb, under:furniture/, tag:red, not ...")]
_Top = Annotated[int, typer.Option(min=1, help="Maximum number of shapes to show.")]
_Page = Annotated[Path | None, typer.Option("--html", help="Also save the hits as an HTML page with pictures.")]


def index(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR", help="Folders of shape files.")],
    db: Database = DATABASE,
    model: ModelOfLibrary = None,
    weights: opt.Weights = None,
    checkpoint: opt.CheckpointFile = None,
    text: opt.TextFile = None,
    up: opt.Up = None,
    intrinsics: opt.Intrinsics = None,
    jobs: opt.Jobs = 0,
    scenes: Annotated[
        str | None, typer.Option(help="Find the things in scans: auto recognises scans, all takes every file for one, or none.")
    ] = None,
    retry: Annotated[bool, typer.Option(help="Retry files that could not be read before.")] = False,
    device: opt.Device = "auto",
    backend: opt.Backend = "auto",
    dtype: opt.Dtype = "auto",
    as_json: opt.Json = False,
) -> None:
    """Index folders of 3D files; reruns only process what changed.

    An interrupted run resumes when the command is repeated. The exit code is 1 if a file could not be read; the others are indexed.
    """
    from basrelief.index import IndexOptions
    from basrelief.io import unread_note

    library = open_index(db, model, weights=weights, checkpoint=checkpoint, text=text, device=device, backend=backend, dtype=dtype)
    options = IndexOptions(opt.cores(jobs), up, retry_failed=retry, scenes=scenes, intrinsics=opt.read_intrinsics(intrinsics))
    failures: list[tuple[str, str]] = []
    new, read, colored = model is None and not library.exists, 0, 0
    for folder in folders:
        with opt.progress(f"index {folder.name}", quiet=as_json) as progress:
            report = library.add(folder, options=options, progress=progress)
        failures += report.failures
        read, colored = read + report.read, colored + report.colored
        if as_json:
            typer.echo(to_json({"folder": str(folder), **asdict(report)}))
        else:
            counts = f"{report.read:,} read, {report.reused:,} moved or copied, {report.removed:,} removed, {report.unchanged:,} unchanged"
            found = f"; {report.boxes:,} boxes in scans" if report.boxes else ""
            typer.echo(f"{opt.printable(str(folder))}: {counts}{found}; {len(library):,} files in {db}")
            if report.unread:
                typer.echo(unread_note(report.unread))
    if new and read and not as_json:
        _name_better_model(library.model.name, read, colored, shlex.join(map(str, folders)))
    opt.end_with(failures, see_all="--json lists them all")


def _name_better_model(used: str, read: int, colored: int, folders: str) -> None:
    """Say once, of a new library, which model was used and which one would see more of these files."""
    from basrelief.models.recommend import ShapeSummary, machine_memory
    from basrelief.models.recommend_colour import better_default

    shapes = ShapeSummary(files=read, meshes=read, clouds=0, colored=colored, points=0, unreadable=0)
    found = better_default(memory_gb=machine_memory(), shapes=shapes, files=(folders,))
    better = "" if found is None else f" {found.name} knows any words: {found.summary}."
    typer.echo(
        f"basrelief: {used} was used, which knows everyday names and no colours ({colored:,} of {read:,} files have some).{better} "
        f"For a new library: --model NAME; basrelief models recommend {folders} names more.",
        err=True,
    )


def search(
    words: Annotated[list[str] | None, typer.Argument(help="What to search for; several phrases are mixed.")] = None,
    image: Annotated[list[Path] | None, typer.Option(help="Image of what to search for.")] = None,
    shape: Annotated[list[Path] | None, typer.Option(help="Shape file to find similar shapes to.")] = None,
    without: Annotated[list[str] | None, typer.Option("--not", help="Words to move away from.")] = None,
    where: Where = None,
    db: Database = DATABASE,
    top: _Top = 10,
    pooling: Annotated[str, typer.Option(help="Score shapes by the mean of their views, or by the best view: mean or max.")] = "mean",
    names: Annotated[bool, typer.Option(help="Move files up whose names contain the words.")] = True,
    up: opt.Up = None,
    page: _Page = None,
    weights: opt.Weights = None,
    checkpoint: opt.CheckpointFile = None,
    text: opt.TextFile = None,
    device: opt.Device = "auto",
    as_json: opt.Json = False,
) -> None:
    """Find shapes by words, images, shapes, or a mixture of them, best first."""
    from basrelief.index import Query
    from basrelief.io import load

    query = Query(
        words=tuple(words or ()),
        images=tuple(image or ()),
        shapes=tuple(load(path, up) for path in shape or ()),
        without=tuple(without or ()),
        where=tuple(where or ()),
        pooling=pooling,
        match_names=names,
    )
    library = open_index(db, weights=weights, checkpoint=checkpoint, text=text, device=device)
    hits = library.search(query, top_k=top)
    for unknown, nearest in library.model.unknown_words([*query.words, *query.without]).items():
        typer.echo(f"basrelief: {library.model.name} does not know {unknown!r}; nearest known: {nearest!r}", err=True)
    title = " + ".join([*query.words, *(path.name for path in [*(image or ()), *(shape or ())])])
    _print_hits(library, hits, page=page, title=title, as_json=as_json)


def similar(
    file: Annotated[Path, typer.Argument(help="A shape file, in the library or not.")],
    where: Where = None,
    db: Database = DATABASE,
    top: _Top = 10,
    up: opt.Up = None,
    page: _Page = None,
    weights: opt.Weights = None,
    checkpoint: opt.CheckpointFile = None,
    text: opt.TextFile = None,
    device: opt.Device = "auto",
    as_json: opt.Json = False,
) -> None:
    """Find the shapes most similar to that of a file, best first."""
    library = open_index(db, weights=weights, checkpoint=checkpoint, text=text, device=device)
    hits = library.similar(file, top_k=top, where=where or (), up=up)
    _print_hits(library, hits, page=page, title=f"similar to {file.name}", as_json=as_json)


def dedupe(
    where: Where = None,
    db: Database = DATABASE,
    tolerance: Annotated[float | None, typer.Option(min=0, help="Maximum difference of the shape descriptors of duplicates.")] = None,
    as_json: opt.Json = False,
) -> None:
    """List files with the same geometry in any format, position, rotation and scale. Nothing is deleted."""
    groups = open_index(db).duplicates(where=where or (), **({} if tolerance is None else {"tolerance": tolerance}))
    for group in groups:
        typer.echo(to_json(group) if as_json else "\n".join(map(opt.printable, group)) + "\n")
    if not as_json:
        redundant = sum(map(len, groups)) - len(groups)
        typer.echo(f"groups of duplicates: {len(groups):,}; redundant files: {redundant:,}" if groups else "no duplicates found")


def open_index(
    db: str,
    model: str | None = None,
    *,
    weights: Path | None = None,
    checkpoint: Path | None = None,
    text: Path | None = None,
    device: str = "auto",
    backend: str = "auto",
    dtype: str = "auto",
) -> Index:
    """Open the library that was named; its model is loaded when it is first needed."""
    from basrelief.index import Index
    from basrelief.models import load_model

    loader = functools.partial(load_model, weights=weights, checkpoint=checkpoint, text=text, device=device, backend=backend, dtype=dtype)
    return Index.open(db, model=model, loader=loader)


def _print_hits(library: Index, hits: Sequence[Hit], *, page: Path | None, title: str, as_json: bool) -> None:
    """Print hits as rows or JSON lines, and save them as a page if asked."""
    from basrelief.index import describe_file, save_gallery

    if page:
        save_gallery(page, hits, thumbnails=library.thumbnails([hit.path for hit in hits]), title=title)
    names = [opt.printable(hit.metadata["relative_path"]) for hit in hits]
    width = max(map(len, names), default=0)
    for hit, name in zip(hits, names, strict=True):
        record = {**hit.metadata, "score": round(hit.score, 6), "view": hit.view, "name_match": hit.name_match}
        line = f"{hit.score:6.3f}  {name:<{width}}  {opt.printable(describe_file(hit.metadata))}"
        typer.echo(to_json(record) if as_json else line)
    if not hits and not as_json:
        typer.echo("nothing found")
