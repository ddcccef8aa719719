"""`basrelief classify`: rank labels for shapes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from basrelief.cli import options as opt
from basrelief.errors import ConfigError
from basrelief.output import to_json, write_picture

if TYPE_CHECKING:
    from basrelief.models import FewShotClassifier, FileResult, Model

_Labels = Annotated[
    str | None, typer.Option("--labels", "-l", help="`chair,table,lamp`, a file or a label set. Default: the names the model knows.")
]
_EarlyExit = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Leave out views that will hardly change the best label; 1: that cannot. Default: encode all views."),
]


def classify(
    files: opt.Files,
    labels: _Labels = None,
    model: opt.ModelName = "tiny",
    adapter: Annotated[Path | None, typer.Option(help="A head from basrelief train adapter; it brings its own labels and models.")] = None,
    top: Annotated[int, typer.Option(min=1, help="How many labels to print.")] = 5,
    picture: Annotated[Path | None, typer.Option(help="Write a picture of what the model saw; one per file if there are several.")] = None,
    weights: opt.Weights = None,
    checkpoint: opt.CheckpointFile = None,
    text: opt.TextFile = None,
    prompts: opt.Prompts = None,
    up: opt.Up = None,
    intrinsics: opt.Intrinsics = None,
    pose: Annotated[str, typer.Option(help="file: keep it. axes, any: turn shapes upright by an axis, or freely.")] = "file",
    min_confidence: Annotated[float, typer.Option(help="Answer `none of these` below this probability.")] = 0.0,
    min_margin: Annotated[float, typer.Option(help="Answer `none of these` if the best leads by less probability.")] = 0.0,
    distractors: Annotated[str | None, typer.Option(help="Labels that compete too; if one is best, the answer is `none of these`.")] = None,
    early_exit: _EarlyExit = None,
    calibration: Annotated[Path | None, typer.Option(help="calibration.json from basrelief evaluate --task calibration.")] = None,
    seed: opt.Seed = 0,
    device: opt.Device = "auto",
    backend: opt.Backend = "auto",
    dtype: opt.Dtype = "auto",
    as_json: opt.Json = False,
) -> None:
    """Rank labels for shapes, best first: zero-shot, or with an adapter.

    Without --labels, a model that was trained on a list of names chooses among those. Exit code 1 if a file failed; the others are still
    classified.
    """
    from basrelief.models import ReadOptions, classify_files, load_few_shot, load_model
    from basrelief.tasks import Calibration, EarlyExit, RejectPolicy

    if picture:
        opt.picture_file("picture", picture)
    if labels is not None and adapter is not None:
        raise ConfigError("An adapter brings its own labels. Leave out --labels, or --adapter.")
    options = ReadOptions(up, cast("Any", pose), seed, jobs=1, intrinsics=opt.read_intrinsics(intrinsics))
    policy = RejectPolicy(
        None if calibration is None else Calibration.read(calibration),
        min_confidence,
        min_margin,
        () if distractors is None else opt.read_labels(distractors),
    )
    paths = opt.expand_files(files)
    if adapter is not None:
        classifier: Model | FewShotClassifier = load_few_shot(
            adapter, weights=weights, checkpoint=checkpoint, device=device, backend=backend, dtype=dtype
        )
    else:
        classifier = load_model(
            model, weights=weights, checkpoint=checkpoint, prompts=prompts, text=text, device=device, backend=backend, dtype=dtype
        )
    names = classifier.default_labels if labels is None else opt.read_labels(labels)
    unknown = opt.warn_unknown(classifier, names, given=labels is not None or adapter is not None)
    printer = _Printer(classifier, top, picture, as_json, {"unknown": unknown} if unknown else {}, paths, names)
    leave = None if early_exit is None else EarlyExit(early_exit)
    results = classify_files(classifier, paths, labels=names, options=options, policy=policy, early_exit=leave)
    for number, result in enumerate(_progress(results, len(paths), quiet=as_json)):
        printer.show(number, result)
    opt.end_if_failed(printer.failed, len(paths))


@dataclass
class _Printer:
    """Prints results as rows of a table or JSON lines, and writes their pictures.

    Attributes:
        classifier: What made the results.
        top: How many labels to print.
        picture: Where to write pictures, or None.
        as_json: Whether to print JSON.
        notes: Fields to add to each JSON record.
        paths: Every file.
        names: Every label; both for the widths of the columns.
        failed: How many results were errors.
    """

    classifier: Model | FewShotClassifier
    top: int
    picture: Path | None
    as_json: bool
    notes: dict[str, Any]
    paths: Sequence[Path]
    names: Sequence[str]
    failed: int = 0

    def __post_init__(self) -> None:
        """Measure the columns."""
        self.file_width = max(len(str(path)) for path in self.paths)
        self.label_width = max(len(name) for name in self.names)

    def show(self, number: int, result: FileResult) -> None:
        """Print one result; `number` makes the names of pictures unique."""
        from basrelief.scenes import recognise_scene

        self.failed += result.error is not None
        scene = None if result.shape is None else recognise_scene(result.shape)
        found = {} if result.shape is None else {"scene": None if scene is None else {"things": scene.things}}
        text = to_json(_record(result, self.classifier, self.top) | found | self.notes) if self.as_json else self._row(result)
        typer.echo(text, err=bool(result.error) and not self.as_json)
        if scene is not None:
            finding = scene.finding(str(result.path))
            typer.echo(f"basrelief: {opt.printable(f'{result.path}: {finding.fact} {finding.remedy}')}", err=True)
        if self.picture and result.prediction:
            path = _numbered(self.picture, number, result.path) if len(self.paths) > 1 else self.picture
            write_picture(path, result.picture(self.classifier, top=self.top))

    def _row(self, result: FileResult) -> str:
        """One row: the file, then labels with their probabilities or scores, in columns."""
        if result.prediction is None:
            return f"{result.path}: error: {result.error}"
        p = result.prediction
        values = p.scores if p.probabilities is None else p.probabilities
        cells = [f"{label:<{self.label_width}} {value:6.3f}" for label, value in zip(p.labels[: self.top], values, strict=False)]
        verdict = [f"none of these: {p.declined};"] if p.declined else []
        return "   ".join([f"{result.path!s:<{self.file_width}}", *verdict, *cells])


def _progress(results: Iterable[FileResult], total: int, *, quiet: bool) -> Iterator[FileResult]:
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    if quiet or total < 2 or not console.is_terminal:
        yield from results
    else:
        yield from track(results, total=total, description="classify", console=console, transient=True)


def _record(result: FileResult, classifier: Model | FewShotClassifier, top: int) -> dict[str, Any]:
    if result.prediction is None or result.shape is None:
        return {"file": str(result.path), "error": result.error}
    p, origin = result.prediction, result.shape.origin
    best = p.view_scores.max(axis=1)
    return {
        "file": str(result.path),
        "model": p.model,
        "label": p.label,
        "declined": p.declined,
        "labels": list(p.labels[:top]),
        "scores": [round(float(s), 6) for s in p.scores[:top]],
        "probabilities": None if p.probabilities is None else [round(float(s), 6) for s in p.probabilities[:top]],
        "up": origin.up if origin else "z",
        "up_reason": origin.up_reason if origin else "",
        "pose": _pose(result),
        **({} if result.encoded_views is None else {"encoded_views": result.encoded_views}),
        "views": [
            {**view, "label": label, "similarity": round(float(score), 6)}
            for view, label, score in zip(classifier.input.view_records, p.view_labels, best, strict=True)
        ],
    }


def _pose(result: FileResult) -> dict[str, Any] | None:
    """How the shape was turned upright, or None if it was left as in the file."""
    if result.pose is None:
        return None
    rotation = [[round(float(value), 6) for value in row] for row in result.pose.rotation]
    return {"up": result.pose.up, "confidence": round(result.pose.confidence, 4), "reason": result.pose.reason, "rotation": rotation}


def _numbered(picture: Path, number: int, file: Path) -> Path:
    """Return `out-0-chair.png` for `out.png`, so that files of one name get pictures of their own."""
    return picture.with_name(f"{picture.stem}-{number}-{file.stem}{picture.suffix}")
