"""`basrelief models fetch`: download the weights of a model after showing what they are."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from basrelief.cli import options as opt
from basrelief.output import size_text, to_json

if TYPE_CHECKING:
    from basrelief.models import FetchPlan


def fetch(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A model, CLIP weights such as ViT-B-32/openai, or a detector such as 3detr-m-scannet.")
    ],
    file: Annotated[str, typer.Option(help="File of the repository to take, where its name does not tell which holds the weights.")] = "",
    without_text: Annotated[
        bool, typer.Option("--without-text", help="Leave out the text tower of a model that reads points, to use exported labels.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Accept the licences shown.")] = False,
    as_json: opt.Json = False,
) -> None:
    """Download the weights of a model: shows files, sizes and licences, asks where a licence is missing or restricts use, and verifies.

    An interrupted download is resumed by the same command. Files go to the Hugging Face cache, which HF_HUB_CACHE moves; HF_TOKEN gives
    access to gated repositories. Files that are not on the hub are named with the place to put them; exit code 1 while one is missing.
    """
    from basrelief.models import plan_fetch

    plan = plan_fetch(name, file=file, text=not without_text)
    _show(plan, as_json=as_json)
    _ask(plan, yes=yes)
    try:
        plan.fetch()
    except KeyboardInterrupt:
        typer.echo("basrelief: interrupted; run the same command again to resume", err=True)
        raise typer.Exit(130) from None
    _report(plan, as_json=as_json)


def _show(plan: FetchPlan, *, as_json: bool) -> None:
    """Print what will be downloaded."""
    rows = []
    for selection in plan.selections:
        for file in selection.files:
            state = "to download" if file in selection.missing else "on disk"
            record = {"repository": selection.repository.name, "file": file.name, "bytes": file.size, "licence": selection.licences}
            if as_json:
                typer.echo(to_json({**record, "state": state}))
            rows.append((selection.repository.name, file.name, size_text(file.size), selection.licences, state))
    if plan.manual is not None and as_json:
        state, path = "on disk" if plan.manual.exists else "by hand", str(plan.manual.path)
        typer.echo(to_json({"address": plan.manual.address, "path": path, "licence": plan.manual.licence, "state": state}))
    if rows and not as_json:
        opt.print_table(("repository", "file", "size", "licence", ""), rows)


def _ask(plan: FetchPlan, *, yes: bool) -> None:
    """Ask for consent where a licence is missing or restricts use."""
    from basrelief.errors import ConfigError

    for selection in plan.restricted if not yes else ():
        question = f"{selection.repository.name} has a licence that may restrict use, or none: {selection.licences}."
        if not sys.stdin.isatty():
            raise ConfigError(f"{question} Read {selection.repository.page} and accept it with --yes.")
        typer.echo(f"{question} Its page: {selection.repository.page}", err=True)
        if not typer.confirm(f"Download {size_text(plan.size)} under these terms?", err=True):
            typer.echo("basrelief: nothing was downloaded", err=True)
            raise typer.Exit(1)


def _report(plan: FetchPlan, *, as_json: bool) -> None:
    """Print what is ready and what must be downloaded by hand."""
    if plan.manual is not None and not plan.manual.exists:
        typer.echo(
            f"basrelief: {plan.manual.path.name} is not on the hub (licence: {plan.manual.licence}).\n"
            f"  Download it with a browser: {plan.manual.address}\n  Put it here: {plan.manual.path}",
            err=True,
        )
        raise typer.Exit(1)
    if plan.unpublished:
        typer.echo(f"basrelief: {plan.name} needs {plan.unpublished}. Give the file of your training: --checkpoint FILE.", err=True)
    elif not as_json:
        typer.echo(f"{plan.name} is ready.")
