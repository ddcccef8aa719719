"""Open a data set folder as a benchmark: detect its layout, read one split, compare it with its data card."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from basrelief.datasets.benchmark import Benchmark
from basrelief.datasets.card import DatasetCard, dataset_card, list_datasets
from basrelief.datasets.layouts.base import Contents, Layout, Wanted, plain, subfolders
from basrelief.datasets.layouts.registry import LAYOUTS
from basrelief.errors import ConfigError, unknown_choice
from basrelief.geometry import UP_AXES
from basrelief.io.load import AUTO
from basrelief.limits import limits
from basrelief.types import Finding

FOLDER = "folder"
"""Name for any folder of class folders, whatever a card might say of it."""

SPLITS = ("train", "val", "test")
_SHOWN = 5


def open_benchmark(
    root: str | Path,
    name: str | None = None,
    *,
    split: str = "test",
    variant: str | None = None,
    up: str | None = None,
    strict: bool = True,
) -> Benchmark:
    """Open a data set as it was unpacked; files are not converted.

    Args:
        root: The folder that was unpacked.
        name: Name of a data card, `folder` for any folder of class folders, or None to find out.
        split: `train`, `val` or `test`; files that know no split give all they have.
        variant: Which of several, e.g. `PB_T50_RS`; the card's default when None.
        up: Up axis of the files, one of `UP_AXES` or `auto`; that of the layout when None.
        strict: Whether labels or counts that are not the card's are an error; otherwise they are findings.

    Raises:
        ConfigError: If a name or axis is unknown or the name is that of a data set of scans; if the folder is no layout that can be read,
            has no such split or variant, or, when strict, does not hold what the data card says.
        FileFormatError: If a list or label file is broken.
    """
    folder = Path(root)
    if name is not None and name not in (*list_datasets(), FOLDER):
        raise ConfigError(unknown_choice("dataset", name, (*list_datasets(), FOLDER)))
    if name is not None and name != FOLDER and dataset_card(name).kind == "scans":
        raise ConfigError(f"{name!r} is a data set of scans, which have many objects each. Use basrelief.datasets.open_scans.")
    if split not in SPLITS:
        raise ConfigError(unknown_choice("split", split, SPLITS))
    if up not in (None, AUTO, *UP_AXES):
        raise ConfigError(unknown_choice("up axis", str(up), (AUTO, *UP_AXES)))
    if not folder.is_dir():
        raise ConfigError(f"{str(root)!r} is not a folder. Pass the folder of the unpacked data set.")
    layout, home = _layout(folder, name)
    found = layout.read(home, Wanted("" if name in (None, FOLDER) else str(name), split, variant or ""))
    found = found if up is None else replace(found, up=up, up_reason="given by the caller")
    card = dataset_card(found.name) if found.name in list_datasets() and name != FOLDER else None
    findings = (Finding("layout", "ok", f"{layout.name}: {layout.shown}."), *_findings(found, card, home))
    if strict and (wrong := next((finding for finding in findings if finding.level == "wrong"), None)):
        raise ConfigError(f"The data set does not match its card: {wrong.fact} {wrong.remedy}")
    return Benchmark(
        name=(card.name if card else folder.resolve().name) or "folder",
        layout=layout.name,
        variant=found.variant,
        split=found.split,
        root=folder,
        labels=found.labels,
        items=found.items,
        up=found.up,
        up_reason=found.up_reason,
        findings=findings,
        kind=found.kind,
    )


def _layout(folder: Path, name: str | None) -> tuple[Layout, Path]:
    """The first layout that fits and can hold the data set; a folder that holds nothing but one other folder is that one."""
    any_data = {None: tuple(LAYOUTS), FOLDER: ("class-folders",)}.get(name, ("opendlign-depth-maps",))
    wanted = [layout for layout in LAYOUTS.values() if layout.name in any_data or name in layout.holds]
    place = folder
    for _ in range(limits().nesting):
        for layout in wanted:
            home = layout.home(place)
            if home is not None:
                return layout, home
        if len(inner := subfolders(place)) != 1:
            break
        place = inner[0]
    shown = "; ".join(layout.shown for layout in wanted)
    raise ConfigError(f"{folder.name!r} does not look like {name or 'a data set'}. Looked for: {shown}.")


def _findings(found: Contents, card: DatasetCard | None, home: Path) -> Iterator[Finding]:
    which = " ".join(filter(None, (found.variant, found.split)))
    yield Finding("split", "ok", f"{len(found.items):,} shapes of {len(found.labels)} classes, {which}.")
    yield Finding("up axis", "ok", f"{found.up or 'by format'}: {found.up_reason}.")
    for note in found.notes:
        yield Finding("content", "warning", note, "Fetch what is missing if the figure is to be the paper's.")
    if card is None:
        yield Finding("data card", "warning", "There is no data card for it: labels and counts cannot be checked.", "Look at a few shapes.")
        return
    yield from _labels(found, card)
    yield from _counts(found, card)
    yield from _checksums(card, home)


def _labels(found: Contents, card: DatasetCard) -> Iterator[Finding]:
    expected = card.class_names
    if not expected:
        fact = f"{len(found.labels):,} classes, {card.classes:,} expected ({card.title})."
        same = len(found.labels) == card.classes
        yield (
            Finding("labels", "ok", fact) if same else Finding("labels", "wrong", fact, "Take the whole list, or accept it with --partial.")
        )
        return
    ours, theirs = [plain(label) for label in found.labels], [plain(label) for label in expected]
    extra = [label for label in found.labels if plain(label) not in theirs]
    missing = [label for label in expected if plain(label) not in ours]
    if extra or missing:
        fact = f"{_listed('not in', extra)}{_listed('missing from', missing)}the {len(expected)} labels of {card.title}."
        yield Finding("labels", "wrong", fact, "Name the right data set, unpack all of it, or accept it with --partial.")
    elif ours != theirs:
        first = next(i for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b)
        fact = f"class {first} is {found.labels[first]!r}, {expected[first]!r} expected: another class order than {card.title}'s."
        if found.by_number:
            yield Finding("class order", "wrong", fact, "Every label would be wrong: fetch the list of names that belongs to the files.")
        else:
            yield Finding("class order", "ok", f"{fact} Labels are taken by name, so nothing is lost.")
    else:
        yield Finding("labels", "ok", f"The {len(expected)} labels of {card.title}, in its order.")


def _listed(how: str, labels: list[str]) -> str:
    if not labels:
        return ""
    more = f" and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else ""
    return f"{', '.join(map(repr, labels[:_SHOWN]))}{more} {how} "


def _counts(found: Contents, card: DatasetCard) -> Iterator[Finding]:
    expected = card.count(found.variant.partition("@")[0], found.split)
    if expected is None:
        fact = f"{len(found.items):,} shapes; how many {found.variant or card.title} {found.split} should have is not known."
        yield Finding("count", "warning", fact, "Compare it with the paper you follow.")
    elif expected != len(found.items):
        fact = f"{len(found.items):,} shapes, {expected:,} expected in {card.title} {found.variant} {found.split}.".replace("  ", " ")
        yield Finding("count", "wrong", fact, "Unpack all of it, check variant and split, or accept it with --partial.")
    else:
        yield Finding("count", "ok", f"{expected:,} shapes, as expected.")


def _checksums(card: DatasetCard, home: Path) -> Iterator[Finding]:
    for name, expected in card.checksums.items():
        path = home / name
        if path.is_file():
            with path.open("rb") as file:
                actual = hashlib.file_digest(file, "sha256").hexdigest()
            if actual != expected:
                yield Finding("checksum", "wrong", f"{name} has SHA-256 {actual[:12]}, {expected[:12]} expected.", "Fetch it again.")
