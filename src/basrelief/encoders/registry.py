"""The CLIP weights that can be loaded by name, one JSON file each in `specs/`, named as in open_clip."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from basrelief.encoders.config import ClipConfig
from basrelief.encoders.kinds import ACTIVATIONS, Activation
from basrelief.encoders.preprocessing import ImageFit, Preprocessing
from basrelief.errors import ConfigError, unknown_choice


@dataclass(frozen=True)
class EncoderSpec:
    """One set of weights: source, preprocessing, architecture and licence.

    Attributes:
        name: open_clip's, `architecture/weights`.
        repository: On the Hugging Face hub, `owner/name`, or `datasets/owner/name` for a data set.
        files: Names to look for there or in a folder, best first.
        licence: Of the weights, to be shown to the user.
        parameters: Numbers in both towers.
        bytes: Size of the download, or None where it is not known; about 4 per parameter.
        mean: Preprocessing mean per channel.
        std: Preprocessing standard deviation per channel.
        image_fit: How a picture becomes the tower's square.
        config: Architecture.
        notes: What a user must know, or empty.
    """

    name: str
    repository: str
    files: tuple[str, ...]
    licence: str
    parameters: int
    bytes: int | None
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    config: ClipConfig
    image_fit: ImageFit = ImageFit()  # noqa: RUF009 - frozen
    notes: str = ""

    @property
    def preprocessing(self) -> Preprocessing:
        """Mean, standard deviation and resizing, where no file beside the weights states them."""
        return Preprocessing(self.mean, self.std, self.image_fit)

    def with_activation(self, activation: Activation) -> EncoderSpec:
        """Return the same weights with another activation than they were trained with.

        Raises:
            ConfigError: If the activation is unknown.
        """
        if activation not in ACTIVATIONS:
            raise ConfigError(unknown_choice("activation", activation, ACTIVATIONS))
        return replace(self, config=replace(self.config, activation=activation))


def list_encoders() -> tuple[str, ...]:
    """List the names, sorted."""
    return tuple(_specs())


def encoder_spec(name: str) -> EncoderSpec:
    """Look up a set of weights.

    Args:
        name: e.g. `ViT-B-32/openai`; open_clip's `-quickgelu` may be written where it holds.

    Raises:
        ConfigError: If the name is unknown.
    """
    specs = _specs()
    spec = specs.get(name.replace("-quickgelu/", "/"))
    if spec is None or ("-quickgelu/" in name and spec.config.activation != "quick_gelu"):
        raise ConfigError(unknown_choice("encoder", name, specs))
    return spec


@lru_cache(maxsize=1)
def _specs() -> dict[str, EncoderSpec]:
    found = map(_spec, _json_files(files("basrelief.encoders") / "specs"))
    return {spec.name: spec for spec in sorted(found, key=lambda spec: spec.name)}


def _json_files(folder: Traversable) -> Iterator[Traversable]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _json_files(entry)
        elif entry.name.endswith(".json"):
            yield entry


def _spec(entry: Traversable) -> EncoderSpec:
    record = json.loads(entry.read_text(encoding="utf-8"))
    lists = {key: tuple(record[key]) for key in ("files", "mean", "std")}
    parts = {"image_fit": ImageFit(**record["image_fit"]), "config": ClipConfig.from_json(record["config"])}
    return EncoderSpec(**{**record, **lists, **parts})
