"""`basrelief models`: what can be loaded, what is on disk, what must be fetched."""

from __future__ import annotations

import dataclasses
import json

import typer

from basrelief.cli import options as opt


def models(as_json: opt.Json = False) -> None:
    """List the models: weights on disk or not, size, licence, training data, the paper's numbers."""
    from basrelief.models import list_models

    found = list_models()
    if as_json:
        for status in found:
            typer.echo(json.dumps(dataclasses.asdict(status)))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("model", "what it is", "on disk", "size", "licence of the weights", "ModelNet40 top-1, paper")
    for status in found:
        paper = next((f"{n.value:.1f}" for n in status.numbers if n.dataset == "modelnet40"), "")
        table.add_row(status.name, status.title, "yes" if status.ready else "no", f"{status.megabytes:,.0f} MB", status.licence, paper)
    console = Console()
    console.print(table)
    for status in found:
        if status.missing:
            console.print(f"[bold]{status.name}[/bold]: {status.missing}", highlight=False)
