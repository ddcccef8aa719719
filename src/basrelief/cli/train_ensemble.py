"""`basrelief train ensemble`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from basrelief.cli import options as opt
from basrelief.output import to_json


def ensemble(
    model: Annotated[str, typer.Argument(metavar="MODEL+MODEL", help="Names joined by +, e.g. opendlign-h14+openshape-pointbert.")],
    root: Annotated[Path, typer.Option(help="Folder of the unpacked data set.")],
    dataset: Annotated[str, typer.Option(help="Name of the data set; `auto` detects it.")] = "auto",
    split: Annotated[
        str, typer.Option(help="Split that chooses the scales: train or val. A folder without splits is used whole.")
    ] = "train",
    limit: Annotated[int | None, typer.Option(min=1, help="Use at most this many shapes, balanced over classes.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write the ensemble to; --model takes it.")] = Path("ensemble.json"),
    weights: opt.Weights = None,
    checkpoint: opt.CheckpointFile = None,
    text: opt.TextFile = None,
    up: opt.Up = None,
    seed: opt.Seed = 0,
    device: opt.Device = "auto",
    dtype: opt.Dtype = "float32",
    as_json: opt.Json = False,
) -> None:
    """Fit how much each member of an ensemble counts, on labelled shapes that no figure is reported on.

    Exit code 1 when a shape could not be used.
    """
    from basrelief.evaluate import DataSource, ModelSource
    from basrelief.train.ensemble import train_ensemble

    source = ModelSource(model, weights=weights, checkpoint=checkpoint, text=text, device=device, dtype=dtype)
    data = DataSource(root, opt.dataset_name(dataset), split=split, up=up, limit=limit, strict=False)
    with opt.progress("view features", quiet=as_json) as progress:
        fit = train_ensemble(source, data, cache=opt.shape_cache(), seed=seed, progress=progress)
    fit.save(out)
    scales = dict(zip((member.name for member in fit.model.members), fit.model.scales, strict=True))
    if as_json:
        typer.echo(to_json({"file": str(out), "scales": scales, "shapes": fit.shapes, "loss": fit.loss, "accuracy": dict(fit.accuracy)}))
    else:
        for name, scale in scales.items():
            typer.echo(f"{name}: scale {scale:.2f}, right alone {fit.accuracy[name]:.1%}")
        typer.echo(f"together: right {fit.accuracy['ensemble']:.1%} of the {fit.shapes} shapes that chose the scales ({fit.data}): {out}")
    opt.end_with(fit.failures)
