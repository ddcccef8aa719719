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
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Further host name of the page, e.g. that of a reverse proxy."),
    ] = None,
    device: opt.Device = "auto",
) -> None:
    """Serve a page: search by words, pictures and shapes, look at hits, name uploads, index folders, review tags."""
    import torch

    from basrelief.web import Address, LibraryService, serve

    if auth is not None and ":" not in auth:
        raise ConfigError("auth must be NAME:PASSWORD, but got no colon. Give both.")
    name, _, password = (auth or "").partition(":")
    address = Address(host, port, (name, password) if auth is not None else None, tuple(allow_host or ()))
    torch.set_num_threads(max(1, opt.cores(0) // 2))  # the other half serves; threads that wait for each other's cores are slower than one
    library = open_index(db, model, weights=weights, checkpoint=checkpoint, device=device)
    service = LibraryService(library, tuple(root or ()), opt.cores(jobs))
    running = None
    try:
        running = serve(service, address)
        typer.echo(f"basrelief: {running.url} (Ctrl-C ends it)", err=True)
        _wait()
    except KeyboardInterrupt:
        pass
    finally:
        if running is not None:
            running.close()
        service.close()


def _wait() -> None:
    import threading

    threading.Event().wait()
