"""`basrelief ablate`: ablations of OpenDlign on any data set."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from basrelief.cli import options as opt
from basrelief.output import to_json

_Table = Annotated[str, typer.Argument(metavar="TABLE", help="components, views, projections, prompts, blocks, aggregation or images.")]
_Overrides = Annotated[list[str] | None, typer.Argument(metavar="NAME=VALUE", help="Override a training setting, e.g. epochs=5.")]


def ablate(
    table: _Table,
    overrides: _Overrides = None,
    images: Annotated[list[Path] | None, typer.Option(help="Folder of depth-aligned images; repeat it for the images table.")] = None,
    root: Annotated[list[Path] | None, typer.Option(help="Folder of a data set to evaluate on; may be repeated.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for runs and tables; an interrupted table resumes.")] = Path("ablation"),
    recipe: Annotated[Path | None, typer.Option(help="YAML file of settings that differ from the published ones.")] = None,
    model: Annotated[
        str, typer.Option("--model", "-m", help="Model whose CLIP is tuned; `basrelief models` lists them.")
    ] = "opendlign-h14",
    limit: Annotated[int | None, typer.Option(min=1, help="Use at most this many shapes of each data set, balanced over classes.")] = None,
    weights: opt.Weights = None,
    up: opt.Up = None,
    device: opt.Device = "auto",
    as_json: opt.Json = False,
) -> None:
    """Train variants of OpenDlign on depth-aligned images, evaluate them on each data set, and print the table."""
    from basrelief.errors import ConfigError
    from basrelief.evaluate import DataSource, ModelSource
    from basrelief.train import AblationStudy, OpenDlignSettings, ablation_table, read_settings

    if not images or not root:
        raise ConfigError("ablate needs --images and --root. Make images with basrelief train depth-aligned.")
    settings = read_settings(OpenDlignSettings, recipe, overrides or [])
    data = [DataSource(folder, up=up, limit=limit, strict=False) for folder in root]
    source = ModelSource(model, weights=weights, device=device)
    with opt.progress(table, quiet=as_json) as progress:
        cache = opt.shape_cache()
        study = AblationStudy.open(images, data, model=source, out=out, settings=settings, cache=cache, progress=progress)
        found = ablation_table(study, table)
    if as_json:
        typer.echo(to_json(dataclasses.asdict(found)))
    else:
        rows = [[f"{cell:.1f}" if isinstance(cell, float) else str(cell) for cell in row] for row in found.rows]
        opt.print_table(found.columns, rows, title=found.title)
        typer.echo(f"table: {out / f'{table}.json'}")
