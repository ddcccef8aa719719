"""`basrelief tag`: label the files of a library with one's own words."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from basrelief.cli import options as opt
from basrelief.cli.index import DATABASE, Database, Where, open_index
from basrelief.errors import ConfigError
from basrelief.output import to_json

if TYPE_CHECKING:
    from basrelief.index import TagProposal


def tag(
    folder: Annotated[Path | None, typer.Argument(metavar="DIR", help="Index this folder first, and label only its files.")] = None,
    labels: Annotated[str | None, typer.Option("--labels", "-l", help="Labels: `chair,table`, a file, or a named set.")] = None,
    db: Database = DATABASE,
    where: Where = None,
    min_confidence: Annotated[float, typer.Option(help="Give no label below this probability.")] = 0.0,
    min_margin: Annotated[float, typer.Option(help="Give no label if the best leads by less than this probability.")] = 0.0,
    distractors: Annotated[str | None, typer.Option(help="Further names to compare; if one of them is best, no label is given.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Save the answers as .csv, or as JSON lines (.json, .jsonl).")] = None,
    write: Annotated[bool, typer.Option(help="Write the labels into the library as tags.")] = False,
    sidecars: Annotated[bool, typer.Option(help="Write FILE.tags.json next to each file, too; implies --write.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Revert the last tags written.")] = False,
    jobs: opt.Jobs = 0,
    weights: opt.Weights = None,
    checkpoint: opt.CheckpointFile = None,
    text: opt.TextFile = None,
    device: opt.Device = "auto",
    as_json: opt.Json = False,
) -> None:
    """Label every file with your own words. Nothing is written unless you ask for it."""
    from basrelief.index import IndexOptions, ProposalFile
    from basrelief.tasks import RejectPolicy

    library = open_index(db, weights=weights, checkpoint=checkpoint, text=text, device=device)
    if undo:
        typer.echo(f"restored the tags of {library.undo_tags():,} files")
        return
    if labels is None:
        raise ConfigError("There are no labels. Give some, e.g. --labels chair,table, or revert the last tags with --undo.")
    file = None if out is None else ProposalFile(out)
    names = opt.read_labels(labels)
    policy = RejectPolicy(None, min_confidence, min_margin, () if distractors is None else opt.read_labels(distractors))
    failures: list[tuple[str, str]] = []
    if folder is not None:
        with opt.progress(f"index {folder.name}", quiet=as_json) as progress:
            failures = library.add(folder, options=IndexOptions(opt.cores(jobs)), progress=progress).failures
    proposals = list(library.propose_tags(names, policy=policy, where=where or (), folder=folder))
    for proposal in proposals:
        typer.echo(to_json(asdict(proposal)) if as_json else _row(proposal))
    if file is not None:
        file.save(proposals)
    if write or sidecars:
        tags = {proposal.path: [proposal.label] if proposal.label else [] for proposal in proposals}
        changed = library.tag(tags, sidecars=sidecars)
        typer.echo(f"basrelief: changed the tags of {changed:,} files; basrelief tag --undo reverts this", err=True)
    opt.end_with(failures, see_all="basrelief index --json lists them all")


def _row(proposal: TagProposal) -> str:
    name = proposal.label or f"none of these: {proposal.declined}"
    return f"{proposal.confidence:6.3f}  {name:<24}  view {proposal.view}  {opt.printable(proposal.path)}"
