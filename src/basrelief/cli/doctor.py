"""`basrelief doctor`: checks before a run, each with a remedy."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from basrelief.cli import options as opt
from basrelief.output import to_json

if TYPE_CHECKING:
    from basrelief.types import Finding

_Target = Annotated[str, typer.Argument(metavar="TARGET", help="Name of a model, a shape or weights file, or the folder of a data set.")]
_Name = Annotated[str | None, typer.Option(help="Name of the data set. Default: found out from its folder.")]
_Recipe = Annotated[str | None, typer.Option("--model", "-m", help="The model that is to run on it.")]
_Variant = Annotated[str | None, typer.Option(help="Which of several, e.g. PB_T50_RS.")]
_Split = Annotated[str, typer.Option(help="train, val or test.")]
_Sample = Annotated[int, typer.Option(min=1, help="Shapes of a data set that are looked at.")]


def doctor(
    target: _Target,
    dataset: _Name = None,
    model: _Recipe = None,
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
    """Check a model, a file or a data set before it costs you a run; every warning says what to do.

    Exit code 1 when something is wrong.
    """
    from basrelief.evaluate import ModelFiles, Question, examine

    given = ModelFiles(weights, checkpoint, prompts)
    findings = examine(target, Question(dataset or "", model or "", variant, split, up, sample, seed), files=given)
    for finding in findings:
        typer.echo(to_json(dataclasses.asdict(finding)) if as_json else _row(finding))
    if any(finding.level == "wrong" for finding in findings):
        raise typer.Exit(1)


def _row(finding: Finding) -> str:
    remedy = f"\n{'':<26}-> {finding.remedy}" if finding.remedy else ""
    return f"{finding.level:<8} {finding.check:<16} {finding.fact}{remedy}"
