"""`basrelief evaluate`: evaluate a model on a data set, or print a published table beside our cards."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from basrelief.cli import options as opt
from basrelief.errors import ConfigError
from basrelief.output import to_json

if TYPE_CHECKING:
    from basrelief.evaluate import EvalCard, TableRow


_ModelArgument = Annotated[str | None, typer.Argument(metavar="MODEL", help="Name of a model; `basrelief models` lists them.")]
_DatasetArgument = Annotated[str | None, typer.Argument(metavar="DATASET", help="Name of a data set; `auto` recognises it.")]
_Root = Annotated[Path | None, typer.Option(help="Folder of the unpacked data set.")]
_Task = Annotated[str, typer.Option("--task", "-t", help="zero-shot, few-shot, retrieval, robustness or calibration.")]
_Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for the cards, one folder each.")]
_Variant = Annotated[str | None, typer.Option(help="Variant of the data set, e.g. PB_T50_RS. Default: the paper's.")]
_Split = Annotated[str, typer.Option(help="train, val or test.")]
_Limit = Annotated[int | None, typer.Option(min=1, help="Use at most this many shapes, balanced over classes; the card says so.")]
_Points = Annotated[int | None, typer.Option(min=1, help="Points per shape. Default: the paper's on this data set.")]
_Templates = Annotated[str | None, typer.Option(help="Template set. Default: the paper's on this data set.")]
_Shots = Annotated[str, typer.Option(help="For few-shot: shapes per class, comma-separated.")]
_Draws = Annotated[int, typer.Option(min=1, help="For few-shot: number of random support sets.")]
_Head = Annotated[str, typer.Option(help="For few-shot: probe, cache, simplified, inter-view or dual-path.")]
_Queries = Annotated[str, typer.Option(help="For retrieval: text, image, shape, comma-separated.")]
_Pictures = Annotated[
    Path | None,
    typer.Option(help="For retrieval by image: folder with one folder of pictures per class. Default: renderings of the shapes."),
]
_Partial = Annotated[bool, typer.Option("--partial", help="Accept a data set whose counts or labels differ from its card.")]
_Fresh = Annotated[bool, typer.Option("--fresh", help="Ignore cached embeddings.")]
_Table = Annotated[str | None, typer.Option(help="Print a published table beside our cards: 1 is OpenDlign's Table 1.")]
_Plan = Annotated[bool, typer.Option("--plan", help="With --table: files, commands, hours and known differences of every row.")]
_Dtype = Annotated[str, typer.Option(help="float32 repeats exactly; auto picks the fastest.")]


def evaluate(
    model: _ModelArgument = None,
    dataset: _DatasetArgument = None,
    root: _Root = None,
    task: _Task = "zero-shot",
    out: _Out = Path("eval"),
    variant: _Variant = None,
    split: _Split = "test",
    limit: _Limit = None,
    points: _Points = None,
    templates: _Templates = None,
    shots: _Shots = "1,2,4,8,16",
    draws: _Draws = 10,
    head: _Head = "probe",
    queries: _Queries = "text,image,shape",
    pictures: _Pictures = None,
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
    dtype: _Dtype = "float32",
    as_json: opt.Json = False,
) -> None:
    """Evaluate a model on a data set and write an eval card. An interrupted run resumes.

    Exit code 1 when a shape could not be used; it counts as wrong.
    """
    if table is not None or plan:
        datasets = [name for name in (model, dataset) if name]
        _print_plan(table, datasets, as_json=as_json) if plan else _print_table(str(table), out, datasets, as_json=as_json)
        return
    if model is None or dataset is None or root is None:
        raise ConfigError("evaluate needs MODEL, DATASET and --root DIR, or --table. Example: evaluate tiny auto --root shapes/")
    from basrelief.evaluate import DataSource, EvalOptions, FewShotOptions, ModelSource, write_evaluation
    from basrelief.evaluate import evaluate as run

    opt.check_points(points)
    source = ModelSource(model, weights=weights, checkpoint=checkpoint, prompts=prompts, text=text, device=device, dtype=dtype)
    data = DataSource(root, opt.dataset_name(dataset), variant=variant, split=split, up=up, limit=limit, strict=not partial)
    options = EvalOptions(
        task,
        points=points,
        templates=templates,
        few_shot=FewShotOptions(_numbers(shots), draws, seed, head),
        directions=tuple(word.strip() for word in queries.split(",")),
        pictures=pictures,
        seed=seed,
        command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    )
    with opt.progress("evaluate", quiet=as_json) as progress:
        evaluation = run(source, data, options=options, cache=None if fresh else opt.shape_cache(), progress=progress)
    card, folder = evaluation.card, write_evaluation(evaluation, out)
    typer.echo(to_json(dataclasses.asdict(card)) if as_json else _summary(card, folder))
    if card.failures:
        typer.echo(f"basrelief: {len(card.failures)} of {card.protocol['data']['shapes']} shapes could not be used", err=True)
        raise typer.Exit(1)


def _numbers(words: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in words.split(","))
    except ValueError as error:
        raise ConfigError(f"--shots {words!r} is no list of whole numbers. Example: --shots 1,2,4,8,16") from error


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
    from basrelief.evaluate import EvalCard, published_table

    cards, errors = EvalCard.find(out)
    rows = published_table(name, cards, datasets=datasets)
    for error in errors:
        typer.echo(f"basrelief: {error}", err=True)
    for row in rows if as_json else ():
        typer.echo(to_json(dataclasses.asdict(row)))
    if not as_json:
        _print_rows(rows)
    if errors:
        raise typer.Exit(1)


def _print_plan(name: str | None, datasets: list[str], *, as_json: bool) -> None:
    from basrelief.evaluate import plan_table
    from basrelief.evaluate.plan_sections import plan_sections

    if name is None:
        raise ConfigError("--plan needs a table. Add --table 1.")
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
