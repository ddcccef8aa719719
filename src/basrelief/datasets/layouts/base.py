"""What the readers of layouts share: what is wanted, what was found, and looking at folders that strangers made."""

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
    """Data set, split and variant to read; empty means any."""

    name: str = ""
    split: str = "test"
    variant: str = ""


@dataclass(frozen=True)
class Contents:
    """Contents of a data set folder, from the reader of its layout.

    Attributes:
        name: Name of a data card, or empty.
        variant: Which of several was read.
        split: Which split; `all` where the files know none.
        labels: Class names in the order of the files.
        items: The shapes.
        up: Up axis of the stored files, or None for each format's own rule.
        up_reason: Where that is known from.
        kind: `shapes`, or `depth_maps` for files that hold drawn depth.
        notes: What was left out, one sentence each.
        by_number: Whether classes are known by number only, so that another class order would make every label wrong.
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
    """How a data set lies on disk.

    Attributes:
        name: Key in `LAYOUTS`.
        holds: Names of the data cards it can hold; empty for any.
        home: Finds the folder it starts in under what the user named, or None if that is another layout.
        read: Reads what is wanted from there.
        shown: What such a folder looks like, for messages.
    """

    name: str
    holds: tuple[str, ...]
    home: Callable[[Path], Path | None]
    read: Callable[[Path, Wanted], Contents]
    shown: str


def plain(name: str) -> str:
    """A class name for comparison: `Night_Stand`, `night-stand` and `night stand` are the same."""
    return name.replace("_", " ").replace("-", " ").strip().lower()


def words(name: str) -> str:
    """A folder name as a label: underscores become spaces."""
    return name.replace("_", " ").strip()


def ordered(names: Iterable[str], labels: Sequence[str]) -> tuple[str, ...]:
    """Put class names into the order of a label set, under its spelling; names it does not have come last, sorted."""
    known = {plain(label): label for label in labels}
    place = {label: i for i, label in enumerate(labels)}
    found = {known.get(plain(name), words(name)) for name in names}
    return tuple(sorted(found, key=lambda label: (place.get(label, len(place)), label)))


def numbered(names: Iterable[str], labels: Sequence[str]) -> dict[str, int]:
    """Number of the label of each class name, whatever its spelling; names without a label are left out."""
    place = {plain(label): i for i, label in enumerate(labels)}
    return {name: place[plain(name)] for name in names if plain(name) in place}


def subfolders(folder: Path) -> list[Path]:
    """Folders inside a folder, sorted, without hidden ones and links that lead out of it."""
    home = folder.resolve()
    inside = (path for path in folder.iterdir() if not path.name.startswith(".") and path.is_dir())
    return sorted(path for path in inside if path.resolve() != home and path.resolve().is_relative_to(home))


def files(folder: Path, *suffixes: str) -> list[Path]:
    """Files of a folder with one of the suffixes, sorted, without hidden ones and links that lead out of it."""
    if not folder.is_dir():
        return []
    home = folder.resolve()
    inside = (path for path in folder.iterdir() if path.suffix.lower() in suffixes and not path.name.startswith("."))
    return sorted(path for path in inside if path.is_file() and path.resolve().is_relative_to(home))


def inside(home: Path, name: str) -> Path:
    """A file that a list names, which must lie in the data set.

    Raises:
        FileFormatError: If it leads out of the folder.
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
    """The lines of a list file that are not empty, at most `Limits.list_bytes` of them.

    Raises:
        FileFormatError: If the file is absent, too large or not UTF-8.
    """
    try:
        return [line.strip() for line in read_list(path).decode("utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path.name!r} is not UTF-8 (byte {error.start}). Convert it.") from error


def read_json(path: Path, data: bytes | None = None) -> Any:  # noqa: ANN401 - anything may stand in a file
    """A JSON file, at most `Limits.list_bytes`; or the bytes given, under the file's name.

    Raises:
        FileFormatError: If the file is absent, too large or not JSON.
    """
    try:
        return json.loads(read_list(path) if data is None else data)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{path.name!r} is not JSON in UTF-8: {error}. Download it again.") from error


def item(home: Path, path: Path, label: int, row: int | None = None) -> Item:
    """An item named by its path below the home folder."""
    end = "" if row is None else f"#{row}"
    return Item(f"{path.relative_to(home).as_posix()}{end}", label, f"{path}{end}")


def read_list(path: Path) -> bytes:
    """The content of a list file, unpacked where its name ends in `.gz`, at most `Limits.list_bytes`.

    Raises:
        FileFormatError: If it is no file, a link that leads out of its folder, too large, or not packed as its name says.
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
