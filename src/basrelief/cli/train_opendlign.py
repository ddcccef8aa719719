"""`basrelief train depth-aligned | filter | opendlign`: OpenDlign's training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from basrelief.cli import options as opt
from basrelief.output import size_text

_Overrides = Annotated[list[str] | None, typer.Argument(metavar="NAME=VALUE", help="Override a setting, e.g. diffusion.steps=4.")]
_Recipe = Annotated[Path | None, typer.Option(help="YAML file of settings that differ from the published ones.")]
_Images = Annotated[Path, typer.Argument(metavar="DIR", help="Folder from train depth-aligned, or in OpenDlign's published layout.")]


def depth_aligned(
    root: Annotated[Path, typer.Option(help="Folder of meshes or point clouds.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for depth maps and images; existing ones are kept.")],
    overrides: _Overrides = None,
    source: Annotated[str, typer.Option(help="controlnet, as published, or shaded, which needs no weights.")] = "controlnet",
    recipe: _Recipe = None,
    dataset: Annotated[str, typer.Option(help="Name of the data set; `auto` detects it.")] = "auto",
    layout: Annotated[str, typer.Option(help="shards (tar files of 100 shapes) or folders (one for each shape).")] = "shards",
    jobs: opt.Jobs = 0,
    part: Annotated[str | None, typer.Option(metavar="I/N", help="Make part I of N, counted from 0; torchrun sets it.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Use at most this many shapes, balanced over classes.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Make a few, print the estimated cost of all, and exit.")] = False,
    up: opt.Up = None,
    device: opt.Device = "auto",
) -> None:
    """Render contour-aware depth maps of every shape from ten views, and an image for each by a ControlNet or our own renderer.

    Exit code 1 when a shape could not be drawn; failed.jsonl lists them.
    """
    from basrelief.errors import WeightsNotFoundError
    from basrelief.evaluate import DataSource
    from basrelief.train import AlignedMaker, AlignedSettings, Workers, estimate_cost, make_records, read_settings

    settings = read_settings(AlignedSettings, recipe, [f"source={source}", *(overrides or [])])
    library = DataSource(root, opt.dataset_name(dataset), split="train", up=up, limit=limit, strict=False).open()
    workers = Workers.from_environment(opt.cores(jobs), part=part)
    try:
        maker = AlignedMaker.load(settings, device=device, workers=workers)
    except WeightsNotFoundError:
        if dry_run:
            images = 10 * len(library)
            cost = f"at the paper's speed {AlignedSettings.published_hours(images):,.1f} GPU-hours (RTX 6000)"
            typer.echo(f"{len(library):,} shapes, {images:,} images; not measured here, {cost}")
        raise
    if dry_run:
        typer.echo(estimate_cost(library, maker, sample=4).text(workers.jobs, gpu=maker.painter is not None))
        return
    with opt.progress("depth-aligned images", quiet=False) as progress:
        failed = make_records(library, out, maker=maker, layout=layout, workers=workers, progress=progress)
    whole = workers.world_size == 1
    typer.echo(f"{len(library) - len(failed):,} shapes in {out}" if whole else f"part {workers.rank} of {workers.world_size} done in {out}")
    opt.end_with(failed)


def filter_images(
    images: _Images,
    model: Annotated[str, typer.Option("--model", "-m", help="Model that scores labels; see basrelief models.")] = "opendlign-untuned",
    label: Annotated[float, typer.Option(help="Minimum share of other labels that fit the image less well, in [0, 1].")] = 0.9,
    contour: Annotated[float, typer.Option(help="Minimum agreement of image edges and depth map, in [0, 1]; 0.5 is chance.")] = 0.65,
    sheet: Annotated[Path | None, typer.Option(help="Write a picture of kept and rejected images.")] = None,
    weights: opt.Weights = None,
    device: opt.Device = "auto",
) -> None:
    """Filter depth-aligned images by agreement with their label and their depth map; training ignores the rejected ones."""
    from basrelief.evaluate import ModelSource
    from basrelief.train import Thresholds, filter_images

    thresholds = Thresholds(label, contour)
    target = None if sheet is None else opt.picture_file("sheet", sheet)
    source = ModelSource(model, weights=weights, device=device)
    with opt.progress("images", quiet=False) as progress:
        kept = filter_images(images, source, thresholds=thresholds, sheet=target, progress=progress)
    typer.echo(f"kept {kept.kept:,} of {kept.pictures:,}; rejected {kept.by_label:,} by label, {kept.by_contour:,} by contour")
    if target is not None:
        typer.echo(f"sheet: {target}")


def opendlign(
    images: _Images,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run; an interrupted run resumes from it.")],
    overrides: _Overrides = None,
    recipe: _Recipe = None,
    validation: opt.Validation = None,
    validation_split: opt.ValidationSplit = "val",
    model: Annotated[str, typer.Option("--model", "-m", help="Model to tune; `basrelief models` lists them.")] = "opendlign-h14",
    cache: Annotated[Path | None, typer.Option(help="Folder for cached features; runs with the same CLIP and images may share it.")] = None,
    export: Annotated[Path | None, typer.Option(help="Also write the whole model in the published layout.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print parameters, steps and disk space, and exit.")] = False,
    weights: opt.Weights = None,
    device: opt.Device = "auto",
) -> None:
    """Align the attention of a tuned last block with depth-aligned images. Runs on several GPUs under torchrun or accelerate launch.

    Use the result with: basrelief classify --model MODEL --checkpoint OUT/tuned_block.safetensors.
    """
    from basrelief.evaluate import DataSource, ModelSource
    from basrelief.train import OpenDlignSettings, TrainOptions, read_settings, train_opendlign, training_cost

    settings = read_settings(OpenDlignSettings, recipe, overrides or [])
    source = ModelSource(model, weights=weights, device=device)
    if dry_run:
        cost = training_cost(images, source, settings=settings)
        steps, disk = f"{cost.steps:,} steps of {settings.batch_size} shapes", size_text(cost.cache_bytes)
        typer.echo(f"{cost.parameters:,} trainable parameters, {steps}, {disk} of features on disk")
        return
    data = None if validation is None else DataSource(validation, split=validation_split)
    with opt.progress("features", quiet=False) as progress:
        options = TrainOptions(cache, progress=progress, echo=True, export=export)
        train_opendlign(images, out=out, model=source, settings=settings, validation=data, options=options)
    typer.echo(f"tuned block: {out / 'tuned_block.safetensors'}")
    if export is not None:
        typer.echo(f"published layout: {export}")
