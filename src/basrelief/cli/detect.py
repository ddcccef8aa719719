"""`basrelief detect`: labelled boxes in a scan, from words and geometry alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from basrelief.cli import options as opt
from basrelief.output import to_json

if TYPE_CHECKING:
    from basrelief.scenes.files import ScanResult

_Out = Annotated[
    list[Path] | None,
    typer.Option(
        "--out", "-o", help="Write the boxes: .json, .csv, .ply, .glb, .txt (KITTI), .html (viewer), .npz (embeddings). Repeat for several."
    ),
]
_Labels = Annotated[
    str | None,
    typer.Option(
        "--labels", "-l", help="`office chair,monitor`, a file or a label set; one is enough. Default: the names the model knows."
    ),
]
_Proposals = Annotated[str, typer.Option(help="segments, clusters, 3detr-m, 3detr, or boxes with --boxes.")]
_Limit = Annotated[int, typer.Option(min=1, help="Label this many proposed boxes at most, the best ones.")]
_FirstPass = Annotated[
    int | None,
    typer.Option(min=1, help="For slow models: look at every box from three sides, and at this many, the most promising, from all."),
]
_Boxes = Annotated[
    Path | None, typer.Option(help="Your own boxes in the coordinates of the scan, .json or .csv; they are labelled as they are.")
]
_ProposalWeights = Annotated[Path | None, typer.Option(help="Weights of 3detr or 3detr-m. Default: the file from models fetch.")]
_Unit = Annotated[str, typer.Option(help="Unit of the files: m, cm, mm, inch, ft, or auto.")]
_Kind = Annotated[str, typer.Option(help="room, tabletop, object, or auto.")]
_Background = Annotated[
    str | None, typer.Option(help="Labels that compete but are no answer. Default: wall, window, door and the like; `none` for none.")
]
_MinScore = Annotated[float, typer.Option(min=0, max=1, help="Leave out boxes with a lower score.")]
_MinConfidence = Annotated[float, typer.Option(min=0, max=1, help="`none of these` where the best label is less probable.")]
_KeepNone = Annotated[bool, typer.Option("--keep-none", help="Keep boxes that fit none of the labels.")]
_SizePrior = Annotated[bool, typer.Option("--size-prior", help="Prefer labels whose usual size fits the box. Off: shape alone decides.")]
_Top = Annotated[int, typer.Option(min=1, help="How many boxes to print.")]


def detect(
    files: opt.Files,
    labels: _Labels = None,
    model: opt.ModelName = "tiny",
    out: _Out = None,
    proposals: _Proposals = "segments",
    limit: _Limit = 200,
    first_pass: _FirstPass = None,
    boxes: _Boxes = None,
    proposal_weights: _ProposalWeights = None,
    background: _Background = None,
    min_score: _MinScore = 0.15,
    min_confidence: _MinConfidence = 0.0,
    keep_none: _KeepNone = False,
    size_prior: _SizePrior = False,
    top: _Top = 30,
    up: opt.Up = None,
    intrinsics: opt.Intrinsics = None,
    unit: _Unit = "auto",
    kind: _Kind = "auto",
    weights: opt.Weights = None,
    checkpoint: opt.CheckpointFile = None,
    text: opt.TextFile = None,
    prompts: opt.Prompts = None,
    seed: opt.Seed = 0,
    device: opt.Device = "auto",
    backend: opt.Backend = "auto",
    dtype: opt.Dtype = "auto",
    as_json: opt.Json = False,
) -> None:
    """Find and label the things in scans, from geometry alone: labelled boxes, best first.

    Exit code 1 if a file failed; the others are still processed.
    """
    from basrelief import scenes
    from basrelief.models import load_model
    from basrelief.scenes.export.archive import load_detections
    from basrelief.scenes.export.save import check_suffix
    from basrelief.scenes.files import detect_files

    outputs = [path for path in out or () if check_suffix(path)]
    settings = scenes.LabelSettings(
        _background(background), min_score=min_score, min_confidence=min_confidence, keep_none=keep_none, size_prior=size_prior
    )
    paths = opt.expand_files(files)
    network = load_model(
        model, weights=weights, checkpoint=checkpoint, prompts=prompts, text=text, device=device, backend=backend, dtype=dtype
    )
    names = network.default_labels if labels is None else opt.read_labels(labels, least=1)
    opt.warn_unknown(network, names, given=labels is not None)
    given: dict[str, Any] = {"proposals": "boxes" if boxes else proposals, "limit": limit, "first_pass": first_pass, "seed": seed}
    given |= {"guard": {"unit": unit, "kind": kind}, "options": _options(boxes, proposal_weights)}

    def from_saved(path: Path) -> scenes.Detections:
        return load_detections(path, model=network).relabel(names, settings)

    with opt.progress("label boxes", quiet=as_json) as progress:
        finder = partial(scenes.detect, labels=names, model=network, settings=settings, progress=progress, **given)
        results = detect_files(paths, finder, again=from_saved, up=up, intrinsics=opt.read_intrinsics(intrinsics))
        failed = sum(_show(result, outputs, many=len(paths) > 1, top=top, as_json=as_json) for result in results)
    opt.end_if_failed(failed, len(paths))


def _options(boxes: Path | None, weights: Path | None) -> dict[str, Path]:
    """Return the options of the method of proposals."""
    return {name: path for name, path in (("boxes", boxes), ("weights", weights)) if path is not None}


def _background(text: str | None) -> tuple[str, ...]:
    """Return the labels that compete but are no answer."""
    from basrelief.scenes.label import BACKGROUND

    return BACKGROUND if text is None else () if text == "none" else opt.read_labels(text, least=1)


def _show(result: ScanResult, out: Sequence[Path], *, many: bool, top: int, as_json: bool) -> bool:
    """Print one scan's boxes, and write the files that were asked for; return whether it failed."""
    from basrelief.scenes.export.records import json_document
    from basrelief.scenes.export.table import COLUMNS, table_rows

    if result.detections is None:
        record = {"file": str(result.path), "error": result.error}
        typer.echo(to_json(record) if as_json else f"{result.path}: error: {result.error}", err=not as_json)
        return True
    found = result.detections
    for path in out:
        found.save(path.with_name(f"{path.stem}-{result.path.stem}{path.suffix}") if many else path)
    if as_json:
        typer.echo(to_json({"file": str(result.path), **json_document(found)}))
        return False
    for finding in found.scene.findings:
        if finding.level != "ok":
            typer.echo(f"basrelief: {finding.check}: {' '.join(filter(None, (finding.fact, finding.remedy)))}", err=True)
    opt.print_table(COLUMNS, table_rows(found, top=top), title=f"{result.path}: {len(found)} box{'' if len(found) == 1 else 'es'}")
    return False
