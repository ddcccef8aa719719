"""3MF (core specification 1.3, parts in other files of the archive, base colours)."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from basrelief.errors import FileFormatError
from basrelief.io.archive import check_archive
from basrelief.io.checks import check_count
from basrelief.io.graph import count_instances
from basrelief.io.mesh import UNCOLORED, join_parts
from basrelief.io.source import Raw, Source
from basrelief.io.xml import local_name, walk_xml
from basrelief.limits import limits

_ROOT = "3d/3dmodel.model"

Use = tuple[str, np.ndarray]  # the key of an object, and where it is put
Paint = tuple[str, str]  # the key of a group of colours, and which of them


@dataclass
class _Object:
    vertices: list[tuple[str, str, str]] = field(default_factory=list)
    triangles: list[tuple[str, str, str]] = field(default_factory=list)
    uses: list[Use] = field(default_factory=list)
    color: Paint = ("", "")
    paints: list[Paint] = field(default_factory=list)


@dataclass
class _Package:
    objects: dict[str, _Object] = field(default_factory=dict)
    items: list[Use] = field(default_factory=list)
    colors: dict[str, list[str]] = field(default_factory=dict)


def read_3mf(source: Source) -> Raw:
    """Read 3MF: the objects that its build lists, in place, with the colours of objects and triangles.

    Args:
        source: The file.

    Returns:
        Vertices and faces, +Z up as the specification says.

    Raises:
        FileFormatError: If there is no model, or the archive, its XML or its components would unfold to more than the limits.
    """
    package = _Package()
    with zipfile.ZipFile(source.path) as archive:
        check_archive(source.path, archive)
        models = [name for name in archive.namelist() if name.lower().endswith(".model")]
        if not any(name.lower().lstrip("/") == _ROOT for name in models):
            raise FileFormatError(f"path must hold 3D/3dmodel.model, but got {source.path.name} without. Export it again as 3MF.")
        for name in models:
            _read_model(source.path, name.lower().strip("/"), archive.read(name), package)
    uses = {key: [used for used, _ in thing.uses] for key, thing in package.objects.items()}
    count_instances(source.path, uses, [key for key, _ in package.items])
    placed = list(_unfolded(package))
    check_count(source.path, sum(len(package.objects[key].vertices) for key, _ in placed), limits().points, of="vertices")
    check_count(source.path, sum(len(package.objects[key].triangles) for key, _ in placed), limits().faces, of="faces")
    parts = {key: _part(package, key) for key in dict.fromkeys(key for key, _ in placed)}
    if not parts:
        raise FileFormatError(f"path must hold triangles, but got {source.path.name} without any in its build. Check the export.")
    raw = join_parts([(parts[key], matrix) for key, matrix in placed], with_faces=True)
    return Raw(points=raw.points, faces=raw.faces, colors=raw.colors, up="z", up_reason="3MF is +Z up by its specification")


def _read_model(path: Path, name: str, data: bytes, package: _Package) -> None:
    """Collect the objects, colours and build items of one model file; the build of the root file alone counts."""
    current, group = _Object(), ""
    for event, element in walk_xml(path, data):
        if event == "end":
            continue
        tag, attribute = local_name(element), element.attrib
        if tag == "vertex":
            current.vertices.append((attribute["x"], attribute["y"], attribute["z"]))
        elif tag == "triangle":
            current.triangles.append((attribute["v1"], attribute["v2"], attribute["v3"]))
            current.paints.append(_paint(name, attribute, current.color))
        elif tag == "object":
            current = package.objects[f"{name}#{attribute['id']}"] = _Object()
            current.color = (f"{name}#{attribute.get('pid', '')}", attribute.get("pindex", ""))
        elif tag == "component":
            current.uses.append(_use(name, attribute))
        elif tag == "item" and name == _ROOT:
            package.items.append(_use(name, attribute))
        elif tag in ("basematerials", "colorgroup"):
            group = f"{name}#{attribute['id']}"
        elif tag in ("base", "color"):
            package.colors.setdefault(group, []).append(attribute.get("displaycolor") or attribute.get("color", ""))


def _paint(name: str, attribute: Mapping[str, str], default: Paint) -> Paint:
    """Find the colour of a triangle's first corner: its own, or that of its object."""
    if "pid" not in attribute and "p1" not in attribute:
        return default
    return (f"{name}#{attribute['pid']}" if "pid" in attribute else default[0]), attribute.get("p1", "")


def _use(name: str, attribute: Mapping[str, str]) -> Use:
    other = next((value for key, value in attribute.items() if key.rpartition("}")[2] == "path"), name)
    matrix = np.eye(4)
    if "transform" in attribute:
        matrix[:3] = np.array(attribute["transform"].split(), dtype=np.float64).reshape(4, 3).T
    return f"{other.lower().strip('/')}#{attribute['objectid']}", matrix


def _unfolded(package: _Package) -> Iterator[Use]:
    """Walk from the build through components to the objects that hold triangles."""
    waiting = list(package.items)
    while waiting:
        key, matrix = waiting.pop()
        if key not in package.objects:
            continue
        if package.objects[key].triangles:
            yield key, matrix
        waiting.extend((used, matrix @ inner) for used, inner in package.objects[key].uses)


def _part(package: _Package, key: str) -> dict[str, Any]:
    thing = package.objects[key]
    part: dict[str, Any] = {"vertices": np.array(thing.vertices, dtype=np.float64), "faces": np.array(thing.triangles, dtype=np.int64)}
    shades = {paint: _rgb(package, paint) for paint in set(thing.paints)}
    if any(shade is not None for shade in shades.values()):
        part["face_colors"] = np.array([shades[paint] or UNCOLORED for paint in thing.paints])
    return part


def _rgb(package: _Package, paint: Paint) -> tuple[float, ...] | None:
    """Look a colour up, as fractions; one that is absent or broken is None."""
    group, index = paint
    colors = package.colors.get(group, [])
    try:
        return tuple(part / 255 for part in bytes.fromhex(colors[int(index)].lstrip("#"))[:3])
    except (IndexError, ValueError):
        return None
