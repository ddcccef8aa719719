"""`basrelief evaluate`: a figure on a benchmark, with its card; or a published table beside ours."""

from __future__ import annotations

import dataclasses
import functools
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from basrelief.cli import options as opt
from basrelief.errors import ConfigError
from basrelief.output import to_json

if TYPE_CHECKING:
    from basrelief.datasets import Benchmark
    from basrelief.evaluate import EvalCard, TableRow


_ModelArgument = Annotated[str | None, typer.Argument(metavar="MODEL", help="Name of a model; `basrelief models` lists them.")]
_DatasetArgument = Annotated[str | None, typer.Argument(metavar="DATASET", help="Name of a data set; `auto` finds out.")]
_Root = Annotated[Path | None, typer.Option(help="Folder of the data set, as it was unpacked.")]
_Task = Annotated[str, typer.Option("--task", "-t", help="zero-shot, few-shot, retrieval, robustness or calibration.")]
_Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for the cards, one folder each.")]
_Variant = Annotated[str | None, typer.Option(help="Which of several, e.g. PB_T50_RS. Default: the paper's.")]
_Split = Annotated[str, typer.Option(help="train, val or test.")]
_Limit = Annotated[int | None, typer.Option(min=1, help="Only so many shapes, of every class in turn; the card says so.")]
_Points = Annotated[int | None, typer.Option(min=1, help="Points per shape. Default: the paper's on this data set.")]
_Templates = Annotated[str | None, typer.Option(help="Template set. Default: the paper's on this data set.")]
_Shots = Annotated[str, typer.Option(help="Shapes per class for few-shot, comma-separated.")]
_Draws = Annotated[int, typer.Option(min=1, help="How often the shots are drawn again.")]
_Head = Annotated[str, typer.Option(help="For few-shot: probe, cache, simplified, inter-view or dual-path.")]
_Queries = Annotated[str, typer.Option(help="For retrieval: of text, image, shape, comma-separated.")]
_Pictures = Annotated[Path | None, typer.Option(help="For retrieval by image: class folders of pictures. Default: drawn from the shapes.")]
_Partial = Annotated[bool, typer.Option("--partial", help="Accept a data set whose counts or labels are not those of its card.")]
_Fresh = Annotated[bool, typer.Option("--fresh", help="Embed again what is in the cache.")]
_Table = Annotated[str | None, typer.Option(help="Print a published table beside our cards: 1 is OpenDlign's Table 1.")]
_Dtype = Annotated[str, typer.Option(help="float32 gives the same card every time; auto measures what is quickest.")]


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
    weights: opt.Weights = None,
    checkpoint: opt.CheckpointFile = None,
    prompts: opt.Prompts = None,
    up: opt.Up = None,
    seed: opt.Seed = 0,
    device: opt.Device = "auto",
    dtype: _Dtype = "float32",
    as_json: opt.Json = False,
) -> None:
    """Measure a model on a data set and write an eval card; stopped and started again, it goes on where it was.

    Exit code 1 when a shape could not be used; it counts as wrong.
    """
    if table is not None:
        _print_table(table, out, [name for name in (model, dataset) if name], as_json=as_json)
        return
    if model is None or dataset is None or root is None:
        raise ConfigError("evaluate must be given MODEL, DATASET and --root DIR, but got less. Name all three, or a --table.")
    from basrelief.datasets import open_benchmark
    from basrelief.evaluate import Request, Shots, card_folder, run_evaluation, write_outcome
    from basrelief.models import Embedder, get_recipe, load_model

    opt.check_points(points)
    wanted = None if dataset == "auto" else dataset
    chosen = variant or get_recipe(model).datasets.get(dataset, {}).get("variant")
    benchmark = open_benchmark(root, wanted, split=split, variant=chosen, up=up, strict=not partial)
    load = functools.partial(load_model, weights=weights, device=device, dtype=dtype)
    loaded, cache = load(model, checkpoint=checkpoint, prompts=prompts), None if fresh else opt.shape_cache()
    request = Request(
        task=task,
        shots=Shots(_numbers(shots), draws, seed, head),
        support=_support(root, benchmark, wanted, up) if task == "few-shot" else None,
        second=opt.second_path(model, head, load, cache, seed) if task == "few-shot" else None,
        directions=tuple(word.strip() for word in queries.split(",")),
        pictures=pictures,
        command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    )
    with opt.progress("evaluate", quiet=as_json) as progress:
        ready = (loaded.for_few_shot() if task == "few-shot" else loaded).for_dataset(benchmark.name, points=points, templates=templates)
        embedder = Embedder(ready, cache, seed, progress)
        outcome = run_evaluation(embedder, benchmark if limit is None else benchmark.limited(limit), request=request)
    _tell(outcome.card, write_outcome(outcome, out / card_folder(outcome.card)), as_json=as_json)


def _support(root: Path, benchmark: Benchmark, name: str | None, up: str | None) -> Benchmark | None:
    """The training split for few-shot, or None where the files know no split."""
    from basrelief.datasets import open_benchmark

    if benchmark.split in ("all", "train"):
        return None
    return open_benchmark(root, name, split="train", variant=benchmark.variant or None, up=up, strict=False)


def _tell(card: EvalCard, folder: Path, *, as_json: bool) -> None:
    typer.echo(to_json(dataclasses.asdict(card)) if as_json else _summary(card, folder))
    if card.failures:
        typer.echo(f"basrelief: {len(card.failures)} of {card.protocol['data']['shapes']} shapes could not be used", err=True)
        raise typer.Exit(1)


def _numbers(words: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in words.split(","))
    except ValueError as error:
        raise ConfigError(f"shots must be whole numbers with commas between, but got {words!r}. Write 1,2,4,8,16.") from error


def _summary(card: EvalCard, folder: Path) -> str:
    lines = [f"{card.title}   protocol {card.protocol_hash}"]
    paper = {number.metric: f"   paper {number.value:g}" for number in reversed(card.paper)}
    for f in card.figures:
        lines.append(f"  {f.title:<40} {f.value:6.1f} {f.unit}   {f.low:5.1f} to {f.high:5.1f}   n {f.count}{paper.get(f.name, '')}")
    lines += [f"  {finding.level}: {finding.fact} {finding.remedy}".rstrip() for finding in card.findings if finding.level != "ok"]
    lines += [f"  differs from the paper: {difference}" for difference in card.differences]
    lines += [f"  {note}" for note in card.notes]
    return "\n".join([*lines, f"card: {folder / 'card.html'}"])


def _print_table(name: str, out: Path, datasets: list[str], *, as_json: bool) -> None:
    from basrelief.evaluate import find_cards, published_table

    cards, errors = find_cards(out)
    rows = published_table(name, cards, datasets=datasets)
    for error in errors:
        typer.echo(f"basrelief: {error}", err=True)
    for row in rows if as_json else ():
        typer.echo(to_json(dataclasses.asdict(row)))
    if not as_json:
        _draw_table(rows)
    if errors:
        raise typer.Exit(1)


def _draw_table(rows: list[TableRow]) -> None:
    lines: list[tuple[str, ...] | None] = []
    last = ""
    for row in rows:
        if last and row.dataset != last:
            lines.append(None)
        lines.append(("" if row.dataset == last else row.dataset, row.training, row.method, _three(row.paper), _three(row.ours), row.why))
        last = row.dataset
    opt.print_table(("data set", "trained on", "method", "paper, top-1 / 3 / 5", "ours", "why not yet"), lines)


def _three(numbers: tuple[float | None, ...]) -> str:
    return " / ".join("-" if n is None else f"{n:.1f}" for n in numbers) if any(n is not None for n in numbers) else ""
