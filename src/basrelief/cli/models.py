"""`basrelief models`: list the models, their weights and their cost."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from basrelief.cli import export_text, fetch, recommend
from basrelief.cli import options as opt
from basrelief.output import to_json

if TYPE_CHECKING:
    from basrelief.models import ModelStatus


app = typer.Typer(name="models")


@app.callback(invoke_without_command=True)
def models(
    context: typer.Context,
    cost: Annotated[bool, typer.Option("--cost", help="Show parameters, multiply-adds and measured time per shape.")] = False,
    device: opt.Device = "auto",
    as_json: opt.Json = False,
) -> None:
    """List the models: weights on disk or not, size, licence, training data, the paper's numbers; or the cost of each.

    Time is measured for models whose weights are on this machine; parameters and multiply-adds are counted for all.
    """
    if context.invoked_subcommand is not None:
        return
    if cost:
        _costs(device, as_json=as_json)
        return
    from basrelief.models import list_models

    found = list_models()
    if as_json:
        for status in found:
            typer.echo(to_json(dataclasses.asdict(status)))
        return
    columns = ("model", "what it is", "on disk", "size", "licence of the weights", "ModelNet40 top-1, paper")
    rows = []
    for status in found:
        paper = next((f"{n.value:.1f}" for n in status.numbers if n.dataset == "modelnet40"), "")
        rows.append((status.name, status.title, "yes" if status.ready else "no", _size(status), status.licence, paper))
    opt.print_table(columns, rows)
    if not all(status.ready for status in found):
        typer.echo("Weights that are not on disk: basrelief models fetch MODEL shows files, sizes and licences, then downloads them.")


def _size(status: ModelStatus) -> str:
    text = f" + {status.text_megabytes:,.0f} MB ({status.encoder.split('/')[0]})" if status.text_megabytes else ""
    return f"{'' if status.ready else 'about '}{status.megabytes:,.0f} MB{text}"


def _costs(device: str, *, as_json: bool) -> None:
    from basrelief.models import list_models, load_model, model_cost

    found = []
    for status in list_models():
        if status.ready:
            found.append(model_cost(load_model(status.name, device=device, backend="torch", dtype="float32")))
        else:
            found.append(model_cost(status.name))
    if as_json:
        for one in found:
            typer.echo(to_json(dataclasses.asdict(one)))
        return
    rows = []
    for c in found:
        times = ["" if ms is None else f"{ms:.1f} ms" for ms in (c.draw_ms, c.encode_ms)]
        counts = (f"{c.parameters / 1e6:.1f} M", f"{c.text_parameters / 1e6:.1f} M", str(c.views), f"{c.multiply_adds / 1e9:.1f} G")
        rows.append((c.name, *counts, f"{c.points:,}", *times))
    opt.print_table(("model", "image tower or point network", "text tower", "views", "multiply-adds", "points", "prepare", "encode"), rows)


app.command("fetch")(fetch.fetch)
app.command("export-text")(export_text.export_text)
app.command("recommend")(recommend.recommend)
