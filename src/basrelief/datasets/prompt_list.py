"""Published prompt lists, read from the user's copy: PointCLIP V2's generated sentences and searched prompts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from basrelief.datasets.labels import check_labels
from basrelief.errors import ConfigError, FileFormatError, unknown_choice

MAX_FILE_BYTES = 32_000_000
"""Largest prompt list that is read; 40 classes of 1,200 sentences take about 5 MB."""


@dataclass(frozen=True)
class PromptList:
    """Prompts written for each label of one data set.

    Attributes:
        labels: C names, in the class order of the list.
        prompts: One or more filled prompts for each label, in that order.
        view_weights: One weight for each view of the rig, or None where the list has none.
        dataset: Key of the data set in the file, or empty.
        backbone: Key of the CLIP backbone in the file, or empty.

    Raises:
        ConfigError: If the labels fail `check_labels`, or a label has no prompt or an empty one, or a weight is
            outside [0, 100].
    """

    labels: tuple[str, ...]
    prompts: tuple[tuple[str, ...], ...]
    view_weights: tuple[float, ...] | None = None
    dataset: str = ""
    backbone: str = ""

    def __post_init__(self) -> None:
        """Check every field."""
        check_labels(self.labels)
        if len(self.prompts) != len(self.labels):
            raise ConfigError(f"prompts has {len(self.prompts)} entries for {len(self.labels)} labels. Check the class order.")
        for label, prompts in zip(self.labels, self.prompts, strict=True):
            if not prompts or not all(isinstance(p, str) and p.strip() for p in prompts):
                raise ConfigError(f"The prompts of {label!r} are not a list of non-empty texts. Check its entry.")
        if self.view_weights is not None and not (self.view_weights and all(map(_is_weight, self.view_weights))):
            raise ConfigError(f"view_weights is {list(self.view_weights)}; expected numbers from 0 to 100. Check the file.")

    @classmethod
    def read(cls, path: str | Path, *, dataset: str | None = None, backbone: str | None = None) -> PromptList:
        """Read a published prompt list of PointCLIP V2 (Zhu et al. 2023, arXiv:2211.11682).

        Two forms of JSON are read, at most 32 MB:

        - generated sentences, `{label: [sentence, ...], ...}`; the order of the labels is the class order;
        - searched prompts, `{"class_order": {dataset: [label, ...]}, "best": {dataset: {backbone: {"prompts": [...],
          "view_weights": [...]}}}}` with one prompt for each label.

        Args:
            path: The user's copy, as `FILE` or `FILE#DATASET`.
            dataset: Which data set, when the file holds several and the path names none; case and punctuation do not matter.
            backbone: Which CLIP backbone, likewise; `ViT-B-16/openai` finds `vit_b16`.

        Raises:
            FileFormatError: If the file is absent, too large, or not JSON of one of these forms.
            ConfigError: If the choice is unknown or missing, or the content fails the checks of `PromptList`.
        """
        file, named = split_dataset(path)
        record = _object(_read_json(file), "prompt list")
        if "best" not in record:
            return cls(tuple(map(_words, record)), tuple(_texts(record[label], f"the prompts of {label!r}") for label in record))
        orders = _object(record.get("class_order"), "class_order")
        data_key, by_backbone = _choose("dataset", dataset or named, _object(record["best"], "best"))
        backbone_key, entry = _choose("backbone", backbone, _object(by_backbone, data_key))
        _object(entry, backbone_key)
        weights = entry.get("view_weights")
        return cls(
            labels=tuple(map(_words, _texts(orders.get(data_key), f"class_order of {data_key}"))),
            prompts=tuple((prompt,) for prompt in _texts(entry.get("prompts"), "prompts")),
            view_weights=None if weights is None else tuple(_list(weights, "view_weights")),
            dataset=data_key,
            backbone=backbone_key,
        )

    def of(self, label: str) -> tuple[str, ...]:
        """Look up the prompts of a label; underscores and spaces are the same.

        Raises:
            ConfigError: If the list has no such label.
        """
        name = label.replace("_", " ")
        if name not in self.labels:
            raise ConfigError(unknown_choice("label", label, self.labels))
        return self.prompts[self.labels.index(name)]


def split_dataset(prompts: str | Path) -> tuple[Path, str | None]:
    """Split `best_param.json#modelnet40` into the file and the data set in it.

    Args:
        prompts: A path. A `#` in the name of a folder, or in front of the suffix, belongs to the path.

    Returns:
        The file, and the data set; None when the path names none.
    """
    path = Path(prompts)
    name, mark, dataset = path.name.rpartition("#")
    return (path.with_name(name), dataset or None) if mark and Path(name).suffix else (path, None)


def _read_json(path: Path) -> object:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise FileFormatError(f"Cannot read the prompt list {str(path)!r}: {error.strerror}. Check the path.") from error
    if len(data) > MAX_FILE_BYTES:
        raise FileFormatError(f"The prompt list {str(path)!r} is larger than {MAX_FILE_BYTES:,} bytes. Split it.")
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"The prompt list {str(path)!r} is not JSON in UTF-8: {error}. Save it again.") from error


def _choose(argument: str, wanted: str | None, found: Mapping[str, Any]) -> tuple[str, Any]:
    if wanted is None:
        if len(found) == 1:
            return next(iter(found.items()))
        raise ConfigError(f"This prompt list needs a {argument}. It holds {', '.join(found) or 'none'}.")
    for key, value in found.items():
        if _plain(key) == _plain(wanted):
            return key, value
    raise ConfigError(unknown_choice(argument, wanted, found))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.partition("/")[0].lower())


def _words(name: str) -> str:
    return name.replace("_", " ").strip()


def _is_weight(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 100


def _object(value: object, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise FileFormatError(f"{name} is {_kind(value)}; expected a JSON object. See PromptList.read for the two forms.")
    return value


def _list(value: object, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise FileFormatError(f"{name} is {_kind(value)}; expected a JSON list. See PromptList.read for the two forms.")
    return value


def _texts(value: object, name: str) -> tuple[str, ...]:
    texts = _list(value, name)
    if not all(isinstance(text, str) for text in texts):
        raise FileFormatError(f"{name} has entries that are not strings. See PromptList.read for the two forms.")
    return tuple(texts)


def _kind(value: object) -> str:
    return "missing" if value is None else type(value).__name__
