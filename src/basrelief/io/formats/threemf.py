"""3MF (core specification 1.3, parts in other files of the archive, base colours)."""

from __future__ import annotations

import math
import zipfile
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from basrelief.errors import FileFormatError
from basrelief.io.archive import open_archive, read_member
from basrelief.io.checks import check_count
from basrelief.io.graph import count_instances
from basrelief.io.mesh import join_parts
from basrelief.io.source import RawShape, Source
from basrelief.io.surface import UNCOLORED
from basrelief.io.xml import each_element
from basrelief.limits import limits

_ROOT = "3d/3dmodel.model"  # unless a relationship names another
_RELATIONS = "_rels/.rels"
_NO_COLOR = -1

Use = tuple[str, np.ndarray]  # the key of an object, and its transform


@dataclass(slots=True)
class _Object:
    """An object: three numbers per vertex and triangle, and for each triangle the index of its colour."""

    vertices: array[float] = field(default_factory=lambda: array("d"))
    triangles: array[int] = field(default_factory=lambda: array("i"))
    paints: array[int] = field(default_factory=lambda: array("i"))
    uses: list[Use] = field(default_factory=list)
    group: str = ""
    paint: int = _NO_COLOR


@dataclass(slots=True)
class _Package:
    """The contents of all models in an archive; a colour group is a range of the list of all colours."""

    objects: dict[str, _Object] = field(default_factory=dict)
    items: list[Use] = field(default_factory=list)
    colors: array[float] = field(default_factory=lambda: array("f"))
    groups: dict[str, range] = field(default_factory=dict)


def read_3mf(source: Source) -> RawShape:
    """Read 3MF: the objects of its build with transforms applied, and the colours of objects and triangles.

    Args:
        source: The file.

    Returns:
        Vertices and faces, +Z up as the specification says.

    Raises:
        FileFormatError: If there is no model, or the archive, its XML or its components exceed the limits.
    """
    package = _Package()
    with open_archive(source.path) as archive:
        root = _root_name(source.path, archive)
        models = [name for name in archive.namelist() if name.lower().endswith(".model") or _key(name) == root]
        if root not in map(_key, models):
            raise FileFormatError(f"{source.path.name} has no 3D/3dmodel.model. Export it again as 3MF.")
        check_count(source.path, sum(archive.getinfo(name).file_size for name in models), limits().xml_bytes, of="bytes of XML")
        for name in models:
            model = _Model(source.path, _key(name), package, root=_key(name) == root)
            each_element(source.path, read_member(archive, name), model.take)
    instances = _instances(source.path, package)
    parts = {key: _part(package, key) for key in dict.fromkeys(key for key, _ in instances)}
    if not parts:
        raise FileFormatError(f"The build of {source.path.name} contains no triangles. Check the export settings.")
    raw = join_parts([(parts[key], matrix) for key, matrix in instances], with_faces=True)
    return RawShape(points=raw.points, faces=raw.faces, colors=raw.colors, up="z", up_reason="3MF is +Z up by its specification")


def _key(name: str) -> str:
    """Return a member name in lower case without the leading slash, as names are compared."""
    return name.lower().strip("/")


def _root_name(path: Path, archive: zipfile.ZipFile) -> str:
    """Return the key of the root model, which a relationship of the package names."""
    found: list[str] = []

    def take(_: str, attribute: Mapping[str, str]) -> None:
        if attribute.get("Type", "").endswith("/3dmodel"):
            found.append(_key(attribute.get("Target", "")))

    if _RELATIONS in archive.namelist():
        each_element(path, read_member(archive, _RELATIONS), take)
    names = set(map(_key, archive.namelist()))
    return next((name for name in found if name in names), _ROOT)


class _Model:
    """Collects the objects, colours and build items of one model file; only the root file's build counts."""

    def __init__(self, path: Path, name: str, package: _Package, *, root: bool) -> None:
        self._path, self._name, self._root = path, name, root
        self._package = package
        self._object = _Object()
        self._group = ""
        self._left = limits().instances  # objects, groups, components and items

    def take(self, tag: str, attribute: Mapping[str, str]) -> None:
        """Handle an element; vertices and triangles first, since they are the most frequent."""
        tag = tag.rpartition(":")[2]
        if tag == "vertex":
            if "z" not in attribute:  # of a slice
                return
            self._object.vertices.extend((float(attribute["x"]), float(attribute["y"]), float(attribute["z"])))
        elif tag == "triangle":
            self._object.triangles.extend((int(attribute["v1"]), int(attribute["v2"]), int(attribute["v3"])))
            self._object.paints.append(self._paint(attribute) if "p1" in attribute or "pid" in attribute else self._object.paint)
        elif tag in ("base", "color"):
            self._add_color(attribute.get("displaycolor") or attribute.get("color", ""))
        else:
            self._take_other(tag, attribute)

    def _take_other(self, tag: str, attribute: Mapping[str, str]) -> None:
        if tag not in ("object", "component", "item", "basematerials", "colorgroup"):
            return
        self._left -= 1
        if self._left < 0:
            check_count(self._path, limits().instances + 1, limits().instances, of="objects and components")
        if tag == "object":
            self._object = self._package.objects[f"{self._name}#{attribute['id']}"] = _Object(group=attribute.get("pid", ""))
            self._object.paint = self._place(self._object.group, attribute.get("pindex", ""))
        elif tag == "component":
            self._object.uses.append(_use(self._name, attribute))
        elif tag != "item":
            self._group = f"{self._name}#{attribute['id']}"
            self._package.groups[self._group] = range(len(self._package.colors) // 3, len(self._package.colors) // 3)
        elif self._root:
            self._package.items.append(_use(self._name, attribute))

    def _paint(self, attribute: Mapping[str, str]) -> int:
        """Return the colour index of a triangle's first corner: its own, or that of its object."""
        return self._place(attribute.get("pid", self._object.group), attribute.get("p1", ""))

    def _place(self, group: str, index: str) -> int:
        """Return the index of a colour among all colours, `_NO_COLOR` if it is missing or invalid."""
        places = self._package.groups.get(f"{self._name}#{group}", range(0))
        return places[int(index)] if index.isdecimal() and len(index) < 10 and int(index) < len(places) else _NO_COLOR

    def _add_color(self, text: str) -> None:
        try:
            red, green, blue = (part / 255 for part in bytes.fromhex(text.lstrip("#"))[:3])
        except ValueError:
            red = green = blue = math.nan
        self._package.colors.extend((red, green, blue))
        if self._group:
            self._package.groups[self._group] = range(self._package.groups[self._group].start, len(self._package.colors) // 3)


def _use(name: str, attribute: Mapping[str, str]) -> Use:
    other = next((value for key, value in attribute.items() if key.rpartition(":")[2] == "path"), name)
    matrix = np.eye(4)
    if "transform" in attribute:
        matrix[:3] = np.array(attribute["transform"].split(), dtype=np.float64).reshape(4, 3).T
    return f"{_key(other)}#{attribute['objectid']}", matrix


def _instances(path: Path, package: _Package) -> list[Use]:
    """List the objects that the build places, through components, after counting their total size."""
    uses = {key: [used for used, _ in thing.uses] for key, thing in package.objects.items()}
    count_instances(path, uses, [key for key, _ in package.items])
    instances = list(_walk_components(package))
    check_count(path, sum(len(package.objects[key].vertices) // 3 for key, _ in instances), limits().points, of="vertices")
    check_count(path, sum(len(package.objects[key].triangles) // 3 for key, _ in instances), limits().faces, of="faces")
    return instances


def _walk_components(package: _Package) -> Iterator[Use]:
    """Walk from the build through components to objects with triangles."""
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
    part: dict[str, Any] = {
        "vertices": np.frombuffer(thing.vertices, dtype=np.float64).reshape(-1, 3),
        "faces": np.frombuffer(thing.triangles, dtype=np.int32).reshape(-1, 3),
    }
    paints = np.frombuffer(thing.paints, dtype=np.int32)
    colors = np.frombuffer(package.colors, dtype=np.float32).reshape(-1, 3) if package.colors else np.full((1, 3), np.nan, np.float32)
    known = (paints != _NO_COLOR) & np.isfinite(colors[paints, 0])
    if known.any():
        part["face_colors"] = np.where(known[:, None], colors[paints], np.array(UNCOLORED, dtype=np.float32))
    return part
