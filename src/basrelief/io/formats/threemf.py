"""3MF (core specification 1.3, parts in other files of the archive, base colours)."""

from __future__ import annotations

import dataclasses
import zipfile
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from basrelief.errors import FileFormatError
from basrelief.io.archive import open_archive, read_member
from basrelief.io.checks import check_count
from basrelief.io.formats.threemf_paint import GROUPS, NO_PAINT, PAINTS, Paints
from basrelief.io.graph import count_instances
from basrelief.io.mesh import check_size, join_parts
from basrelief.io.source import RawShape, Source
from basrelief.io.textures import Textures
from basrelief.io.xml import each_element
from basrelief.limits import limits

_ROOT = "3d/3dmodel.model"  # unless a relationship names another
_RELATIONS = "_rels/.rels"
_SUPPORTS = ("support", "solidsupport")  # types of objects that are no part of the shape

Use = tuple[str, np.ndarray]  # the key of an object, and its transform


@dataclass(slots=True)
class _Object:
    """An object: three numbers per vertex and triangle, and three paints per triangle."""

    vertices: array[float] = field(default_factory=lambda: array("d"))
    triangles: array[int] = field(default_factory=lambda: array("i"))
    paints: array[int] = field(default_factory=lambda: array("i"))
    uses: list[Use] = field(default_factory=list)
    group: str = ""
    paint: int = NO_PAINT
    name: str = ""
    hidden: bool = False


@dataclass(slots=True)
class _Package:
    """The contents of all models in an archive."""

    objects: dict[str, _Object] = field(default_factory=dict)
    items: list[Use] = field(default_factory=list)
    paints: Paints = field(default_factory=Paints)


def read_3mf(source: Source) -> RawShape:
    """Read 3MF: the objects of its build with transforms applied, without supports, and the colours and textures of triangles.

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
        textures = Textures()
        members = {_key(name): name for name in archive.namelist()}
        parts = {
            key: _parts(package, key, lambda name: read_member(archive, members[_key(name)]), textures)
            for key in dict.fromkeys(key for key, _ in instances)
        }
    if not parts:
        raise FileFormatError(f"The build of {source.path.name} contains no triangles. Check the export settings.")
    check_size(source.path, [(1, len(part["vertices"]), len(part["faces"])) for key, _ in instances for part in parts[key]])
    raw = join_parts([(part, matrix) for key, matrix in instances for part in parts[key]], with_faces=True)
    notes = (*raw.notes, *textures.notes)
    return dataclasses.replace(raw, up="z", up_reason="3MF is +Z up by its specification", notes=notes)


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
            paint = self._object.paint
            self._object.paints.extend(self._paints(attribute) if "p1" in attribute or "pid" in attribute else (paint, paint, paint))
        elif tag in PAINTS:
            self._package.paints.add(tag, attribute)
        else:
            self._take_other(tag, attribute)

    def _take_other(self, tag: str, attribute: Mapping[str, str]) -> None:
        if tag not in ("object", "component", "item", "texture2d", *GROUPS):
            return
        self._left -= 1
        if self._left < 0:
            check_count(self._path, limits().instances + 1, limits().instances, of="objects and components")
        if tag == "object":
            self._object = _Object(group=attribute.get("pid", ""), name=attribute.get("name", ""))
            self._object.hidden = attribute.get("type") in _SUPPORTS
            self._object.paint = self._find(self._object.group, attribute.get("pindex", ""))
            self._package.objects[f"{self._name}#{attribute['id']}"] = self._object
        elif tag == "component":
            self._object.uses.append(_use(self._name, attribute))
        elif tag == "texture2d":
            self._package.paints.add_texture(self._name, attribute)
        elif tag != "item":
            self._package.paints.open_group(self._name, attribute)
        elif self._root:
            self._package.items.append(_use(self._name, attribute))

    def _paints(self, attribute: Mapping[str, str]) -> tuple[int, int, int]:
        """Return the paints of a triangle's corners, by its own group or that of its object; all are the first where others are absent."""
        group, first = attribute.get("pid", self._object.group), attribute.get("p1", "")
        paint = self._find(group, first)
        if attribute.get("p2", first) == first == attribute.get("p3", first):
            return paint, paint, paint
        return paint, self._find(group, attribute.get("p2", first)), self._find(group, attribute.get("p3", first))

    def _find(self, group: str, index: str) -> int:
        return self._package.paints.find(f"{self._name}#{group}", index)


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


def _parts(package: _Package, key: str, read: Callable[[str], bytes], textures: Textures) -> list[dict[str, Any]]:
    thing = package.objects[key]
    part: dict[str, Any] = {
        "vertices": np.frombuffer(thing.vertices, dtype=np.float64).reshape(-1, 3),
        "faces": np.frombuffer(thing.triangles, dtype=np.int32).reshape(-1, 3),
        "name": thing.name,
        "hidden": thing.hidden,
    }
    return list(package.paints.parts(part, np.frombuffer(thing.paints, dtype=np.int32).reshape(-1, 3), read, textures))
