"""`basrelief train point`: point networks by contrast with images and text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from basrelief.cli import options as opt


def point(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run; an interrupted run resumes from it.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="NAME=VALUE", help="Override a setting, e.g. preset=tamm-pointbert batch_size=64.")
    ] = None,
    root: Annotated[Path | None, typer.Option(help="Folder of meshes or point clouds.")] = None,
    images: Annotated[
        list[Path] | None, typer.Option(help="Folder from train pairs or train depth-aligned on the same shapes; several are joined.")
    ] = None,
    captions: Annotated[Path | None, typer.Option(help="JSON file of texts by shape. Default: the label of each shape alone.")] = None,
    published: Annotated[Path | None, typer.Option(help="Folder of OpenShape's training data, in place of --root.")] = None,
    split: Annotated[Path | None, typer.Option(help="With --published: the list of shapes, e.g. meta_data/split/train_all.json.")] = None,
    text_filter: Annotated[Path | None, typer.Option(help="With --published: meta_data/gpt4_filtering.json.")] = None,
    recipe: Annotated[Path | None, typer.Option(help="YAML file of settings that differ from the preset.")] = None,
    model: Annotated[str, typer.Option("--model", "-m", help="Model whose CLIP embeds images and texts.")] = "tiny",
    start: Annotated[Path | None, typer.Option(help="point.safetensors to continue, e.g. with neighbours=5.")] = None,
    image_adapter: Annotated[Path | None, typer.Option(help="image_adapter.safetensors of preset=tamm-image-adapter.")] = None,
    validation: opt.Validation = None,
    validation_split: opt.ValidationSplit = "val",
    dataset: Annotated[str, typer.Option(help="Name of the data set; `auto` detects it.")] = "auto",
    limit: Annotated[int | None, typer.Option(min=1, help="Use at most this many shapes, balanced over classes.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Folder for clouds and image features; runs on the same shapes may share it.")] = None,
    weights: opt.Weights = None,
    up: opt.Up = None,
    jobs: opt.Jobs = 0,
    device: opt.Device = "auto",
) -> None:
    """Train a point network so that its features are close to those of a shape's images and text, as OpenShape, ULIP, TAMM and Uni3D.

    Runs on several GPUs under torchrun or accelerate launch. Use the result with: basrelief classify --model MODEL --checkpoint
    OUT/point.safetensors. preset=tamm-image-adapter trains TAMM's first stage.
    """
    from basrelief.evaluate import DataSource, ModelSource
    from basrelief.train import PointData, PointSettings, Resources, StartingPoint, train_point

    settings = PointSettings.read(recipe, overrides or [])
    library = None if root is None else DataSource(root, opt.dataset_name(dataset), split="train", up=up, limit=limit, strict=False)
    data = PointData(library, tuple(images or ()), captions, cache, published, split, text_filter)
    source = ModelSource(model, weights=weights, device=device)
    held_out = None if validation is None else DataSource(validation, split=validation_split)
    with opt.progress("clouds and image features", quiet=False) as progress:
        resources = Resources(opt.cores(jobs), cpu=device == "cpu", progress=progress, echo=True)
        train_point(
            data,
            out=out,
            model=source,
            settings=settings,
            start=StartingPoint(start, image_adapter),
            validation=held_out,
            resources=resources,
        )
    name = "point.safetensors" if settings.stage == "points" else "image_adapter.safetensors"
    typer.echo(f"{'point network' if settings.stage == 'points' else 'image adapter'}: {out / name}")
