"""Find weights and vocabularies: the user's path, the hub's local copy, then the hub; else an error that says what to fetch and how."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from basrelief.encoders.folder import WEIGHTS_FILE
from basrelief.encoders.hub.choose import WEIGHTS_ORDER, choose_weights
from basrelief.encoders.hub.selection import (
    VOCABULARIES,
    Selection,
    cached_vocabulary,
    cached_weights,
    select_encoder,
    select_vocabulary,
)
from basrelief.encoders.kinds import TOKENIZER_FILES
from basrelief.encoders.registry import EncoderSpec
from basrelief.encoders.tokenizer import Tokenizer, tokenizer_file
from basrelief.errors import WeightsNotFoundError
from basrelief.limits import limits
from basrelief.output import size_text

FETCH = "basrelief models fetch"
"""The command that fetches weights."""


def find_weights(spec: EncoderSpec, weights: Path | str | None = None) -> Path:
    """Find the weights file of an encoder.

    Args:
        spec: Which weights.
        weights: A file, or a folder that holds weights; the hub's local copy when left out, then the hub, if the licence allows any
            use. The variables of huggingface_hub (`HF_HUB_OFFLINE`, `HF_ENDPOINT`, ...) are respected, and no network is touched when the
            hub's copy is on this machine.

    Raises:
        WeightsNotFoundError: If there is none; the message names the repository, its licence and the command that fetches it.
    """
    if weights is not None:
        return _local(spec, Path(weights))
    return cached_weights(spec) or _first_use(spec)


def find_tokenizer(spec: EncoderSpec, weights: Path) -> Tokenizer:
    """Find the tokenizer: beside the weights, else the hub's local copy, else the hub.

    Args:
        spec: Which weights.
        weights: Their file.

    Raises:
        WeightsNotFoundError: If there is none.
        WeightsError: If its file is broken.
    """
    kind = spec.config.text.tokenizer
    found = tokenizer_file(weights.parent, kind=kind) or cached_vocabulary(spec)
    if found is not None:
        return Tokenizer.from_file(found, kind=kind)
    try:
        (selection,) = select_vocabulary(spec)
        if selection.size > limits().list_bytes:
            raise WeightsNotFoundError(f"{selection.files[0].name} of {selection.repository.name} is too large for a vocabulary.")
        found = selection.fetch()[0]
    except WeightsNotFoundError as error:
        *names, last = TOKENIZER_FILES[kind]
        raise WeightsNotFoundError(
            f"{VOCABULARIES[kind].owner}'s vocabulary is not on this machine, which {spec.name} needs to read words. "
            f"Run: {FETCH} {spec.name}, or put {', '.join(names)}{' or ' if names else ''}{last} beside {weights.name}."
        ) from error
    return Tokenizer.from_file(found, kind=kind)


def _local(spec: EncoderSpec, path: Path) -> Path:
    if path.is_file():
        return path
    if not path.is_dir():
        raise WeightsNotFoundError(f"Folder or file {str(path)!r} not found. {_remedy(spec)}")
    names = [entry.name for entry in path.iterdir() if entry.is_file()]
    try:
        own = (PurePosixPath(file).name for file in spec.files)
        return path / choose_weights(names, origin=str(path), preferred=(*own, *WEIGHTS_ORDER, WEIGHTS_FILE))
    except WeightsNotFoundError as error:
        raise WeightsNotFoundError(f"{error} {_remedy(spec)}") from error


def _first_use(spec: EncoderSpec) -> Path:
    """Download weights that anyone may use for anything; consent to other licences is the business of the command."""
    try:
        selections = select_encoder(spec)
    except WeightsNotFoundError as error:
        raise WeightsNotFoundError(f"The weights of {spec.name} are not on this machine. {error} {_remedy(spec)}") from error
    size = sum(selection.size for selection in selections)
    if any(selection.restricted for selection in selections) or size > _expected_bytes(spec):
        what = describe(selections[0])
        raise WeightsNotFoundError(f"The weights of {spec.name} are not on this machine ({what}). Run: {FETCH} {spec.name}")
    paths = [selection.fetch() for selection in selections]
    return paths[0][0]


def describe(selection: Selection) -> str:
    """Describe a download in a few words: repository, size, licence."""
    return f"{selection.repository.name}, {size_text(selection.size)}, licence: {selection.licences}"


def _expected_bytes(spec: EncoderSpec) -> int:
    """Bytes that a download without a question may have: float32 numbers, a vocabulary, and some more."""
    return 5 * spec.parameters + 2 * limits().list_bytes


def _remedy(spec: EncoderSpec) -> str:
    return (
        f"Run: {FETCH} {spec.name}, or put {' or '.join(spec.files[:2])} and tokenizer.json from "
        f"https://huggingface.co/{spec.repository} (licence: {spec.licence}) into a folder and give it: --weights FOLDER."
    )
