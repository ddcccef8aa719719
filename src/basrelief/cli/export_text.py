"""`basrelief models export-text`: write the embeddings of labels for machines on which a text tower does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from basrelief.cli import options as opt
from basrelief.output import to_json


def export_text(
    name: Annotated[str, typer.Argument(metavar="MODEL", help="Name of a model, e.g. openshape-pointbert.")],
    labels: Annotated[str, typer.Option("--labels", "-l", help="`chair,table,lamp`, a file or a label set.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write, e.g. labels.safetensors.")],
    weights: opt.Weights = None,
    checkpoint: opt.CheckpointFile = None,
    prompts: opt.Prompts = None,
    device: opt.Device = "auto",
    backend: opt.Backend = "auto",
    dtype: opt.Dtype = "auto",
    as_json: opt.Json = False,
) -> None:
    """Write the embeddings of labels, for machines on which the text tower of a model does not fit.

    Only the text tower is loaded. On the other machine, pass the file with --text, e.g. to basrelief classify; the model then knows
    these labels alone.
    """
    from basrelief.models.export_text import export_text as export
    from basrelief.models.load import load_text

    names = opt.read_labels(labels)
    prompter, encoder = load_text(
        name, weights=weights, checkpoint=checkpoint, prompts=prompts, device=device, backend=backend, dtype=dtype
    )
    path = export(prompter, encoder, names, path=out)
    record = {"file": str(path), "labels": len(names), "encoder": encoder.name, "dimension": encoder.embedding_dim}
    typer.echo(to_json(record) if as_json else f"{path}: {len(names):,} labels by {encoder.name}, {encoder.embedding_dim} numbers each")
