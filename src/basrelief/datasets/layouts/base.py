"""Types and helpers that the readers of layouts share. Folders and lists are untrusted: nothing outside a data set is read."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from basrelief.datasets.benchmark import Item
from basrelief.errors import FileFormatError
from basrelief.limits import limits


@dataclass(frozen=True)
class Wanted:
    """Data set, split and variant to read; an empty string means any."""

    name: str = ""
    split: str = "test"
    variant: str = ""


@dataclass(frozen=True)
class Contents:
    """Contents of a data set folder, from the reader of its layout.

    Attributes:
        name: Name of a data card, or empty.
        variant: The variant that was read, if there are several.
        split: The split that was read; `all` if the files are not split.
        labels: Class names in the order of the files.
        items: The shapes.
        up: Up axis of the stored files, or None for each format's own rule.
        up_reason: How the up axis is known, for messages.
        kind: `shapes`, or `depth_maps` for rendered depth maps.
        notes: What was skipped, one sentence each.
        by_number: Whether the files have class numbers only, so that a wrong order of class names would make all labels wrong.
    """

    name: str
    split: str
    labels: tuple[str, ...]
    items: tuple[Item, ...]
    up: str | None
    up_reason: str
    variant: str = ""
    kind: Literal["shapes", "depth_maps"] = "shapes"
    notes: tuple[str, ...] = ()
    by_number: bool = False


@dataclass(frozen=True)
class Layout:
    """A way to store a data set on disk.

    Attributes:
        name: Key in `LAYOUTS`.
        holds: Names of the data sets that can be stored this way; empty for any.
        home: Function that finds the top folder of the layout in the folder of the user; None if the layout is another one.
        read: Function that reads the wanted split and variant from that top folder.
        shown: Files that identify the layout, for messages.
    """

    name: str
    holds: tuple[str, ...]
    home: Callable[[Path], Path | None]
    read: Callable[[Path, Wanted], Contents]
    shown: str


def plain(name: str) -> str:
    """Normalise a class name for comparison: `Night_Stand` and `night-stand` become `night stand`."""
    return name.replace("_", " ").replace("-", " ").strip().lower()


def words(name: str) -> str:
    """Convert a folder name to a label: underscores become spaces."""
    return name.replace("_", " ").strip()


def ordered(names: Iterable[str], labels: Sequence[str]) -> tuple[str, ...]:
    """Return class names in the order and spelling of a label set; unknown names follow, sorted."""
    known = {plain(label): label for label in labels}
    place = {label: i for i, label in enumerate(labels)}
    found = {known.get(plain(name), words(name)) for name in names}
    return tuple(sorted(found, key=lambda label: (place.get(label, len(place)), label)))


def numbered(names: Iterable[str], labels: Sequence[str]) -> dict[str, int]:
    """Map class names to label numbers, comparing normalised names; names without a label are left out."""
    place = {plain(label): i for i, label in enumerate(labels)}
    return {name: place[plain(name)] for name in names if plain(name) in place}


def subfolders(folder: Path) -> list[Path]:
    """Return the subfolders of a folder, sorted, without hidden ones and links to other places."""
    home = folder.resolve()
    inside = (path for path in folder.iterdir() if not path.name.startswith(".") and path.is_dir())
    return sorted(path for path in inside if path.resolve() != home and path.resolve().is_relative_to(home))


def files(folder: Path, *suffixes: str) -> list[Path]:
    """Return the files of a folder that have one of the suffixes, sorted, without hidden ones and links to other places."""
    if not folder.is_dir():
        return []
    home = folder.resolve()
    inside = (path for path in folder.iterdir() if path.suffix.lower() in suffixes and not path.name.startswith("."))
    return sorted(path for path in inside if path.is_file() and path.resolve().is_relative_to(home))


def inside(home: Path, name: str) -> Path:
    """Return the path of a listed file, checked to be inside the data set.

    Raises:
        FileFormatError: If the path is outside `home`.
    """
    path = home / name
    try:
        within = path.resolve().is_relative_to(home.resolve())
    except (OSError, ValueError, RuntimeError):  # a null byte, a name too long, links in a circle
        within = False
    if not within:
        raise FileFormatError(f"The list names {name[:200]!r}, which is outside the data set. Remove that line.")
    return path


def read_lines(path: Path) -> list[str]:
    """Return the non-empty lines of a list file of at most `Limits.list_bytes`.

    Raises:
        FileFormatError: If the file is absent, too large or not UTF-8.
    """
    try:
        return [line.strip() for line in read_list(path).decode("utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path.name!r} is not UTF-8 (byte {error.start}). Convert it.") from error


def read_json(path: Path, data: bytes | None = None) -> Any:  # noqa: ANN401 - anything may stand in a file
    """Parse a JSON file of at most `Limits.list_bytes`, or `data` if it was read already.

    Raises:
        FileFormatError: If the file is absent, too large or not JSON.
    """
    try:
        return json.loads(read_list(path) if data is None else data)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{path.name!r} is not JSON in UTF-8: {error}. Download it again.") from error


def item(home: Path, path: Path, label: int, row: int | None = None) -> Item:
    """Create an item whose id is its path relative to `home`, with `#row` for a row of a file."""
    end = "" if row is None else f"#{row}"
    return Item(f"{path.relative_to(home).as_posix()}{end}", label, f"{path}{end}")


def read_list(path: Path) -> bytes:
    """Return the content of a list file of at most `Limits.list_bytes`, decompressed if its name ends in `.gz`.

    Raises:
        FileFormatError: If it is not a regular file, links out of its folder, is too large, or cannot be decompressed.
    """
    most = limits().list_bytes
    try:
        if path.exists() and not (path.is_file() and path.resolve().is_relative_to(path.parent.resolve())):
            raise FileFormatError(f"{path.name!r} is not a regular file inside the data set. Replace it by a copy of the file.")
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            data: bytes = file.read(most + 1)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise FileFormatError(f"Cannot read {path.name!r}: {reason}. Download it again.") from error
    if len(data) > most:
        raise FileFormatError(f"{path.name!r} is larger than {most:,} bytes. Check the file.")
    return data
