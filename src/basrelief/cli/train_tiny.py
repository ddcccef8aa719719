"""`basrelief train tiny | upright`: the networks that ship with basrelief."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from basrelief.cli import options as opt

_Overrides = Annotated[list[str] | None, typer.Argument(metavar="NAME=VALUE", help="Override a setting, e.g. epochs=10.")]
_Recipe = Annotated[Path | None, typer.Option(help="YAML file of settings that differ from the defaults.")]
_Out = Annotated[Path, typer.Option("--out", "-o", help="Folder of the run; an interrupted run resumes from it.")]


def tiny(
    shapes: Annotated[Path, typer.Option(help="Folder of labelled shapes, its table SHAPES.csv beside it.")],
    clip_text: Annotated[Path, typer.Option(help="Folder of recorded CLIP ViT-B/32 text embeddings.")],
    out: _Out,
    overrides: _Overrides = None,
    init_from: Annotated[Path | None, typer.Option(help="Folder of a run to initialise from, or tiny, the embedded model.")] = None,
    recipe: _Recipe = None,
    jobs: opt.Jobs = 0,
    device: opt.Device = "auto",
) -> None:
    """Train the embedded model: text tower, image tower, tuned last block. Runs on several GPUs under torchrun.

    Writes the model, result.json, curves.png and confusion.png (of the validation packs) to OUT.
    """
    from basrelief.models.load import embedded_folder
    from basrelief.models.recipe import EMBEDDED
    from basrelief.train import Resources, Sources, TinySettings, read_settings, train_tiny

    settings = read_settings(TinySettings, recipe, overrides or [])
    sources = Sources(shapes, clip_text, init_from=embedded_folder() if init_from == Path(EMBEDDED) else init_from)
    with opt.progress("pictures", quiet=False) as progress:
        resources = Resources(opt.cores(jobs), cpu=device == "cpu", progress=progress, echo=True)
        result = train_tiny(sources, out=out, settings=settings, resources=resources)
    for name, value in result.figures.items():
        typer.echo(f"{name:<24} {value:.0f}" if value > 1 else f"{name:<24} {100 * value:.1f} %")
    typer.echo(f"tiny {result.encoder.fingerprint[:12]}: {out}")


def upright(
    out: _Out,
    overrides: _Overrides = None,
    shapes: Annotated[Path | None, typer.Option(help="Folder of labelled upright shapes; default: generated shapes alone.")] = None,
    recipe: _Recipe = None,
    device: opt.Device = "auto",
) -> None:
    """Train the upright network of --pose on generated shapes and, if given, a folder of labelled ones.

    Writes upright.safetensors to OUT. Validation packs are only measured, test packs are left out.
    """
    from basrelief.train import Resources, UprightSettings, read_settings, train_upright

    settings = read_settings(UprightSettings, recipe, overrides or [])
    train_upright(shapes, out=out, settings=settings, resources=Resources(cpu=device == "cpu", echo=True))
    typer.echo(f"upright network: {out / 'upright.safetensors'}")
