"""ScanNet v2 as released: a folder for each scan, the table of labels, lists of the splits."""

from __future__ import annotations

import csv
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path

from basrelief.datasets.layouts.base import files, read_lines, subfolders
from basrelief.datasets.scans.classes import ScanClasses
from basrelief.datasets.scans.layout import ScanLayout
from basrelief.datasets.scans.scan_set import ScanItem
from basrelief.datasets.scans.scannet_scan import MESH, META, OBJECTS, SEGMENTS, beside, read_scannet_scan
from basrelief.datasets.scans.split_lists import choose_scans
from basrelief.errors import ConfigError, FileFormatError
from basrelief.io.checks import check_count
from basrelief.types import Finding

_FOLDERS = ("scans", "scans_test")
_MOST_LABELS = 100_000  # the published table has 607
_LABELS = "scannetv2-labels.combined.tsv"
_LABEL_FOLDERS = (".", "Tasks/Benchmark", "meta_data")


def _home(root: Path) -> Path | None:
    home = root.parent if root.name in _FOLDERS and not any((root / name).is_dir() for name in _FOLDERS) else root
    return home if next(_meshes(home), None) else None


def _meshes(home: Path) -> Iterator[Path]:
    """The meshes of all scans: each in a folder of its own, in `scans` or not, or all beside each other."""
    for folder in (home, *(home / name for name in _FOLDERS)):
        if folder.is_dir():
            yield from (path for path in files(folder, ".ply") if path.name.endswith(MESH))
            own = (inner / f"{inner.name}{MESH}" for inner in subfolders(folder))
            yield from (path for path in own if path.is_file() and path.resolve().is_relative_to(home.resolve()))


def _find(home: Path, split: str, classes: ScanClasses) -> tuple[tuple[ScanItem, ...], tuple[Finding, ...]]:
    numbers = _class_numbers(home)
    found: dict[str, ScanItem] = {}
    for mesh in _meshes(home):
        name = mesh.name.removesuffix(MESH)
        found.setdefault(name, ScanItem(name, mesh, functools.partial(read_scannet_scan, mesh, numbers, classes)))
    scans, findings = choose_scans(home, split, found)
    return scans, (*findings, *_missing_files(scans))


def _missing_files(scans: tuple[ScanItem, ...]) -> Iterator[Finding]:
    for suffix in (OBJECTS, SEGMENTS):
        if lacking := [scan.id for scan in scans if not beside(scan.path, suffix).is_file()]:
            fact = f"{len(lacking)} of {len(scans)} scans have no {suffix} file, e.g. {lacking[0]}."
            yield Finding("annotations", "wrong", fact, "Download them; scans of the test split are published without.")
    if lacking := [scan.id for scan in scans if not beside(scan.path, META).is_file()]:
        fact = f"{len(lacking)} of {len(scans)} scans have no {META} file with axisAlignment, e.g. {lacking[0]}."
        yield Finding("alignment", "warning", fact, "Download them: published boxes follow the walls.")


def _class_numbers(home: Path) -> Mapping[str, int]:
    """NYU40 numbers by raw category."""
    path = next((path for folder in _LABEL_FOLDERS if (path := home / folder / _LABELS).is_file()), None)
    if path is None:
        raise ConfigError(f"{home.name!r} has no {_LABELS}, which says the class of each annotation. Put it beside the scans.")
    lines = read_lines(path)
    check_count(path, len(lines), _MOST_LABELS, of="lines")
    try:
        rows = csv.DictReader(lines, delimiter="\t")
        pairs = [(row.get("raw_category"), row.get("nyu40id")) for row in rows]
        numbers = {raw: int(number) for raw, number in pairs if raw and number}
    except (csv.Error, ValueError) as error:
        raise FileFormatError(f"{path.name} cannot be read as a table: {error}. Download it again.") from error
    if not numbers:
        raise FileFormatError(f"{path.name} has no columns raw_category and nyu40id, separated by tabs. Download it again.")
    return numbers


RELEASE = ScanLayout("scannet-release", "scannet", _home, _find, "scans/ID/ID_vh_clean_2.ply and scannetv2-labels.combined.tsv")
