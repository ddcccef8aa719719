"""Side files of a shape (buffers, materials, textures), found without loading the shape."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from html import unescape
from itertools import islice
from pathlib import Path
from types import MappingProxyType

from basrelief.errors import BasreliefError
from basrelief.io.formats.gltf_header import json_span, parse_header
from basrelief.io.formats.mtl import library_names, parse_materials
from basrelief.io.formats.obj_materials import find_libraries
from basrelief.io.formats.ply_header import read_header
from basrelief.io.resolver import FolderResolver
from basrelief.limits import limits

_GLB_PREFIX = 20
_PLY_HEADER = 1 << 16


def side_files(path: str | os.PathLike[str]) -> tuple[Path, ...]:
    """List the files beside a shape that loading it reads: buffers, materials and textures.

    Names come from each `uri` of glTF, `mtllib` of OBJ and the images of its materials, `init_from` of COLLADA, `TextureFile` of PLY.
    The shape file together with these files determines the result of `load`.

    Args:
        path: A shape file. For a missing or broken one the result holds what could still be found.

    Returns:
        Existing regular files inside the folder of the shape, each once, in the order of their first mention; links are not followed, at
        most `Limits.side_files`. Empty for formats that hold all their data.
    """
    file = Path(path)
    resolver = FolderResolver(file.parent)
    found: dict[Path, None] = {}
    find_names = _NAMES.get(file.suffix.lower())
    if find_names is None or not file.is_file():
        return ()
    try:
        for name in islice(find_names(file, resolver), limits().side_files):
            _add(found, resolver, name)
    except Exception:  # a broken file raises whatever its parser raises; `load` reports it
        return tuple(found)
    return tuple(found)


def _add(found: dict[Path, None], resolver: FolderResolver, name: str) -> None:
    try:
        side = resolver.find(name, similar=True)
    except BasreliefError:
        return
    if side is not None:
        found[side] = None


def _gltf_names(path: Path, _resolver: FolderResolver) -> Iterator[str]:
    with path.open("rb") as file:
        start, end = json_span(path, file.read(_GLB_PREFIX)) if path.suffix.lower() == ".glb" else (0, limits().text_bytes)
        file.seek(start)
        header = parse_header(path, file.read(min(end - start, limits().text_bytes)))
    for entry in (*header.get("buffers", []), *header.get("images", [])):
        uri = entry.get("uri", "data:")
        if not uri.startswith("data:"):
            yield uri


def _obj_names(path: Path, resolver: FolderResolver) -> Iterator[str]:
    with path.open("rb") as file:
        libraries = list(library_names(file.read(limits().text_bytes)))
    for name, data in find_libraries(path, resolver, libraries):
        yield name
        materials = {} if data is None else parse_materials(data)
        yield from (image.name for material in materials.values() for image in material.maps.values())


def _dae_names(path: Path, _resolver: FolderResolver) -> Iterator[str]:
    with path.open("rb") as file:
        data = file.read(limits().xml_bytes)
    at = data.find(b"init_from")
    while at >= 0:
        start = data.find(b">", at, at + 200) + 1
        end = data.find(b"<", start, start + 4096) if start else -1
        if end > start:
            yield unescape(data[start:end].decode(errors="replace"))
        at = data.find(b"init_from", max(end, at + 9))


def _ply_names(path: Path, _resolver: FolderResolver) -> Iterator[str]:
    with path.open("rb") as file:
        yield from read_header(path, file.read(_PLY_HEADER)).textures


_NAMES: Mapping[str, Callable[[Path, FolderResolver], Iterator[str]]] = MappingProxyType(
    {".gltf": _gltf_names, ".glb": _gltf_names, ".obj": _obj_names, ".dae": _dae_names, ".ply": _ply_names}
)
