"""`basrelief models recommend`: which models suit a user's shapes and machine."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from basrelief.cli import options as opt
from basrelief.output import to_json

if TYPE_CHECKING:
    from basrelief.models.recommend import Recommendation, ShapeSummary


def recommend(
    files: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE]...", help="Shape files or folders to look at; `-` reads names from stdin.")
    ] = None,
    memory: Annotated[float | None, typer.Option(help="Memory of the machine in GB. Default: this machine's.")] = None,
    licence: Annotated[str, typer.Option(help="any; or open, for weights whose licences allow any use.")] = "any",
    as_json: opt.Json = False,
) -> None:
    """Name the models that suit your shapes and machine, best first, with reasons and the commands to use them.

    Reads at most 24 of the files: are they meshes or clouds, with colours or without? Ranks by published figures, which basrelief has not
    reproduced. Memory and time are counted from the networks; nothing is downloaded.
    """
    from basrelief.models.recommend import machine_memory, recommend_models, summarise_shapes
    from basrelief.models.recommend_colour import recommend_colour_models

    shapes = summarise_shapes(opt.expand_files(files)) if files else None
    gigabytes = machine_memory() if memory is None else memory
    found = recommend_models(memory_gb=gigabytes, shapes=shapes, licence=licence, files=files or ("FILES",))
    colored = recommend_colour_models(memory_gb=gigabytes, shapes=shapes, licence=licence, files=files or ("FILES",))
    if as_json:
        for one in (*found, *colored):
            typer.echo(to_json(dataclasses.asdict(one)))
        return
    typer.echo(_heading(gigabytes, shapes))
    lists = {
        "With any words:": [one for one in found if one.labels == "any"],
        "With labels that a larger machine exports:": [one for one in found if one.labels == "exported"],
    }
    views = {"With any words, by what shapes look like (no figure on Objaverse-LVIS is published):": colored}
    first = shapes is not None and shapes.has_colors
    for title, ranked in (views | lists if first else lists | views).items():
        if ranked:
            typer.echo(f"\n{title}")
        for rank, one in enumerate(ranked, start=1):
            _show(rank, one)
    typer.echo("\nFigures are top-1, as published; basrelief has not reproduced them.")


def _heading(gigabytes: float, shapes: ShapeSummary | None) -> str:
    from basrelief.models.recommend import MEMORY_SHARE

    machine = f"Memory: {gigabytes:.1f} GB, of which the networks of a model may take {gigabytes * MEMORY_SHARE:.1f} GB."
    if shapes is None:
        return machine
    read = shapes.meshes + shapes.clouds
    points = f" (median {shapes.points:,} points)" if shapes.clouds else ""
    broken = f", unreadable {shapes.unreadable}" if shapes.unreadable else ""
    kinds = f"meshes {shapes.meshes}, clouds {shapes.clouds}{points}, with colours {shapes.colored} of {read}{broken}"
    return f"Files: {shapes.files:,}. Of those read: {kinds}.\n{machine}"


def _show(rank: int, one: Recommendation) -> None:
    others = f" Smaller: {', '.join(one.smaller)}." if one.smaller else ""
    cost = f"Networks: {one.memory_gb:.2f} GB of memory, about {one.seconds:.2g} s a shape on two cores."
    download = f" Download: about {one.download_gb:.1f} GB." if one.download_gb else ""
    typer.echo(f"{rank}. {one.name}: {one.reason} {cost}{download} Licence: {one.licence}.{others}")
    for command in one.commands:
        typer.echo(f"     {command}")
