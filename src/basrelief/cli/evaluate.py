"""`basrelief evaluate`: evaluate a model on a data set, or print a published table beside our cards."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from basrelief.cli import options as opt
from basrelief.errors import ConfigError, unknown_choice
from basrelief.output import to_json

if TYPE_CHECKING:
    from basrelief.evaluate import DetectionProtocol, EvalCard, TableRow
    from basrelief.evaluate.detection.table import DetectionRow, DetectionTable


_ModelArgument = Annotated[str | None, typer.Argument(metavar="MODEL", help="Name of a model; `basrelief models` lists them.")]
_DatasetArgument = Annotated[str | None, typer.Argument(metavar="DATASET", help="Name of a data set; `auto` recognises it.")]
_Root = Annotated[Path | None, typer.Option(help="Folder of the unpacked data set.")]
_Task = Annotated[str, typer.Option("--task", "-t", help="zero-shot, few-shot, retrieval, robustness, calibration or detection.")]
_Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for the cards, one folder each.")]
_Variant = Annotated[str | None, typer.Option(help="Variant of the data set, e.g. PB_T50_RS. Default: the paper's.")]
_Split = Annotated[str | None, typer.Option(help="train, val or test. Default: test, for detection val.")]
_Limit = Annotated[int | None, typer.Option(min=1, help="Use at most this many shapes, balanced over classes, or scans; the card says so.")]
_Points = Annotated[int | None, typer.Option(min=1, help="Points per shape. Default: the paper's on this data set.")]
_Templates = Annotated[str | None, typer.Option(help="Template set. Default: the paper's on this data set.")]
_Pooling = Annotated[
    str | None,
    typer.Option(help="Rule that makes one of the views: mean, max, ..., or entropy:N for the N most certain. Default: the model's."),
]
_Candidates = Annotated[
    int | None, typer.Option(min=1, help="Compare so many labels of each shape again, by what things are for. Default: the model's.")
]
_Shots = Annotated[str, typer.Option(help="For few-shot: shapes per class, comma-separated.")]
_Draws = Annotated[int, typer.Option(min=1, help="For few-shot: number of random support sets.")]
_Head = Annotated[str, typer.Option(help="For few-shot: probe, cache, simplified, inter-view or dual-path.")]
_Queries = Annotated[str, typer.Option(help="For retrieval: text, image, shape, comma-separated.")]
_Pictures = Annotated[
    Path | None,
    typer.Option(help="For retrieval by image: folder with one folder of pictures per class. Default: renderings of the shapes."),
]
_Seeds = Annotated[str | None, typer.Option(help="For detection on generated `rooms`: seeds, e.g. 0-19 or 3,7.")]
_Choices = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="For detection: a choice of the protocol, e.g. proposals=segments or scoring.classes=best. Repeat for more.",
    ),
]
_Partial = Annotated[bool, typer.Option("--partial", help="Accept a data set whose counts or labels differ from its card.")]
_Fresh = Annotated[bool, typer.Option("--fresh", help="Ignore cached embeddings.")]
_Table = Annotated[str | None, typer.Option(help="Print a published table beside our cards: Table 1 or 3 of OpenDlign.")]
_Plan = Annotated[bool, typer.Option("--plan", help="With --table: files, commands, hours and known differences of every row.")]
_Backend = Annotated[str, typer.Option(help="torch; openvino; auto picks the fastest.")]
_Dtype = Annotated[str, typer.Option(help="float32 repeats exactly; auto picks the fastest.")]


def evaluate(
    model: _ModelArgument = None,
    dataset: _DatasetArgument = None,
    root: _Root = None,
    task: _Task = "zero-shot",
    out: _Out = Path("eval"),
    variant: _Variant = None,
    split: _Split = None,
    limit: _Limit = None,
    points: _Points = None,
    templates: _Templates = None,
    pooling: _Pooling = None,
    candidates: _Candidates = None,
    shots: _Shots = "1,2,4,8,16",
    draws: _Draws = 10,
    head: _Head = "probe",
    queries: _Queries = "text,image,shape",
    pictures: _Pictures = None,
    seeds: _Seeds = None,
    choices: _Choices = None,
    partial: _Partial = False,
    fresh: _Fresh = False,
    table: _Table = None,
    plan: _Plan = False,
    weights: opt.Weights = None,
    checkpoint: opt.CheckpointFile = None,
    text: opt.TextFile = None,
    prompts: opt.Prompts = None,
    up: opt.Up = None,
    seed: opt.Seed = 0,
    device: opt.Device = "auto",
    backend: _Backend = "torch",
    dtype: _Dtype = "float32",
    as_json: opt.Json = False,
) -> None:
    """Evaluate a model on a data set and write an eval card. An interrupted run resumes.

    Exit code 1 when a shape could not be used; it counts as wrong. The boxes of a scan that could not be used are not counted.
    """
    if table is not None or plan:
        names = [name for name in (model, dataset) if name]
        return _print_plan(table, names, as_json=as_json) if plan else _print_table(str(table), out, names, as_json=as_json)
    if model is None or dataset is None or (root is None and seeds is None):
        raise ConfigError("evaluate needs MODEL, DATASET and --root DIR, or --table. Example: evaluate tiny auto --root shapes/")
    from basrelief.evaluate import DataSource, EvalOptions, FewShotOptions, ModelSource, write_evaluation
    from basrelief.evaluate import evaluate as run

    opt.check_points(points)
    source = ModelSource(
        model, weights=weights, checkpoint=checkpoint, prompts=prompts, text=text, device=device, backend=backend, dtype=dtype
    )
    name, rooms = opt.dataset_name(dataset), _seeds(seeds) if seeds else ()
    data = DataSource(root or Path(), name, variant=variant, split=split, up=up, limit=limit, strict=not partial, seeds=rooms)
    given: dict[str, Any] = {"points": points, "templates": templates, "pictures": pictures, "seed": seed, **_rules(pooling, candidates)}
    given |= {"few_shot": FewShotOptions(_numbers(shots), draws, seed, head), "detection": _protocol(name, choices)}
    given["command"] = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    options = EvalOptions(task, directions=tuple(word.strip() for word in queries.split(",")), **given)
    with opt.progress("evaluate", quiet=as_json) as progress:
        evaluation = run(source, data, options=options, cache=None if fresh else opt.shape_cache(), progress=progress)
    _print_card(evaluation.card, write_evaluation(evaluation, out), as_json=as_json)
    _end(evaluation.card)


def _rules(pooling: str | None, candidates: int | None) -> dict[str, Any]:
    """How views and prompts are joined, where that is not the model's own way."""
    from basrelief.models.recipe_parts import TwoStagePrompts
    from basrelief.tasks import Pooling

    return {
        "pooling": None if pooling is None else Pooling.parse(pooling),
        "second_stage": None if candidates is None else TwoStagePrompts(candidates),
    }


def _end(card: EvalCard) -> None:
    """Exit with code 1 if shapes could not be used, and say how many."""
    if card.failures:
        kind = "scans" if card.task == "detection" else "shapes"
        typer.echo(f"basrelief: {len(card.failures)} of {card.protocol['data']['shapes']} {kind} could not be used", err=True)
        raise typer.Exit(1)


def _print_card(card: EvalCard, folder: Path, *, as_json: bool) -> None:
    """Print the figures; the tables of a detection evaluation, too."""
    if as_json:
        typer.echo(to_json(dataclasses.asdict(card)))
        return
    for shown in card.tables if card.task == "detection" else ():
        cells = [tuple("" if cell is None else f"{cell:g}" if isinstance(cell, float) else str(cell) for cell in row) for row in shown.rows]
        opt.print_table(shown.columns, cells, title=shown.title)
    typer.echo(_summary(card, folder))


def _numbers(words: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in words.split(","))
    except ValueError as error:
        raise ConfigError(f"--shots {words!r} is no list of whole numbers. Example: --shots 1,2,4,8,16") from error


def _seeds(words: str) -> tuple[int, ...]:
    """Seeds from a list of numbers and ranges."""
    try:
        parts = [part.partition("-") for part in words.split(",")]
        return tuple(seed for first, dash, last in parts for seed in range(int(first), int(last if dash else first) + 1))
    except ValueError as error:
        raise ConfigError(f"--seeds {words!r} is no list of whole numbers. Example: --seeds 0-19 or --seeds 3,7") from error


def _protocol(dataset: str, choices: list[str] | None) -> DetectionProtocol | None:
    """The protocol of a data set with some choices changed; None if none is."""
    if not choices:
        return None
    if not dataset:
        raise ConfigError("--set changes the protocol of a data set. Name it in place of 'auto'.")
    from basrelief.evaluate import DetectionProtocol
    from basrelief.evaluate.detection.protocol import default_protocol
    from basrelief.train.config import read_settings

    return read_settings(DetectionProtocol, None, choices, start=default_protocol(dataset))


def _summary(card: EvalCard, folder: Path) -> str:
    lines = [f"{card.title}   protocol {card.protocol_hash}"]
    paper = {number.metric: f"   paper {number.value:g}" for number in reversed(card.paper)}
    for f in card.metrics:
        lines.append(f"  {f.title:<40} {f.value:6.1f} {f.unit}   {f.low:5.1f} to {f.high:5.1f}   n {f.count}{paper.get(f.name, '')}")
    lines += [f"  {finding.level}: {finding.fact} {finding.remedy}".rstrip() for finding in card.findings if finding.level != "ok"]
    lines += [f"  differs from the paper: {difference}" for difference in card.differences]
    lines += [f"  {note}" for note in card.notes]
    return "\n".join([*lines, f"card: {folder / 'card.html'}"])


def _print_table(name: str, out: Path, datasets: list[str], *, as_json: bool) -> None:
    from basrelief.evaluate import EvalCard, detection_table, published_table
    from basrelief.evaluate.detection.table import DETECTION_TABLES
    from basrelief.evaluate.table import TABLES

    cards, errors = EvalCard.find(out)
    for error in errors:
        typer.echo(f"basrelief: {error}", err=True)
    if name not in TABLES and name not in DETECTION_TABLES:
        raise ConfigError(unknown_choice("table", name, (*TABLES, *DETECTION_TABLES)))
    if name in DETECTION_TABLES:
        table = detection_table(name, cards)
        _print_json(table.rows) if as_json else _print_detection(table)
    else:
        rows = published_table(name, cards, datasets=datasets)
        _print_json(rows) if as_json else _print_rows(rows)
    if errors:
        raise typer.Exit(1)


def _print_json(rows: Sequence[TableRow | DetectionRow]) -> None:
    for row in rows:
        typer.echo(to_json(dataclasses.asdict(row)))


def _print_detection(table: DetectionTable) -> None:
    columns = ("method", "figures", "mean", *table.classes, "source, or why there is none")
    for iou in sorted({row.iou for row in table.rows}):
        shown = [row for row in table.rows if row.iou == iou]
        cells = [(row.method, row.choices, *("" if n is None else f"{n:.1f}" for n in (row.mean, *row.classes)), row.note) for row in shown]
        opt.print_table(columns, cells, title=f"{table.title}, at IoU {iou:g}")
    for note in table.notes:
        typer.echo(note)


def _print_plan(name: str | None, datasets: list[str], *, as_json: bool) -> None:
    from basrelief.evaluate import plan_table
    from basrelief.evaluate.detection.table import DETECTION_TABLES
    from basrelief.evaluate.plan_sections import plan_sections

    if name is None:
        raise ConfigError("--plan needs a table. Add --table 1.")
    if name in DETECTION_TABLES:
        raise ConfigError(f"Table {name} has no plan. docs/research/detection.md says what it needs.")
    plan = plan_table(name, datasets=datasets)
    for row in plan.rows if as_json else ():
        data = next(data for data in plan.data if data.name == row.dataset)
        differs = (*plan.differs, *row.differs)
        typer.echo(to_json(dataclasses.asdict(row) | {"data": dataclasses.asdict(data), "differs": differs, "estimate": plan.estimate}))
    if as_json:
        return
    for section in plan_sections(plan):
        opt.print_table(section.columns, section.rows, title=section.title)
    typer.echo(plan.estimate)


def _print_rows(rows: list[TableRow]) -> None:
    from basrelief.evaluate.plan_sections import numbers_text

    lines: list[tuple[str, ...] | None] = []
    last = ""
    for row in rows:
        if last and row.dataset != last:
            lines.append(None)
        figures = numbers_text(row.paper), numbers_text(row.ours)
        lines.append(("" if row.dataset == last else row.dataset, row.training, row.method, *figures, row.why))
        last = row.dataset
    opt.print_table(("data set", "trained on", "method", "paper, top-1 / 3 / 5", "ours", "why none, or what differs"), lines)
