"""Labels: the class names a shape is compared with, from a published set, a file or a list typed by the user."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path

from basrelief.errors import ConfigError, unknown_choice

MAX_FILE_BYTES = 1_000_000
"""Largest labels file that is read: about 50,000 names."""


@cache
def list_label_sets() -> tuple[str, ...]:
    """List the names of the published label sets, alphabetically."""
    folder = resources.files(__package__) / "labels"
    return tuple(sorted(entry.name.removesuffix(".json") for entry in folder.iterdir() if entry.name.endswith(".json")))


@cache
def label_set(name: str) -> tuple[str, ...]:
    """Look up a published label set.

    Names are written as words: `night_stand` is `night stand`. LVIS keeps its brackets, `bow (weapon)`: without them
    bow, fish, octopus, pan and salmon would each be listed twice.

    Args:
        name: One of `list_label_sets()`.

    Returns:
        The labels in the class order of the published list.

    Raises:
        ConfigError: If there is no set of that name.
    """
    if name not in list_label_sets():
        raise ConfigError(unknown_choice("label set", name, list_label_sets()))
    text = (resources.files(__package__) / "labels" / f"{name}.json").read_text(encoding="utf-8")
    return tuple(json.loads(text)["labels"])


def check_labels(labels: Sequence[str], *, least: int = 2) -> tuple[str, ...]:
    """Check labels and strip surrounding whitespace.

    Args:
        labels: Different names.
        least: Least number of them: a shape is compared with two or more; in a scan one is enough.

    Raises:
        ConfigError: If there are fewer, or one is empty, repeated, no string, or holds control characters.
    """
    if isinstance(labels, str):
        raise ConfigError(f"Labels are a list of names here, got the string {labels!r}. Pass a list, e.g. ['chair', 'table'].")
    for label in labels:
        if not isinstance(label, str):
            raise ConfigError(f"Labels are strings, got {type(label).__name__}. Convert each to str.")
        if not label.strip():
            raise ConfigError("One of the labels is empty. Remove it, or a comma too many.")
        if not label.isprintable():
            raise ConfigError(f"Label {label!r} holds control characters. Remove them.")
    names = tuple(label.strip() for label in labels)
    if len(names) < least:
        needed = "two labels" if least == 2 else "one label"
        raise ConfigError(f"Need at least {needed}, got {len(names)}. Add one that the shape could also be.")
    if len(set(names)) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise ConfigError(f"Label {twice!r} occurs twice. Remove one.")
    return names


def parse_labels(labels: str | Sequence[str], *, least: int = 2) -> tuple[str, ...]:
    """Turn labels in any form into a tuple: a list of names, names separated by commas or line breaks, or a label set's name.

    Text is never taken for a path, so it may come from strangers; see `read_labels_file` for files.

    Args:
        labels: E.g. `["chair", "table"]`, `"chair, table"` or `"modelnet40"`.
        least: Least number of names; with 1, text without a comma is one name.

    Raises:
        ConfigError: If it is none of these, or the names fail `check_labels`.

    Example:
        >>> from basrelief.datasets import parse_labels
        >>> parse_labels("chair, table")
        ('chair', 'table')
        >>> len(parse_labels("modelnet40"))
        40
    """
    if not isinstance(labels, str):
        return check_labels(labels, least=least)
    name = labels.strip()
    if name in list_label_sets():
        return label_set(name)
    names = [part for line in re.split(r"\r?\n", labels) if line.strip() for part in line.strip().removesuffix(",").split(",")]
    if len(names) >= least:
        return check_labels(names, least=least)
    near = unknown_choice("labels", name, list_label_sets()).partition("Did you mean")[1:]
    hint = "".join(near) if near[0] else f"Separate them by commas, or name a label set: {', '.join(list_label_sets())}."
    raise ConfigError(f"Need at least two labels, got {name!r}. {hint}")


def read_labels_file(path: str | os.PathLike[str], *, least: int = 2) -> tuple[str, ...]:
    """Read labels from a text file: UTF-8, one name per line, lines that start with `#` are comments, at most 1 MB.

    Raises:
        ConfigError: If the file cannot be read, or the names fail `check_labels`.
    """
    return check_labels(_lines(Path(path)), least=least)


def _lines(path: Path) -> list[str]:
    if path.is_dir():
        raise ConfigError(f"{str(path)!r} is a folder, not a labels file. Pass a text file with one name per line.")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise ConfigError(f"Labels file {str(path)!r} is larger than {MAX_FILE_BYTES:,} bytes. Split the list.")
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ConfigError(f"Labels file {str(path)!r} is not UTF-8, see byte {error.start}. Convert it.") from error
    except FileNotFoundError as error:
        raise ConfigError(f"Labels file {str(path)!r} not found. Check the path.") from error
    except OSError as error:
        raise ConfigError(f"Labels file {str(path)!r} cannot be read: {error.strerror}. Check its permissions.") from error
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
