"""Where weights are: the user's path, the hub's local copy, or the hub itself; else an error that says what to fetch."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from basrelief.encoders.folder import WEIGHTS_FILE
from basrelief.encoders.tokenizer import TOKENIZER_FILES, Tokenizer, tokenizer_file
from basrelief.encoders.zoo import EncoderSpec
from basrelief.errors import WeightsNotFoundError

_LOG = logging.getLogger(__name__)
_OTHER_FILES = ("model.safetensors", "pytorch_model.bin", WEIGHTS_FILE)
# Every encoder of the zoo reads the same vocabulary.
_TOKENIZER_REPOSITORIES = ("openai/clip-vit-base-patch32", "timm/vit_base_patch32_clip_224.openai")


def find_weights(spec: EncoderSpec, weights: Path | str | None = None) -> Path:
    """The weights file of an encoder.

    Args:
        spec: Which weights.
        weights: A file, or a folder that holds one of the known names; the hub when left out. `HF_HUB_OFFLINE` and the other
            variables of huggingface_hub are obeyed, and no network is touched when the hub's copy is on this machine.

    Raises:
        WeightsNotFoundError: If there is none; the message names the file, its origin, its licence and where to put it.
    """
    if weights is not None:
        return _local(spec, Path(weights))
    found = _from_hub(spec.repository, spec.files)
    if found is None:
        raise WeightsNotFoundError(_missing(spec, "none on this machine and none from the hub"))
    return found


def cached_weights(spec: EncoderSpec) -> Path | None:
    """The hub's local copy of an encoder's weights, or None; never touches the network."""
    return _from_cache(spec.repository, spec.files)


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
    for repository in (spec.repository, *_TOKENIZER_REPOSITORIES):
        found = _from_hub(repository, ("tokenizer.json",))
        if found is not None:
            return Tokenizer.from_file(found)
    raise WeightsNotFoundError(
        f"tokenizer must be there for {spec.name}, but got none beside {weights.name} and none from the hub. Fetch tokenizer.json from "
        f"https://huggingface.co/{spec.repository} and put it beside the weights; {' or '.join(TOKENIZER_FILES[1:])} will do as well."
    )


def _local(spec: EncoderSpec, path: Path) -> Path:
    if path.is_file():
        return path
    found = next((p for p in (path / name for name in (*spec.files, *_OTHER_FILES)) if p.is_file()), None)
    if found is None:
        raise WeightsNotFoundError(_missing(spec, f"none in {path}" if path.is_dir() else f"no file or folder {path}"))
    return found


def _from_hub(repository: str, names: Iterable[str]) -> Path | None:
    """A file of a hub repository: the local copy of any of the names first, then a download of the first that exists."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    names = tuple(names)
    cached = _from_cache(repository, names)
    if cached is not None:
        return cached
    for name in names:
        try:
            _LOG.info("fetching %s from %s", name, repository)
            return Path(hf_hub_download(repository, name))
        except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
            _LOG.info("the hub does not answer for %s: %s", repository, error)
            return None
        except EntryNotFoundError:
            _LOG.info("%s has no %s", repository, name)
    return None


def _from_cache(repository: str, names: Iterable[str]) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = (try_to_load_from_cache(repository, name) for name in names)
    return next((Path(path) for path in found if isinstance(path, str)), None)


def _missing(spec: EncoderSpec, fact: str) -> str:
    return (
        f"weights must be there for {spec.name}, but got {fact}. Fetch {' or '.join(spec.files)} and tokenizer.json from "
        f"https://huggingface.co/{spec.repository} (licence: {spec.licence}), put both in one folder and give it: --weights FOLDER."
    )
