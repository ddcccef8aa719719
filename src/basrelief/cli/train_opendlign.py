"""`basrelief train depth-aligned | filter | opendlign`: OpenDlign's training, from shapes to a tuned block."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from basrelief.cli import options as opt
from basrelief.errors import ConfigError
from basrelief.output import write_picture

if TYPE_CHECKING:
    from basrelief.encoders import ClipConfig
    from basrelief.train.depth_aligned import AlignedSet
    from basrelief.train.opendlign import OpenDlignSettings

_Overrides = Annotated[list[str] | None, typer.Argument(metavar="NAME=VALUE", help="Over the recipe, e.g. diffusion.steps=4.")]
_Recipe = Annotated[Path | None, typer.Option(help="YAML file over the published settings.")]
_Images = Annotated[Path, typer.Argument(metavar="DIR", help="Folder from train depth-aligned, or OpenDlign's layout.")]


def depth_aligned(
    root: Annotated[Path, typer.Option(help="Folder of meshes or clouds, as it was unpacked.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for maps and images; what is there stays.")],
    overrides: _Overrides = None,
    source: Annotated[str, typer.Option(help="controlnet, the published way, or shaded, which needs no weights.")] = "controlnet",
    recipe: _Recipe = None,
    dataset: Annotated[str, typer.Option(help="Name of the data set; `auto` finds out.")] = "auto",
    layout: Annotated[str, typer.Option(help="shards: tar files of 100 shapes. folders: one for each shape.")] = "shards",
    jobs: opt.Jobs = 0,
    part: Annotated[str | None, typer.Option(metavar="I/N", help="Only part I of N; under torchrun each process takes its own.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many shapes, of every class in turn.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Make a few, print images, GPU-hours and bytes of all, and stop.")] = False,
    up: opt.Up = None,
    device: opt.Device = "auto",
) -> None:
    """Draw contour-aware depth maps of every shape from ten sides and paint an image on each, with a ControlNet or our own renderer.

    Exit code 1 when a shape could not be drawn; `failed.jsonl` lists them.
    """
    from basrelief.datasets import open_benchmark
    from basrelief.encoders.load import choose_device
    from basrelief.errors import WeightsNotFoundError
    from basrelief.train.config import read_settings
    from basrelief.train.depth_aligned import AlignedMaker, AlignedSettings, make_painter, published_hours
    from basrelief.train.records import Workers, estimate_cost, make_records

    settings = read_settings(AlignedSettings, recipe, [f"source={source}", *(overrides or [])])
    library = open_benchmark(root, None if dataset == "auto" else dataset, split="train", up=up, strict=False)
    library = library if limit is None else library.limited(limit)
    rank, of = _part(part)
    workers = Workers(opt.cores(jobs), rank, of)
    local = os.environ.get("LOCAL_RANK") if device == "auto" else None
    try:
        painter = make_painter(settings, device=choose_device(f"cuda:{local}" if local and of > 1 and _cuda() else device))
    except WeightsNotFoundError:
        if dry_run:
            images = 10 * len(library)
            cost = f"at the paper's speed {published_hours(images):,.1f} GPU-hours (RTX 6000)"
            typer.echo(f"{len(library):,} shapes, {images:,} images; not measured here, {cost}")
        raise
    maker = AlignedMaker(settings, painter)
    if dry_run:
        typer.echo(opt.cost_line(estimate_cost(library, maker, sample=4), workers.jobs, finishing=painter is not None))
        return
    with opt.progress("depth-aligned images", quiet=False) as progress:
        failed = make_records(library, out, maker=maker, layout=layout, workers=workers, progress=progress)
    typer.echo(f"{len(library) - len(failed):,} shapes in {out}" if of == 1 else f"part {rank} of {of} done in {out}")
    opt.end_with(failed)


def filter_images(
    images: _Images,
    model: Annotated[str, typer.Option("--model", "-m", help="Whose towers judge; `basrelief models` lists them.")] = "opendlign-untuned",
    label: Annotated[float, typer.Option(help="Least share of other labels that an image must be less like, in [0, 1].")] = 0.9,
    contour: Annotated[float, typer.Option(help="Least agreement of its edges with the depth map, in [0, 1]; 0.5 is chance.")] = 0.65,
    sheet: Annotated[Path | None, typer.Option(help="Picture of kept and rejected images.")] = None,
    weights: opt.Weights = None,
    device: opt.Device = "auto",
) -> None:
    """Keep the depth-aligned images that show their label and their depth map's form; training leaves the others out."""
    from basrelief.models import load_model
    from basrelief.train.depth_aligned import Thresholds, filter_aligned, open_aligned, quality_sheet

    thresholds = Thresholds(label, contour)
    target = None if sheet is None else opt.picture_file("sheet", sheet)
    judge = load_model(model, weights=weights, device=device)
    with opt.progress("images", quiet=False) as progress:
        kept = filter_aligned(open_aligned(images), judge, thresholds=thresholds, progress=progress)
    typer.echo(f"kept {kept.kept:,} of {kept.pictures:,}; rejected {kept.by_label:,} by label, {kept.by_contour:,} by contour")
    if target is not None:
        write_picture(target, quality_sheet(open_aligned(images)))
        typer.echo(f"sheet: {target}")


def opendlign(
    images: _Images,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run; one that was stopped goes on.")],
    overrides: _Overrides = None,
    recipe: _Recipe = None,
    validation: Annotated[Path | None, typer.Option(help="Data set whose zero-shot accuracy chooses the block; not the test set.")] = None,
    model: Annotated[str, typer.Option("--model", "-m", help="Whose CLIP is tuned; `basrelief models` lists them.")] = "opendlign-h14",
    cache: Annotated[Path | None, typer.Option(help="Folder for features; runs on the same CLIP and images may share it.")] = None,
    export: Annotated[Path | None, typer.Option(help="Also write all of CLIP in the published layout.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what is trained, steps and bytes on disk, and stop.")] = False,
    weights: opt.Weights = None,
    device: opt.Device = "auto",
) -> None:
    """Align the attention of a tuned last block with depth-aligned images; under torchrun or accelerate launch, on several GPUs.

    Use what it writes: basrelief classify --model MODEL --checkpoint OUT/tuned_block.safetensors.
    """
    from basrelief.datasets import open_benchmark
    from basrelief.encoders import export_published
    from basrelief.models import load_untuned
    from basrelief.train.config import read_settings
    from basrelief.train.depth_aligned import open_aligned
    from basrelief.train.opendlign import OpenDlignSettings, TrainOptions, align, tuning_encoder, tuning_model
    from basrelief.train.run import zero_shot_accuracy

    settings = read_settings(OpenDlignSettings, recipe, overrides or [])
    aligned, plain = open_aligned(images), load_untuned(model, weights=weights, device=device)
    encoder = tuning_encoder(plain)
    if dry_run:
        typer.echo(_tuning_cost(encoder.config, aligned, settings))
        return
    asked = tuning_model(plain, aligned)
    validate = None if validation is None else zero_shot_accuracy(asked, open_benchmark(validation, split="test"))
    with opt.progress("features", quiet=False) as progress:
        options = TrainOptions(cache, {"recipe": model, "images": aligned.home.name}, progress, echo=True)
        tuned = align(aligned, encoder, out=out, settings=settings, validate=validate, options=options)
    typer.echo(f"tuned block: {out / 'tuned_block.safetensors'}")
    if export is not None and _part(None)[0] == 0:
        typer.echo(f"published layout: {export_published(tuned, export)}")


def _tuning_cost(config: ClipConfig, aligned: AlignedSet, settings: OpenDlignSettings) -> str:
    from basrelief.train.opendlign import cache_bytes, trainable_parameters

    trained, kept = trainable_parameters(config, blocks=settings.blocks), cache_bytes(config, aligned, settings=settings)
    steps = len(aligned) // settings.batch * settings.epochs
    return f"{trained:,} numbers trained, {steps:,} steps of {settings.batch} shapes, {opt.volume(kept)} of features on disk"


def _part(text: str | None) -> tuple[int, int]:
    """Number of this process and of all: as told, or as torchrun tells."""
    try:
        rank, of = text.split("/") if text else (os.environ.get("RANK", "0"), os.environ.get("WORLD_SIZE", "1"))
        found = int(rank), int(of)
    except ValueError:
        found = (0, 0)
    if not 0 <= found[0] < found[1]:
        raise ConfigError(f"part must be I/N with I from 0 to N - 1, but got {text!r}. Write e.g. 0/8 to 7/8.")
    return found


def _cuda() -> bool:
    import torch

    return torch.cuda.is_available()
