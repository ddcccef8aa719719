"""`basrelief app`: a page for a library."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from basrelief.cli import options as opt
from basrelief.cli.index import DATABASE, Database, open_index
from basrelief.errors import ConfigError


def page(
    db: Database = DATABASE,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Name of a model; tiny for a new library.")] = None,
    weights: opt.Weights = None,
    checkpoint: opt.CheckpointFile = None,
    root: Annotated[list[Path] | None, typer.Option(help="Folder that may be indexed from the page, beside those that are.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen at; any but this machine's needs --auth.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; the next free one from 7860 when 0.")] = 0,
    jobs: opt.Jobs = 0,
    auth: Annotated[str | None, typer.Option(help="NAME:PASSWORD that visitors are asked for.")] = None,
    device: opt.Device = "auto",
) -> None:
    """Serve a page: search by words, pictures and shapes, look at hits, name uploads, index folders, review tags."""
    from basrelief.web import Address, Desk, serve

    if auth is not None and ":" not in auth:
        raise ConfigError("auth must be NAME:PASSWORD, but got no colon. Give both.")
    name, _, password = (auth or "").partition(":")
    address = Address(host, port, (name, password) if auth is not None else None)
    desk = Desk(open_index(db, model, weights=weights, checkpoint=checkpoint, device=device), tuple(root or ()), opt.cores(jobs))
    try:
        typer.echo(f"basrelief: {serve(desk, address)} (Ctrl-C ends it)", err=True)
        _wait()
    except KeyboardInterrupt:
        pass
    finally:
        desk.close()


def _wait() -> None:
    import threading

    threading.Event().wait()
