"""Write the class embeddings of a model, for machines on which its text tower does not fit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from basrelief.datasets import parse_labels
from basrelief.encoders.exported_text import save_exported_text

if TYPE_CHECKING:
    from basrelief.encoders import Encoder
    from basrelief.models.prompting import Prompter


def export_text(prompter: Prompter, encoder: Encoder, labels: str | Sequence[str], *, path: Path | str) -> Path:
    """Embed labels as a model does and write the embeddings; `read_exported_text` reads them.

    Args:
        prompter: The model's prompts.
        encoder: Its text tower.
        labels: A list of names, a comma list or a label set's name; at least two names.
        path: The file, safetensors.

    Raises:
        ConfigError: If a label is empty or repeated.
        OutputError: If the file cannot be written.
    """
    names = parse_labels(labels)
    return save_exported_text(path, names, prompter.embed(names, encoder), encoder=encoder, prompts=prompter.description)
