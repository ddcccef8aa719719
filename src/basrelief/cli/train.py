"""`basrelief train adapter | pairs | clip2point`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from basrelief.cli import options as opt
from basrelief.output import to_json

if TYPE_CHECKING:
    from basrelief.train import AdapterResult

app = typer.Typer(name="train", help="Train few-shot heads, depth towers, and the networks that ship with basrelief.", no_args_is_help=True)

_Root = Annotated[Path, typer.Option(help="Folder of the unpacked data set.")]
_Dataset = Annotated[str, typer.Option(help="Name of the data set; `auto` detects it.")]
_Shots = Annotated[int, typer.Option(min=0, help="Shapes per class; 0 uses the whole training split (supervised).")]
_Head = Annotated[str | None, typer.Option(help="probe, cache, simplified, inter-view or dual-path. Default: the paper's.")]
_Out = Annotated[Path, typer.Option("--out", "-o", help="File to write the head to.")]
_Variant = Annotated[str | None, typer.Option(help="Variant of the data set, e.g. PB_T50_RS. Default: the paper's.")]
_Partial = Annotated[bool, typer.Option("--partial", help="Accept counts or labels that differ from the data card.")]
_Epochs = Annotated[int, typer.Option(min=1, help="Epochs of adapters.")]
_LearningRate = Annotated[float, typer.Option(help="Learning rate of adapters.")]


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
    lr: _LearningRate = 1e-3,
    weights: opt.Weights = None,
    checkpoint: opt.CheckpointFile = None,
    up: opt.Up = None,
    seed: opt.Seed = 0,
    device: opt.Device = "auto",
    dtype: opt.Dtype = "float32",
    as_json: opt.Json = False,
) -> None:
    """Fit a head to the training split of a data set and measure it on the test split; `classify --adapter` uses the file.

    A folder without splits is used for training alone. Exit code 1 when a shape could not be used.
    """
    from basrelief.evaluate import DataSource, ModelSource
    from basrelief.tasks import FitOptions
    from basrelief.train import train_adapter

    source = ModelSource(model, weights=weights, checkpoint=checkpoint, device=device, dtype=dtype)
    data = DataSource(root, opt.dataset_name(dataset), variant=variant, up=up, strict=not partial)
    fit = FitOptions(epochs=epochs, lr=lr, seed=seed)
    with opt.progress("view features", quiet=as_json) as progress:
        cache = opt.shape_cache()
        result = train_adapter(source, data, head=head, shots=shots or None, fit=fit, cache=cache, progress=progress)
    result.classifier.save(out)
    typer.echo(_record(result, out) if as_json else _summary(result, out))
    opt.end_with(result.failures)


@app.command("pairs")
def pairs(
    root: _Root,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the pairs; existing ones are kept.")],
    dataset: _Dataset = "auto",
    layout: Annotated[str, typer.Option(help="shards (tar files of 100 shapes) or folders (one for each shape).")] = "shards",
    size: Annotated[int, typer.Option(help="Side of a picture in pixels.")] = 224,
    jobs: opt.Jobs = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="Use at most this many shapes, balanced over classes.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Draw a few shapes, print the estimated cost of all, and exit.")] = False,
    up: opt.Up = None,
    seed: opt.Seed = 0,
    device: opt.Device = "auto",
) -> None:
    """Render every shape of a mesh library from CLIP2Point's ten views and sample its points; existing pairs are kept.

    Exit code 1 when a shape could not be drawn; failed.jsonl lists them.
    """
    from basrelief.encoders import choose_device
    from basrelief.evaluate import DataSource
    from basrelief.train import PairMaker, PairSettings, Workers, estimate_cost, make_records

    library = DataSource(root, opt.dataset_name(dataset), split="train", up=up, limit=limit, strict=False).open()
    where = str(choose_device(device))
    style, processes = PairSettings(size=size, device=where, seed=seed), 0 if where != "cpu" else opt.cores(jobs)
    if dry_run:
        typer.echo(estimate_cost(library, PairMaker(style)).text(processes))
        return
    with opt.progress("pairs", quiet=False) as progress:
        failed = make_records(library, out, maker=PairMaker(style), layout=layout, workers=Workers(processes), progress=progress)
    typer.echo(f"{len(library) - len(failed):,} pairs in {out}")
    opt.end_with(failed)


@app.command("clip2point")
def clip2point(
    pairs: Annotated[Path, typer.Option(help="Folder from basrelief train pairs, or the published renderings.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run; an interrupted run resumes from it.")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="NAME=VALUE", help="Override a setting, e.g. batch_size=64.")] = None,
    clouds: Annotated[Path | None, typer.Option(help="For the published renderings: the folder of ShapeNet55.")] = None,
    recipe: Annotated[Path | None, typer.Option(help="YAML file of settings that differ from the published ones.")] = None,
    validation: opt.Validation = None,
    validation_split: opt.ValidationSplit = "val",
    model: opt.ModelName = "clip2point-untuned",
    weights: opt.Weights = None,
    device: opt.Device = "auto",
) -> None:
    """Pre-train a depth tower on image-depth pairs with CLIP2Point's losses. Runs on several GPUs under torchrun or accelerate launch.

    Use the result with: basrelief classify --model clip2point --checkpoint OUT/depth_tower.safetensors.
    """
    from basrelief.evaluate import DataSource, ModelSource
    from basrelief.train import Clip2PointSettings, read_settings, train_clip2point

    settings = read_settings(Clip2PointSettings, recipe, overrides or [])
    source = ModelSource(model, weights=weights, device=device)
    data = None if validation is None else DataSource(validation, split=validation_split)
    train_clip2point(pairs, clouds=clouds, out=out, model=source, settings=settings, validation=data, echo=True)
    typer.echo(f"depth tower: {out / 'depth_tower.safetensors'}")


def _record(result: AdapterResult, out: Path) -> str:
    head, right = result.classifier.head, result.right
    top1 = None if right is None else round(100 * float(right.mean()), 4)
    record = {"head": head.kind, "support": result.support, "classes": head.classes, "parameters": head.parameters}
    return to_json(record | {"top1": top1, "query": 0 if right is None else len(right), "file": str(out)})


def _summary(result: AdapterResult, out: Path) -> str:
    from basrelief.metrics import wilson

    head, right = result.classifier.head, result.right
    line = f"{head.kind}: {result.support} shapes of {head.classes} classes, {head.parameters:,} parameters, written to {out}"
    if right is None:
        return f"{line}\nnot measured: the files have no test split"
    low, high = wilson(int(right.sum()), len(right))
    return f"{line}\ntop-1 on the test split {100 * right.mean():.1f} % ({100 * low:.1f} to {100 * high:.1f}, n {len(right)})"
