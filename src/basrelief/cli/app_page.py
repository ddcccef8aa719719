"""`basrelief app`: a page for a library."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from basrelief.cli import options as opt
from basrelief.cli.index import DATABASE, Database, ModelOfLibrary, open_index
from basrelief.errors import ConfigError


def page(
    db: Database = DATABASE,
    model: ModelOfLibrary = None,
    weights: opt.Weights = None,
    checkpoint: opt.CheckpointFile = None,
    text: opt.TextFile = None,
    root: Annotated[list[Path] | None, typer.Option(help="Another folder that may be indexed from the page.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; any but this machine's needs --auth.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes the first free one from 7860.")] = 0,
    jobs: opt.Jobs = 0,
    auth: Annotated[str | None, typer.Option(help="User name and password for visitors, as NAME:PASSWORD.")] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Further host name of the page, e.g. that of a reverse proxy."),
    ] = None,
    device: opt.Device = "auto",
) -> None:
    """Open a library in the browser: search, view shapes, classify uploads, index folders, review tags."""
    from basrelief.web import Address, serve_until_interrupted

    address = Address(host, port, _credentials(auth), tuple(allow_host or ()))
    library = open_index(db, model, weights=weights, checkpoint=checkpoint, text=text, device=device)
    serve_until_interrupted(library, address, roots=root or (), jobs=opt.cores(jobs), on_start=_print_url)


def _credentials(auth: str | None) -> tuple[str, str] | None:
    if auth is None:
        return None
    name, colon, password = auth.partition(":")
    if not colon:
        raise ConfigError("--auth has no colon. Give it as NAME:PASSWORD.")
    return name, password


def _print_url(url: str) -> None:
    typer.echo(f"basrelief: {url} (press Ctrl-C to stop)", err=True)
