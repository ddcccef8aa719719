"""`basrelief doctor`: checks before a run, each with a remedy; what drew depth maps."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from basrelief.cli import options as opt
from basrelief.errors import ConfigError
from basrelief.output import to_json, write_picture

if TYPE_CHECKING:
    from basrelief.types import Finding

_Target = Annotated[
    str | None,
    typer.Argument(
        metavar="TARGET",
        help="Name of a model, a shape or weights file, or the folder of a data set; with --maps, the folder of the point clouds.",
    ),
]
_Maps = Annotated[
    Path | None,
    typer.Option(
        help="Folder of depth maps, ID+CLASS_dm.npy: find the projection that drew them. TARGET is needed only for clouds elsewhere."
    ),
]
_Sheet = Annotated[
    Path | None, typer.Option(help="With --maps, image of the worst shape: stored maps, drawn maps, difference; png, jpg or webp.")
]
_Name = Annotated[str | None, typer.Option(help="Name of the data set. Default: recognised from its folder.")]
_Model = Annotated[str | None, typer.Option("--model", "-m", help="Model that is to run on the target.")]
_Variant = Annotated[str | None, typer.Option(help="Variant of the data set, e.g. PB_T50_RS.")]
_Split = Annotated[str | None, typer.Option(help="train, val or test. Default: test, for scans val.")]
_Sample = Annotated[int, typer.Option(min=1, help="Number of shapes of a data set to read.")]


def doctor(
    target: _Target = None,
    maps: _Maps = None,
    sheet: _Sheet = None,
    dataset: _Name = None,
    model: _Model = None,
    variant: _Variant = None,
    split: _Split = None,
    sample: _Sample = 24,
    weights: opt.Weights = None,
    checkpoint: opt.CheckpointFile = None,
    text: opt.TextFile = None,
    prompts: opt.Prompts = None,
    up: opt.Up = None,
    intrinsics: opt.Intrinsics = None,
    seed: opt.Seed = 0,
    as_json: opt.Json = False,
) -> None:
    """Check a model, a file or a data set before a run, or find out what drew depth maps. Every warning says what to do.

    Exit code 1 when something is wrong.
    """
    if maps is not None:
        others = {
            "dataset": dataset,
            "model": model,
            "variant": variant,
            "weights": weights,
            "checkpoint": checkpoint,
            "text": text,
            "prompts": prompts,
            "up": up,
            "intrinsics": intrinsics,
        }
        for name, value in others.items():
            if value is not None:
                raise ConfigError(
                    f"--maps was given with --{name}, which it does not use. Leave --{name} out: all axes and known variants are tried."
                )
        _compare_maps(maps, target, sheet, sample, seed, as_json=as_json)
        return
    if target is None or sheet is not None:
        raise ConfigError("doctor needs TARGET, or --maps FOLDER; --sheet belongs to --maps. Example: basrelief doctor chair.ply")
    from basrelief.evaluate import DataSource, ModelSource, diagnose

    source = ModelSource(model or "", weights=weights, checkpoint=checkpoint, text=text, prompts=prompts)
    data = DataSource(Path(target), dataset or "", variant=variant, split=split, up=up)
    findings = diagnose(target, model=source, data=data, sample=sample, seed=seed, intrinsics=opt.read_intrinsics(intrinsics))
    for finding in findings:
        typer.echo(to_json(dataclasses.asdict(finding)) if as_json else _row(finding))
    _exit(findings)


def _compare_maps(folder: Path, clouds: str | None, sheet: Path | None, sample: int, seed: int, *, as_json: bool) -> None:
    from basrelief.evaluate import diagnose_maps

    if sheet is not None:
        opt.picture_file("sheet", sheet)
    with opt.progress("compare", quiet=as_json) as progress:
        diagnoses = diagnose_maps(folder, clouds=clouds, sample=sample, seed=seed, progress=progress)
    for diagnosis in diagnoses:
        home = Path(diagnosis.comparison.folder)
        if as_json:
            typer.echo(
                to_json({**dataclasses.asdict(diagnosis.comparison), "findings": [dataclasses.asdict(f) for f in diagnosis.findings]})
            )
        else:
            typer.echo("\n".join(([f"{home}:"] if len(diagnoses) > 1 else []) + [_row(finding) for finding in diagnosis.findings]))
        picture = None if sheet is None else diagnosis.sheet()
        if sheet is not None and diagnosis.worst is not None and picture is not None:
            parts = home.relative_to(folder).parts if len(diagnoses) > 1 else ()
            path = sheet.with_stem("-".join((sheet.stem, *parts)))
            write_picture(path, picture)
            typer.echo(f"{path}: {diagnosis.worst.name}", err=as_json)
    _exit([finding for diagnosis in diagnoses for finding in diagnosis.findings])


def _exit(findings: Sequence[Finding]) -> None:
    if any(finding.level == "wrong" for finding in findings):
        raise typer.Exit(1)


def _row(finding: Finding) -> str:
    remedy = f"\n{'':<26}-> {opt.printable(finding.remedy)}" if finding.remedy else ""
    return f"{finding.level:<8} {finding.check:<16} {opt.printable(finding.fact)}{remedy}"
