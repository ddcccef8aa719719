"""`basrelief train`: what is learned, each by one command."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from basrelief.cli import options as opt
from basrelief.output import to_json

if TYPE_CHECKING:
    from basrelief.encoders import ClipEncoder
    from basrelief.train import AdapterResult

app = typer.Typer(name="train", help="Learn: a head from labelled shapes, a depth tower from image-depth pairs.", no_args_is_help=True)

_Root = Annotated[Path, typer.Option(help="Folder of the data set, as it was unpacked.")]
_Dataset = Annotated[str, typer.Option(help="Name of the data set; `auto` finds out.")]
_Shots = Annotated[int, typer.Option(min=0, help="Shapes per class; 0 takes all of the training split, the papers' supervised row.")]
_Head = Annotated[str | None, typer.Option(help="probe, cache, simplified, inter-view or dual-path. Default: that of the model's paper.")]
_Out = Annotated[Path, typer.Option("--out", "-o", help="The file for the head.")]
_Variant = Annotated[str | None, typer.Option(help="Which of several, e.g. PB_T50_RS. Default: the paper's.")]
_Partial = Annotated[bool, typer.Option("--partial", help="Accept counts or labels that are not those of the data card.")]
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
    partial: _Partial = False,
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
    from basrelief.tasks import FitOptions
    from basrelief.train import train_adapter

    load = functools.partial(load_model, weights=weights, device=device, dtype=dtype)
    loaded, cache = load(model, checkpoint=checkpoint).for_few_shot(), opt.shape_cache()
    kind = head or default_head(model)
    which = variant or loaded.recipe.datasets.get(dataset, {}).get("variant")
    opened = functools.partial(open_benchmark, root, None if dataset == "auto" else dataset, variant=which, up=up, strict=not partial)
    support = opened(split="train")
    query = None if support.split == "all" else opened(split="test")
    second = opt.second_path(model, kind, load, cache, seed)
    with opt.progress("view features", quiet=as_json) as progress:
        paths = [Embedder(loaded, cache, seed, progress), *([second] if second else [])]
        taught = train_adapter(
            paths, support, query=query, head=kind, shots=shots or None, fit=FitOptions(epochs=epochs, rate=rate, seed=seed)
        )
    taught.classifier.save(out)
    typer.echo(_record(taught, out) if as_json else _summary(taught, out))
    opt.end_with(taught.failures)


@app.command("pairs")
def pairs(
    root: _Root,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the pairs.")],
    dataset: _Dataset = "auto",
    layout: Annotated[str, typer.Option(help="shards: tar files of 100 shapes. folders: one for each shape.")] = "shards",
    size: Annotated[int, typer.Option(help="Side of a picture, pixels.")] = 224,
    jobs: opt.Jobs = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many shapes, of every class in turn.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Draw a few, print pictures, bytes and hours of all, and stop.")] = False,
    up: opt.Up = None,
    seed: opt.Seed = 0,
    device: opt.Device = "auto",
) -> None:
    """Draw every shape of a mesh library in colour from CLIP2Point's ten sides, beside its points; what is there already stays.

    Exit code 1 when a mesh could not be drawn; `failed.jsonl` lists them.
    """
    from basrelief.datasets import open_benchmark
    from basrelief.encoders.load import choose_device
    from basrelief.train.pairs import PairSettings, make_pairs, plan_pairs

    library = open_benchmark(root, None if dataset == "auto" else dataset, split="train", up=up, strict=False)
    library = library if limit is None else library.limited(limit)
    where = str(choose_device(device))
    style, processes = PairSettings(size=size, device=where, seed=seed), 0 if where != "cpu" else opt.cores(jobs)
    if dry_run:
        typer.echo(opt.cost_line(plan_pairs(library, style=style), processes))
        return
    with opt.progress("pairs", quiet=False) as progress:
        failed = make_pairs(library, out, style=style, layout=layout, jobs=processes, progress=progress)
    typer.echo(f"{len(library) - len(failed):,} pairs in {out}")
    opt.end_with(failed)


@app.command("clip2point")
def clip2point(
    pairs: Annotated[Path, typer.Option(help="Folder from basrelief train pairs, or the original's rendering.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run; one that was stopped goes on.")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="NAME=VALUE", help="Over the recipe, e.g. batch=64.")] = None,
    clouds: Annotated[Path | None, typer.Option(help="For the original's rendering: the folder of ShapeNet55.")] = None,
    recipe: Annotated[Path | None, typer.Option(help="YAML file over the published settings.")] = None,
    validation: Annotated[Path | None, typer.Option(help="Data set whose zero-shot accuracy chooses the tower; not the test set.")] = None,
    model: opt.ModelName = "clip2point-untuned",
    weights: opt.Weights = None,
    device: opt.Device = "auto",
) -> None:
    """Pre-train a depth tower on image-depth pairs in the published way; under torchrun or accelerate launch, on several GPUs.

    Use what it writes: basrelief classify --model clip2point --checkpoint OUT/depth_tower.safetensors.
    """
    from basrelief.datasets import open_benchmark
    from basrelief.models import load_model
    from basrelief.train.clip2point import Clip2PointSettings, pretrain
    from basrelief.train.config import read_settings
    from basrelief.train.pairs import open_pairs
    from basrelief.train.run import zero_shot_accuracy

    settings = read_settings(Clip2PointSettings, recipe, overrides or [])
    content = open_pairs(pairs, clouds=clouds)
    loaded = load_model(model, weights=weights, device=device, dtype="float32").for_few_shot()
    validate = None
    if validation is not None:
        validate = zero_shot_accuracy(loaded, open_benchmark(validation, split="test"))
    pretrain(content, cast("ClipEncoder", loaded.encoder), out=out, settings=settings, validate=validate, echo=True)
    typer.echo(f"depth tower: {out / 'depth_tower.safetensors'}")


def _record(taught: AdapterResult, out: Path) -> str:
    head, right = taught.classifier.head, taught.right
    top1 = None if right is None else round(100 * float(right.mean()), 4)
    record = {"head": head.kind, "support": taught.support, "classes": head.classes, "parameters": head.parameters}
    return to_json(record | {"top1": top1, "asked": 0 if right is None else len(right), "file": str(out)})


def _summary(taught: AdapterResult, out: Path) -> str:
    from basrelief.metrics import wilson

    head, right = taught.classifier.head, taught.right
    line = f"{head.kind}: {taught.support} shapes of {head.classes} classes, {head.parameters:,} numbers, written to {out}"
    if right is None:
        return f"{line}\nnothing was asked: the files know no splits"
    low, high = wilson(int(right.sum()), len(right))
    return f"{line}\ntop-1 on the test split {100 * right.mean():.1f} % ({100 * low:.1f} to {100 * high:.1f}, n {len(right)})"
