"""Which scans of ScanNet belong to a split: the user's list, else the published validation list, stored as data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path

from basrelief.datasets.layouts.base import read_lines
from basrelief.datasets.scans.scan_set import ScanItem
from basrelief.types import Finding

_FOLDERS = (".", "Tasks/Benchmark", "meta_data", "scannet/meta_data")


@cache
def published_val() -> tuple[str, ...]:
    """Return the ids of the 312 validation scans of ScanNet v2, in the order of `scannetv2_val.txt`."""
    return tuple(_record()["val"])


@cache
def _record() -> Mapping[str, Sequence[str]]:
    text = (resources.files("basrelief.datasets") / "splits" / "scannet.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


def choose_scans(home: Path, split: str, found: Mapping[str, ScanItem]) -> tuple[tuple[ScanItem, ...], tuple[Finding, ...]]:
    """Choose the scans of a split of ScanNet among those on disk.

    Args:
        home: Folder that may hold `scannetv2_{train,val,test}.txt`, itself, in `Tasks/Benchmark` or in `meta_data`.
        split: `train`, `val` or `test`.
        found: Scans on disk by id.

    Returns:
        The scans in the order of the list, and findings. Without a list, `val` follows the published one and `train` is all other scans.

    Raises:
        FileFormatError: If a list is broken.
    """
    listed = next((path for folder in _FOLDERS if (path := home / folder / f"scannetv2_{split}.txt").is_file()), None)
    if listed is not None:
        ids = read_lines(listed)
        same = split == "val" and _sha256(ids) == _record()["sha256"]
        source = f"{listed.name} of this copy{', the published list' if same else ''}"
        changed = split == "val" and not same
    else:
        ids = list(published_val()) if split == "val" else sorted(set(found).difference(published_val()))
        source = "the published list" if split == "val" else "all scans that are not of the val split"
        changed = False
    scans = tuple(found[name] for name in dict.fromkeys(ids) if name in found)
    fact = f"{len(scans)} of {len(ids)} scans of {split} are on disk, by {source}."
    findings = [Finding("split", "ok", fact)]
    if len(scans) < len(ids):
        findings = [Finding("split", "warning", fact, "Unpack the others if the figure is to be that of the whole split.")]
    if changed:
        findings.append(
            Finding("split", "warning", f"{source} is not the published validation list.", "Figures do not compare with published ones.")
        )
    return scans, tuple(findings)


def _sha256(ids: Sequence[str]) -> str:
    return hashlib.sha256("".join(f"{name}\n" for name in ids).encode()).hexdigest()
