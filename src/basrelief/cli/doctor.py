"""`basrelief doctor`: checks before a run, each with a remedy."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from basrelief.cli import options as opt
from basrelief.output import to_json

if TYPE_CHECKING:
    from basrelief.types import Finding

_Target = Annotated[str, typer.Argument(metavar="TARGET", help="Name of a model, a shape or weights file, or the folder of a data set.")]
_Name = Annotated[str | None, typer.Option(help="Name of the data set. Default: recognised from its folder.")]
_Model = Annotated[str | None, typer.Option("--model", "-m", help="Model that is to run on the target.")]
_Variant = Annotated[str | None, typer.Option(help="Variant of the data set, e.g. PB_T50_RS.")]
_Split = Annotated[str, typer.Option(help="train, val or test.")]
_Sample = Annotated[int, typer.Option(min=1, help="Number of shapes of a data set to read.")]


def doctor(
    target: _Target,
    dataset: _Name = None,
    model: _Model = None,
    variant: _Variant = None,
    split: _Split = "test",
    sample: _Sample = 24,
    weights: opt.Weights = None,
    checkpoint: opt.CheckpointFile = None,
    prompts: opt.Prompts = None,
    up: opt.Up = None,
    seed: opt.Seed = 0,
    as_json: opt.Json = False,
) -> None:
    """Check a model, a file or a data set before a run. Every warning says what to do.

    Exit code 1 when something is wrong.
    """
    from basrelief.evaluate import DataSource, ModelSource, diagnose

    source = ModelSource(model or "", weights=weights, checkpoint=checkpoint, prompts=prompts)
    data = DataSource(Path(target), dataset or "", variant=variant, split=split, up=up)
    findings = diagnose(target, model=source, data=data, sample=sample, seed=seed)
    for finding in findings:
        typer.echo(to_json(dataclasses.asdict(finding)) if as_json else _row(finding))
    if any(finding.level == "wrong" for finding in findings):
        raise typer.Exit(1)


def _row(finding: Finding) -> str:
    remedy = f"\n{'':<26}-> {finding.remedy}" if finding.remedy else ""
    return f"{finding.level:<8} {finding.check:<16} {finding.fact}{remedy}"
