"""`basrelief train`: what is learned, each by one command."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from basrelief.cli import options as opt

if TYPE_CHECKING:
    from basrelief.train import Taught

app = typer.Typer(name="train", help="Learn: a head from labelled shapes, a depth tower from image-depth pairs.", no_args_is_help=True)

_Root = Annotated[Path, typer.Option(help="Folder of the data set, as it was unpacked.")]
_Dataset = Annotated[str, typer.Option(help="Name of the data set; `auto` finds out.")]
_Shots = Annotated[int, typer.Option(min=0, help="Shapes per class; 0 takes all of the training split, the papers' supervised row.")]
_Head = Annotated[str | None, typer.Option(help="probe, cache, simplified, inter-view or dual-path. Default: that of the model's paper.")]
_Out = Annotated[Path, typer.Option("--out", "-o", help="The file for the head.")]
_Variant = Annotated[str | None, typer.Option(help="Which of several, e.g. PB_T50_RS. Default: the paper's.")]
_Epochs = Annotated[int, typer.Option(min=1, help="Passes over the support, for adapters.")]
_Rate = Annotated[float, typer.Option(help="Learning rate of adapters.")]


@app.command("adapter")
def adapter(
    root: _Root,
    model: opt.ModelName = "tiny",
    dataset: _Dataset = "auto",
    shots: _Shots = 16,
    head: _Head = None,
    out: _Out = Path("adapter.safetensors"),
    variant: _Variant = None,
    epochs: _Epochs = 100,
    rate: _Rate = 1e-3,
    weights: opt.Weights = None,
    checkpoint: opt.CheckpointFile = None,
    up: opt.Up = None,
    seed: opt.Seed = 0,
    device: opt.Device = "auto",
    dtype: opt.Dtype = "float32",
    as_json: opt.Json = False,
) -> None:
    """Teach a head from the training split of a data set and ask it the test split; `basrelief classify --adapter` uses it.

    A folder without splits teaches with what is drawn and asks nothing. Exit code 1 when a shape could not be used.
    """
    from basrelief.datasets import open_benchmark
    from basrelief.models import Embedder, default_head, load_model
    from basrelief.tasks import Fit
    from basrelief.train import train_adapter

    load = partial(load_model, weights=weights, device=device, dtype=dtype)
    loaded, cache = load(model, checkpoint=checkpoint).for_shots(), opt.shape_cache()
    kind = head or default_head(loaded)[0]
    which = variant or loaded.recipe.datasets.get(dataset, {}).get("variant")
    opened = partial(open_benchmark, root, None if dataset == "auto" else dataset, variant=which, up=up, strict=False)
    support = opened(split="train")
    query = None if support.split == "all" else opened(split="test")
    second = opt.second_path(model, kind, load, cache, seed)
    with opt.progress("view features", quiet=as_json) as progress:
        paths = [Embedder(loaded, cache, seed, progress), *([second] if second else [])]
        taught = train_adapter(paths, support, query=query, head=kind, shots=shots or None, fit=Fit(epochs=epochs, rate=rate, seed=seed))
    taught.classifier.save(out)
    typer.echo(_record(taught, out) if as_json else _summary(taught, out))
    opt.end_with(taught.failures)


def _record(taught: Taught, out: Path) -> str:
    head, right = taught.classifier.head, taught.right
    top1 = None if right is None else round(100 * float(right.mean()), 4)
    record = {"head": head.kind, "support": taught.support, "classes": head.classes, "parameters": head.parameters}
    return json.dumps(record | {"top1": top1, "asked": 0 if right is None else len(right), "file": str(out)})


def _summary(taught: Taught, out: Path) -> str:
    from basrelief.metrics import wilson

    head, right = taught.classifier.head, taught.right
    line = f"{head.kind}: {taught.support} shapes of {head.classes} classes, {head.parameters:,} numbers, written to {out}"
    if right is None:
        return f"{line}\nnothing was asked: the files know no splits"
    low, high = wilson(int(right.sum()), len(right))
    return f"{line}\ntop-1 on the test split {100 * right.mean():.1f} % ({100 * low:.1f} to {100 * high:.1f}, n {len(right)})"
