"""Find shape files in folders, and count files of other 3D formats."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from basrelief.io.load import FORMATS

UNREAD_FORMATS: Mapping[str, str] = MappingProxyType(
    {
        "3dm": "Rhino",
        "3ds": "3D Studio",
        "abc": "Alembic",
        "amf": "AMF",
        "blend": "Blender",
        "bvh": "motion capture",
        "c4d": "Cinema 4D",
        "catpart": "CATIA",
        "ctm": "OpenCTM",
        "drc": "Draco",
        "dwg": "AutoCAD",
        "dxf": "AutoCAD",
        "e57": "E57 scans",
        "f3d": "Fusion",
        "fcstd": "FreeCAD",
        "ifc": "IFC buildings",
        "ipt": "Inventor",
        "lwo": "LightWave",
        "ma": "Maya",
        "max": "3ds Max",
        "mb": "Maya",
        "md2": "Quake II",
        "md3": "Quake III",
        "ms3d": "MilkShape",
        "nif": "NetImmerse",
        "prt": "CAD part",
        "scad": "OpenSCAD",
        "sldprt": "SolidWorks",
        "skp": "SketchUp",
        "splat": "Gaussian splats",
        "spz": "Gaussian splats",
        "vox": "MagicaVoxel",
        "vrm": "VRM avatars",
        "wrl": "VRML",
        "x3d": "X3D",
        "zpr": "ZBrush",
        "ztl": "ZBrush",
    }
)
"""Programs and formats of 3D files that are not read, by suffix."""


def find_shapes(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Replace folders by the shape files in them.

    Args:
        paths: Files and folders. A path that is not a folder is kept, so that reading it reports what is wrong.

    Returns:
        Each path once, in the given order, the content of a folder sorted. Hidden files, links that leave the folder, pipes, devices, and
        .txt files that do not begin with three numbers are skipped. Folders and files without read permission are kept, too.
    """
    found: dict[Path, None] = {}
    for path in map(Path, paths):
        found.update(dict.fromkeys(sorted(_inside(path)) if _is_folder(path) else [path]))
    return list(found)


def count_unread(paths: Iterable[str | os.PathLike[str]]) -> dict[str, int]:
    """Count the 3D files in folders whose formats are not read.

    Args:
        paths: Files and folders; only folders are looked into, as by `find_shapes`.

    Returns:
        Number of files by suffix without the dot, the most frequent first.
    """
    counts = Counter[str]()
    for folder in filter(_is_folder, map(Path, paths)):
        for _, folders, names in os.walk(folder):
            folders[:] = [name for name in folders if not name.startswith(".")]
            suffixes = (name.rpartition(".")[2].lower() for name in names if not name.startswith("."))
            counts.update(suffix for suffix in suffixes if suffix in UNREAD_FORMATS)
    return dict(counts.most_common())


def unread_note(counts: Mapping[str, int]) -> str:
    """Return a sentence about files of formats that are not read; empty if there are none.

    Args:
        counts: From `count_unread`.

    Example:
        >>> from basrelief.io import unread_note
        >>> unread_note({"blend": 4, "max": 1})
        '5 files are of formats that are not read: 4 .blend (Blender), 1 .max (3ds Max). Export them as .glb.'
    """
    total = sum(counts.values())
    if not total:
        return ""
    named = ", ".join(f"{count:,} .{suffix} ({UNREAD_FORMATS[suffix]})" for suffix, count in counts.items())
    return f"{total:,} {'file is' if total == 1 else 'files are'} of formats that are not read: {named}. Export them as .glb."


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # no permission
        return False


def _inside(folder: Path) -> Iterator[Path]:
    home = folder.resolve()
    unlisted: list[OSError] = []
    for here, folders, names in os.walk(folder, onerror=unlisted.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for file in (Path(here, name) for name in names if not name.startswith(".")):
            if file.suffix.lower().lstrip(".") in FORMATS and _is_inside(file, home) and _is_points(file):
                yield file
    yield from (Path(error.filename) for error in unlisted)


def _is_inside(file: Path, home: Path) -> bool:
    try:
        return file.is_file() and file.resolve().is_relative_to(home)
    except OSError:  # no permission; reading the file reports it
        return True


def _is_points(file: Path) -> bool:
    """Return whether the first line of a .txt file looks like points rather than text; True for other suffixes."""
    if file.suffix.lower() != ".txt":
        return True
    try:
        with file.open("rb") as lines:
            words = lines.readline(4096).replace(b",", b" ").replace(b";", b" ").split()
        return len([float(word) for word in words]) >= 3
    except (OSError, ValueError):
        return False


def file_size(path: Path) -> int:
    """Return the size of a file in bytes, for its deadline; 0 if there is none, so that reading it says why."""
    try:
        return path.stat().st_size
    except (OSError, ValueError):
        return 0
