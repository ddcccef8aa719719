"""Find weights: the user's path, the hub's local cache, then the hub; else an error that says what to fetch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from basrelief.encoders.folder import WEIGHTS_FILE
from basrelief.encoders.registry import EncoderSpec
from basrelief.encoders.tokenizer import TOKENIZER_FILES, Tokenizer, tokenizer_file
from basrelief.errors import WeightsNotFoundError

_OTHER_FILES = ("model.safetensors", "pytorch_model.bin", WEIGHTS_FILE)
_TOKENIZER = ("tokenizer.json",)
_SAME_VOCABULARY = ("openai/clip-vit-base-patch32", "timm/vit_base_patch32_clip_224.openai")


def find_weights(spec: EncoderSpec, weights: Path | str | None = None) -> Path:
    """Find the weights file of an encoder.

    Args:
        spec: Which weights.
        weights: A file, or a folder that holds one of the known names; the hub when left out. `HF_HUB_OFFLINE` and the other
            variables of huggingface_hub are obeyed, and no network is touched when the hub's copy is on this machine.

    Raises:
        WeightsNotFoundError: If there is none; the message names the file, its origin, its licence and where to put it.
    """
    if weights is not None:
        return _local(spec, Path(weights))
    message = _missing(spec, "none on this machine and none from the hub")
    return cached_weights(spec) or _fetch(spec.repository, spec.files, message)


def cached_weights(spec: EncoderSpec) -> Path | None:
    """Return the hub's local copy of an encoder's weights, or None; never uses the network."""
    return _cached(spec.repository, spec.files)


def find_tokenizer(spec: EncoderSpec, weights: Path) -> Tokenizer:
    """The tokenizer beside the weights, else the hub's.

    Args:
        spec: Which weights.
        weights: Their file.

    Raises:
        WeightsNotFoundError: If there is none.
        WeightsError: If its file is broken.
    """
    beside = tokenizer_file(weights.parent)
    if beside is not None:
        return Tokenizer.from_file(beside)
    found = next(filter(None, (_cached(repository, _TOKENIZER) for repository in (spec.repository, *_SAME_VOCABULARY))), None)
    message = (
        f"No tokenizer for {spec.name} beside {weights.name} or on the hub. Fetch tokenizer.json from "
        f"https://huggingface.co/{spec.repository} and put it beside the weights; {' or '.join(TOKENIZER_FILES[1:])} will do as well."
    )
    return Tokenizer.from_file(found or _fetch(spec.repository, _TOKENIZER, message))


def _local(spec: EncoderSpec, path: Path) -> Path:
    if path.is_file():
        return path
    found = next((p for p in (path / name for name in (*spec.files, *_OTHER_FILES)) if p.is_file()), None)
    if found is None:
        raise WeightsNotFoundError(_missing(spec, f"none in {path}" if path.is_dir() else f"no file or folder {path}"))
    return found


def _cached(repository: str, names: Sequence[str]) -> Path | None:
    """The first of these files that huggingface_hub keeps on this machine."""
    from huggingface_hub import try_to_load_from_cache

    found = (try_to_load_from_cache(repository, name) for name in names)
    return next((Path(path) for path in found if isinstance(path, str)), None)


def _fetch(repository: str, names: Sequence[str], message: str) -> Path:
    """Download the first of these files that the repository has."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    cause: Exception | None = None
    for name in names:
        try:
            return Path(hf_hub_download(repository, name))
        except Exception as error:  # the hub's client raises the errors of whichever HTTP library it has
            cause = error
            if isinstance(error, LocalEntryNotFoundError) or not isinstance(error, EntryNotFoundError):
                break  # the hub does not answer: asking for the next name would only take longer
    raise WeightsNotFoundError(message) from cause


def _missing(spec: EncoderSpec, fact: str) -> str:
    return (
        f"The weights of {spec.name} were not found: {fact}. Fetch {' or '.join(spec.files)} and tokenizer.json from "
        f"https://huggingface.co/{spec.repository} (licence: {spec.licence}), put both in one folder and give it: --weights FOLDER."
    )
