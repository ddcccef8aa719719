"""`basrelief train view-weight`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from basrelief.cli import options as opt
from basrelief.output import to_json


def view_weight(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model that reads both kinds of views, e.g. views-depth-pe-core-b16.")],
    root: Annotated[Path, typer.Option(help="Folder of the unpacked data set.")],
    dataset: Annotated[str, typer.Option(help="Name of the data set; `auto` detects it.")] = "auto",
    split: Annotated[
        str, typer.Option(help="Split that chooses the weight: train or val. A folder without splits is used whole.")
    ] = "train",
    limit: Annotated[int | None, typer.Option(min=1, help="Use at most this many shapes, balanced over classes.")] = None,
    weights: opt.Weights = None,
    up: opt.Up = None,
    seed: opt.Seed = 0,
    device: opt.Device = "auto",
    dtype: opt.Dtype = "float32",
    as_json: opt.Json = False,
) -> None:
    """Fit how much colour views count beside depth images, on labelled shapes that no figure is reported on.

    Prints the name of the model with that weight, NAME@WEIGHT, which every command takes. Exit code 1 when a shape could not be used.
    """
    from basrelief.evaluate import DataSource, ModelSource
    from basrelief.train.view_weight import train_view_weight

    source = ModelSource(model, weights=weights, device=device, dtype=dtype)
    data = DataSource(root, opt.dataset_name(dataset), split=split, up=up, limit=limit, strict=False)
    with opt.progress("view features", quiet=as_json) as progress:
        fit = train_view_weight(source, data, cache=opt.shape_cache(), seed=seed, progress=progress)
    if as_json:
        typer.echo(to_json(dataclasses.asdict(fit)))
    else:
        shares = ", ".join(f"{name} {share:.1%}" for name, share in fit.accuracy.items())
        typer.echo(f"{fit.name}: colour counts {fit.weight:.3f}. Right on the {fit.shapes} shapes that chose it ({fit.data}): {shares}.")
    opt.end_with(fit.failures)
