"""The `basrelief` command. Exit codes: 0 success, 1 a file failed, 2 the command was wrong, 130 interrupted."""

from __future__ import annotations

import gc
import os
import sys
from typing import Annotated

import typer

from basrelief.cli import (
    ablate,
    app_page,
    classify,
    detect,
    doctor,
    evaluate,
    index,
    models,
    render,
    tag,
    train,
    train_ensemble,
    train_opendlign,
    train_point,
    train_tiny,
    train_view_weight,
)
from basrelief.errors import BasreliefError

app = typer.Typer(
    name="basrelief",
    help="Say what a 3D shape is: depth maps from several sides, read with CLIP, compared with words. The default model, tiny, was trained "
    "on labelled 3D shapes; the papers' zero-shot methods were not.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("classify")(classify.classify)
app.command("detect")(detect.detect)
app.command("render")(render.render)
for command in (index.index, index.search, index.similar, index.dedupe, tag.tag):
    app.command()(command)
app.command("app")(app_page.page)
app.command("evaluate")(evaluate.evaluate)
app.command("ablate")(ablate.ablate)
app.command("doctor")(doctor.doctor)
app.add_typer(models.app)
train.app.command("depth-aligned")(train_opendlign.depth_aligned)
train.app.command("filter")(train_opendlign.filter_images)
train.app.command("opendlign")(train_opendlign.opendlign)
train.app.command("point")(train_point.point)
train.app.command("ensemble")(train_ensemble.ensemble)
train.app.command("view-weight")(train_view_weight.view_weight)
train.app.command("tiny")(train_tiny.tiny)
train.app.command("upright")(train_tiny.upright)
app.add_typer(train.app)

_TRACEBACK = "--traceback"
_COLLECT_AFTER = 200_000
"""New objects between garbage collections: Python's 700 look through a million imported objects time and again, a second per command."""


def _version(wanted: bool) -> bool:
    if wanted:
        from basrelief import __version__

        typer.echo(f"basrelief {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def _common(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)] = False,
    traceback: Annotated[bool, typer.Option(_TRACEBACK, help="Show the traceback of an error.")] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; errors of basrelief and of the system become one line on stderr and exit code 2.

    Threads of torch spin for 10,000 rounds while they wait for each other, unless the user chose otherwise. libgomp's own 300,000 stall
    every step once another program wants the core (docs/research/projections.md, Speed). Imported objects are not
    garbage-collected at exit, which saves another second.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    gc.set_threshold(_COLLECT_AFTER)
    try:
        app()
    except BasreliefError as error:
        if _TRACEBACK in sys.argv:
            raise
        typer.echo(f"basrelief: {error}", err=True)
        sys.exit(2)
    except OSError as error:  # not handled closer to its cause
        if _TRACEBACK in sys.argv:
            raise
        typer.echo(f"basrelief: {error.strerror or error}: {error.filename or 'no file is named'}. --traceback shows where.", err=True)
        sys.exit(2)
    finally:
        gc.freeze()
