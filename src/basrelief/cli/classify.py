"""`basrelief classify`: name shapes with your own words."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from basrelief.cli import options as opt
from basrelief.errors import ConfigError, unknown_choice
from basrelief.output import to_json, write_picture

if TYPE_CHECKING:
    from basrelief.models import FewShotClassifier, FileResult, Model, PoseSearch


def classify(
    files: opt.Files,
    labels: Annotated[
        str | None, typer.Option("--labels", "-l", help="Names: `chair,table,lamp`, a file with one per line, or a named set.")
    ] = None,
    model: opt.ModelName = "tiny",
    adapter: Annotated[Path | None, typer.Option(help="A head from basrelief train adapter; it brings its labels and models.")] = None,
    top: Annotated[int, typer.Option(min=1, help="How many labels to print.")] = 5,
    picture: Annotated[Path | None, typer.Option(help="Write what the model saw: a PNG, or one per file beside it.")] = None,
    weights: opt.Weights = None,
    checkpoint: opt.CheckpointFile = None,
    prompts: opt.Prompts = None,
    up: opt.Up = None,
    pose: Annotated[str, typer.Option(help="file: as the file lies. axes, any: turn it upright by one of its axes, or freely.")] = "file",
    min_confidence: Annotated[float, typer.Option(help="Answer `none of these` below this probability.")] = 0.0,
    min_margin: Annotated[float, typer.Option(help="Answer `none of these` where the best leads by less probability.")] = 0.0,
    distractors: Annotated[str | None, typer.Option(help="Names that are compared too; when one is best, `none of these`.")] = None,
    calibration: Annotated[Path | None, typer.Option(help="calibration.json that basrelief evaluate --task calibration wrote.")] = None,
    seed: opt.Seed = 0,
    device: opt.Device = "auto",
    dtype: opt.Dtype = "auto",
    as_json: opt.Json = False,
) -> None:
    """Name shapes with your own words, best first, zero-shot, or with an adapter.

    Exit code 1 when a file failed; the others are done all the same.
    """
    from basrelief.models import ReadOptions, classify_files, evidence_picture, load_model
    from basrelief.tasks import Calibration, RejectPolicy

    if picture:
        opt.picture_file("picture", picture)
    if (labels is None) == (adapter is None):
        raise ConfigError("classify must be given --labels or --adapter, but got both or neither. An adapter brings its own labels.")
    options = ReadOptions(up, _turns(pose), seed, jobs=1)
    believed = None if calibration is None else Calibration.read(calibration)
    policy = RejectPolicy(believed, min_confidence, min_margin, () if distractors is None else opt.read_labels(distractors))
    paths = opt.expand_files(files)
    load = functools.partial(load_model, weights=weights, device=device, dtype=dtype)
    classifier = None if adapter is None else _load_classifier(adapter, load, checkpoint)
    loaded = classifier.models[0] if classifier else load(model, checkpoint=checkpoint, prompts=prompts)
    names = classifier.labels if classifier else opt.read_labels(labels or "")
    unknown = {} if classifier else loaded.unknown_words(names)
    for label, nearest in unknown.items():
        typer.echo(f"basrelief: {loaded.name} does not know {label!r}; nearest known: {nearest!r}", err=True)
    noted = {"unknown": sorted(unknown)} if unknown else {}
    answers = classify_files(loaded, paths, labels=names, options=options, policy=policy, classifier=classifier)
    widths = max(len(str(path)) for path in paths), max(len(name) for name in names)
    failed = 0
    for number, answer in enumerate(_progress(answers, len(paths), quiet=as_json)):
        failed += answer.error is not None
        text = to_json(_record(answer, loaded, top) | noted) if as_json else _row(answer, top, widths)
        typer.echo(text, err=bool(answer.error) and not as_json)
        if picture and answer.prediction:
            shown = _numbered(picture, number, answer.path) if len(paths) > 1 else picture
            write_picture(shown, evidence_picture(answer, loaded, top=top))
    if failed:
        typer.echo(f"basrelief: {failed} of {len(paths)} files failed", err=True)
        raise typer.Exit(1)


def _load_classifier(adapter: Path, load: Callable[..., Model], checkpoint: Path | None) -> FewShotClassifier:
    """A head on the models it was fitted on; the checkpoint belongs to the first."""
    from basrelief.models import FewShotClassifier, head_recipes

    first, *others = head_recipes(adapter)
    return FewShotClassifier.load(adapter, [load(first, checkpoint=checkpoint), *(load(name) for name in others)])


def _turns(pose: str) -> PoseSearch | None:
    from basrelief.models import POSE_SEARCHES

    if pose not in ("file", *POSE_SEARCHES):
        raise ConfigError(unknown_choice("pose", pose, ("file", *POSE_SEARCHES)))
    return None if pose == "file" else cast("PoseSearch", pose)


def _progress(answers: Iterable[FileResult], total: int, *, quiet: bool) -> Iterator[FileResult]:
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    if quiet or total < 2 or not console.is_terminal:
        yield from answers
    else:
        yield from track(answers, total=total, description="classify", console=console, transient=True)


def _row(answer: FileResult, top: int, widths: tuple[int, int]) -> str:
    """One row of the table: the file, then label and score, best first, in columns."""
    if answer.prediction is None:
        return f"{answer.path}: error: {answer.error}"
    p = answer.prediction
    values = p.scores if p.probabilities is None else p.probabilities
    cells = [f"{label:<{widths[1]}} {value:6.3f}" for label, value in zip(p.labels[:top], values, strict=False)]
    verdict = [f"none of these: {p.declined};"] if p.declined else []
    return "   ".join([f"{answer.path!s:<{widths[0]}}", *verdict, *cells])


def _record(answer: FileResult, model: Model, top: int) -> dict[str, Any]:
    if answer.prediction is None or answer.shape is None:
        return {"file": str(answer.path), "error": answer.error}
    p, origin = answer.prediction, answer.shape.origin
    cameras = model.projection.cameras
    best = p.view_scores.max(axis=1)
    return {
        "file": str(answer.path),
        "model": p.model,
        "label": p.label,
        "declined": p.declined,
        "labels": list(p.labels[:top]),
        "scores": [round(float(s), 6) for s in p.scores[:top]],
        "probabilities": None if p.probabilities is None else [round(float(s), 6) for s in p.probabilities[:top]],
        "up": origin.up if origin else "z",
        "up_reason": origin.up_reason if origin else "",
        "pose": _pose(answer),
        "views": [
            {"azimuth": round(float(a), 1), "elevation": round(float(e), 1), "label": label, "similarity": round(float(s), 6)}
            for a, e, label, s in zip(cameras.azimuth, cameras.elevation, p.view_labels, best, strict=True)
        ],
    }


def _pose(answer: FileResult) -> dict[str, Any] | None:
    """How the shape was turned, or None where it lies as in the file."""
    if answer.pose is None:
        return None
    rotation = [[round(float(value), 6) for value in row] for row in answer.pose.rotation]
    return {"up": answer.pose.up, "confidence": round(answer.pose.confidence, 4), "reason": answer.pose.reason, "rotation": rotation}


def _numbered(picture: Path, number: int, file: Path) -> Path:
    """`out.png` for several files: `out-0-chair.png`, `out-1-table.png`, so that files of one name do not meet."""
    return picture.with_name(f"{picture.stem}-{number}-{file.stem}{picture.suffix}")
