"""What must be fetched for a set of CLIP weights: the weights, their preprocessing, and their vocabulary if it is not on this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from basrelief.encoders.hub.cache import cached_file, cached_names, has_file
from basrelief.encoders.hub.choose import WEIGHTS_ORDER, choose_weights, weights_candidates
from basrelief.encoders.hub.download import download
from basrelief.encoders.hub.licences import NO_LICENCE, is_open
from basrelief.encoders.hub.repository import HubFile, Repository, list_repository
from basrelief.encoders.kinds import TOKENIZER_FILES, TokenizerKind
from basrelief.encoders.preprocessing import PREPROCESSING_FILES
from basrelief.encoders.registry import EncoderSpec
from basrelief.errors import ConfigError, WeightsNotFoundError, unknown_choice


@dataclass(frozen=True)
class VocabularySource:
    """Where a vocabulary is fetched if the repository of the weights has none.

    Attributes:
        owner: Whose vocabulary it is, for messages.
        repositories: In this order.
        licence: Of the vocabulary.
    """

    owner: str
    repositories: tuple[str, ...]
    licence: str


VOCABULARIES: Mapping[TokenizerKind, VocabularySource] = {
    "clip": VocabularySource("CLIP", ("timm/vit_base_patch32_clip_224.openai", "openai/clip-vit-base-patch32"), "MIT"),
    "gemma": VocabularySource("Gemma", ("timm/ViT-B-16-SigLIP2", "google/siglip2-base-patch16-224"), "apache-2.0"),
    "xlm-v": VocabularySource("XLM-V", ("facebook/xlm-v-base",), "MIT"),
}
"""Licences are those of openai/CLIP, google/siglip2-* and facebook/xlm-v-base, which published them."""


@dataclass(frozen=True)
class Selection:
    """Files of one repository that are needed.

    Attributes:
        repository: The repository.
        files: The files, the largest first.
        licence: Licence as basrelief knows it.
    """

    repository: Repository
    files: tuple[HubFile, ...]
    licence: str

    @property
    def missing(self) -> tuple[HubFile, ...]:
        """Files that are not on this machine."""
        return tuple(file for file in self.files if not has_file(self.repository.name, file))

    @property
    def size(self) -> int:
        """Bytes to download."""
        return sum(file.size for file in self.missing)

    @property
    def restricted(self) -> bool:
        """Whether a download needs consent: something is missing, and a licence is missing or restricts use."""
        return bool(self.missing) and not (is_open(self.repository.licence) and is_open(self.licence))

    @property
    def licences(self) -> str:
        """The licence that the hub states and the one basrelief knows, if they differ."""
        stated = self.repository.licence
        if self.licence.lower() in (stated.lower(), NO_LICENCE):
            return stated
        return f"{self.licence}; the hub states {'none' if stated == NO_LICENCE else stated}"

    def fetch(self) -> list[Path]:
        """Download what is missing and return the paths of all files.

        Raises:
            WeightsNotFoundError: If a file cannot be fetched.
            OutputError: If one cannot be written.
        """
        return [download(self.repository, file) for file in self.files]


def select_encoder(spec: EncoderSpec, *, file: str = "", command: str = "") -> list[Selection]:
    """Select what a set of CLIP weights needs from the hub.

    Args:
        spec: Which weights.
        file: Name of the weights in the repository; chosen by rule if empty.
        command: How a user names a file, for messages.

    Raises:
        WeightsNotFoundError: If the hub cannot be asked, or the file is not decided.
    """
    repository = list_repository(spec.repository)
    chosen = _weights(repository, file, preferred=spec.files, command=command)
    sides = [repository.files[name] for name in PREPROCESSING_FILES if name in repository.files]
    words = _vocabulary_file(repository, spec)
    own = Selection(repository, (chosen, *([words] if words else []), *sides[:1]), spec.licence)
    return [own] if words else [own, *select_vocabulary(spec)]


def select_checkpoint(repository_name: str, *, architecture: str, licence: str, file: str = "", command: str = "") -> Selection:
    """Select a method's weights from a repository.

    Args:
        repository_name: `owner/name`, or `datasets/owner/name` for a data set.
        architecture: Which the path must name, e.g. `ViT-H-14`.
        licence: As basrelief knows it.
        file: Path of the weights; chosen by `architecture` if empty.
        command: How a user names a file, for messages.

    Raises:
        ConfigError: If the repository has no such file.
        WeightsNotFoundError: If the hub cannot be asked, or the file is not decided.
    """
    repository = list_repository(repository_name)
    return Selection(repository, (_weights(repository, file, architecture=architecture, command=command),), licence)


def select_vocabulary(spec: EncoderSpec) -> list[Selection]:
    """Select the vocabulary of an encoder from the first repository that has it, or nothing if it is on this machine.

    Raises:
        WeightsNotFoundError: If no repository has it.
    """
    if cached_vocabulary(spec) is not None:
        return []
    error: WeightsNotFoundError | None = None
    source = VOCABULARIES[spec.config.text.tokenizer]
    for name in source.repositories:
        try:
            repository = list_repository(name)
        except WeightsNotFoundError as caught:
            error = error or caught
            continue
        if (words := _vocabulary_file(repository, spec)) is not None:
            return [Selection(replace(repository, licence=source.licence), (words,), source.licence)]
    names = TOKENIZER_FILES[spec.config.text.tokenizer]
    raise error or WeightsNotFoundError(f"None of {', '.join(source.repositories)} has one of {', '.join(names)}.")


def cached_weights(spec: EncoderSpec) -> Path | None:
    """Return the hub's local copy of an encoder's weights, or None; never uses the network."""
    return _cached(spec.repository, partial(weights_candidates, preferred=spec.files))


def cached_checkpoint(repository: str, *, architecture: str, file: str = "") -> Path | None:
    """Return the hub's local copy of a method's weights, or None; never uses the network.

    Args:
        repository: `owner/name`, or `datasets/owner/name` for a data set.
        architecture: Which the path must name, if `file` is empty; None if more than one does.
        file: Path in the repository.
    """
    if file:
        return cached_file(repository, [file])
    return _cached(repository, partial(weights_candidates, architecture=architecture))


def cached_vocabulary(spec: EncoderSpec) -> Path | None:
    """Return the hub's local copy of an encoder's vocabulary, or None; never uses the network."""
    kind = spec.config.text.tokenizer
    found = (cached_file(name, TOKENIZER_FILES[kind]) for name in (spec.repository, *VOCABULARIES[kind].repositories))
    return next((path for path in found if path is not None), None)


def _cached(repository: str, candidates: Callable[[list[str]], list[str]]) -> Path | None:
    found = candidates(cached_names(repository))
    return cached_file(repository, found) if len(found) == 1 else None


def _weights(
    repository: Repository, file: str, *, preferred: Sequence[str] = WEIGHTS_ORDER, architecture: str = "", command: str = ""
) -> HubFile:
    if file and file not in repository.files:
        raise ConfigError(unknown_choice("file", file, weights_candidates(repository.files), where=f" in {repository.name}"))
    if file:
        return repository.files[file]
    name = choose_weights(repository.files, origin=repository.name, preferred=preferred, architecture=architecture, command=command)
    return repository.files[name]


def _vocabulary_file(repository: Repository, spec: EncoderSpec) -> HubFile | None:
    names = TOKENIZER_FILES[spec.config.text.tokenizer]
    return next((repository.files[name] for name in names if name in repository.files), None)
