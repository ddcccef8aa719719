"""`basrelief train tiny`: the embedded model from nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from basrelief.cli import options as opt
from basrelief.output import to_json, write_picture, write_text

if TYPE_CHECKING:
    from PIL import Image

_Overrides = Annotated[list[str] | None, typer.Argument(metavar="NAME=VALUE", help="Over the recipe, e.g. epochs=10.")]
_POINTS = 12  # of a curve


def tiny(
    shapes: Annotated[Path, typer.Option(help="Folder of labelled shapes, its table SHAPES.csv beside it.")],
    clip_text: Annotated[Path, typer.Option(help="Folder of recorded CLIP ViT-B/32 text features.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run; one that was stopped goes on.")],
    overrides: _Overrides = None,
    start: Annotated[Path | None, typer.Option(help="Folder of a run to go on from instead of anew, or tiny, the embedded model.")] = None,
    recipe: Annotated[Path | None, typer.Option(help="YAML file over the settings.")] = None,
    jobs: opt.Jobs = 0,
    device: opt.Device = "auto",
) -> None:
    """Train the embedded model: text tower, image tower on depth views and pictures, last block; under torchrun, on several GPUs.

    Writes the model, result.json, curves.png and confusion.png (the packs that were held out) to OUT.
    """
    from basrelief.evaluate.confusion import confusion_picture
    from basrelief.models.registry import EMBEDDED, embedded_folder
    from basrelief.train.config import read_settings, settings_record
    from basrelief.train.tiny import Resources, Sources, TinySettings, train_tiny

    settings = read_settings(TinySettings, recipe, overrides or [])
    with opt.progress("pictures", quiet=False) as progress:
        resources = Resources(jobs=opt.cores(jobs), cpu=device == "cpu", progress=progress, echo=True)
        begun = embedded_folder() if start == Path(EMBEDDED) else start
        found = train_tiny(Sources(shapes, clip_text, start=begun), out=out, settings=settings, resources=resources)
    record = {"model": found.encoder.fingerprint, "figures": dict(found.figures), "settings": settings_record(settings)}
    write_text(out / "result.json", to_json(record, indent=1) + "\n")
    write_picture(out / "curves.png", curves(out / "vision" / "log.jsonl"))
    title = "Held-out packs: what shapes are, and what they are called"
    write_picture(out / "confusion.png", confusion_picture(found.confusion, found.names, title=title))
    for name, value in found.figures.items():
        typer.echo(f"{name:<24} {value:.0f}" if value > 1 else f"{name:<24} {100 * value:.1f} %")
    typer.echo(f"tiny {found.encoder.fingerprint[:12]}: {out}")


def curves(log: Path) -> Image.Image:
    """Losses over the steps, each point the mean of the records since the last.

    Args:
        log: JSON lines of the image tower's training.
    """
    import numpy as np

    from basrelief.render.chart import line_chart

    with log.open(encoding="utf-8") as lines:
        records = [record for record in map(json.loads, lines) if record["stage"] == "train"]
    parts = np.array_split(np.arange(len(records)), min(_POINTS, len(records)))
    names = ("words", "pooled", "cross", "intra")
    series = {name: [float(np.mean([records[i][name] for i in part])) for part in parts] for name in names}
    return line_chart(series, [records[part[-1]]["step"] for part in parts], title="Losses of tiny's image tower", below="step")
