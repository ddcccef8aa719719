"""The XML formats, 3MF and COLLADA (.dae): guarded against bombs, then parsed by trimesh."""

from __future__ import annotations

import dataclasses
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from basrelief.errors import FileFormatError
from basrelief.io.graph import count_instances
from basrelief.io.limits import MAX_NESTING, MAX_PACKING_RATIO, MAX_UNPACKED_BYTES, MAX_XML_BYTES, check_count
from basrelief.io.mesh import parse
from basrelief.io.source import Raw, Source

_SMALL = 1 << 20  # below this a packing ratio says nothing
_UP_AXIS = {"X_UP": "x", "Y_UP": "y", "Z_UP": "z"}


def read_3mf(source: Source) -> Raw:
    """Read 3MF: the objects that its build lists, in place.

    Args:
        source: The file.

    Returns:
        Vertices and faces, +Z up as the specification says.

    Raises:
        FileFormatError: If the archive or its XML would unfold to more than the limits.
    """
    data = source.read()
    children: dict[str, list[str]] = defaultdict(list)
    roots: list[str] = []
    with zipfile.ZipFile(BytesIO(data)) as archive:
        check_archive(source.path, archive)
        for name in (name for name in archive.namelist() if name.lower().endswith(".model")):
            for owner, used in _references(
                source.path, archive.read(name), owner_tag="object", use_tags=("component", "item"), attribute="objectid"
            ):
                (children[owner] if owner else roots).append(used)
    count_instances(source.path, children, roots)
    return dataclasses.replace(parse(source, data), up="z", up_reason="3MF is +Z up by its specification")


def read_dae(source: Source) -> Raw:
    """Read COLLADA: the geometry of its scene, in place.

    Args:
        source: The file.

    Returns:
        Vertices and faces; the up axis is that of `<up_axis>`, +Y when absent, as the specification says.

    Raises:
        FileFormatError: If the XML would unfold to more than the limits.
    """
    data = source.read()
    children: dict[str, list[str]] = defaultdict(list)
    roots: list[str] = []
    for owner, used in _references(source.path, data, owner_tag="node", use_tags=("instance_node",), attribute="url"):
        (children[owner] if owner else roots).append(used.lstrip("#"))
    count_instances(source.path, children, [*roots, *children])
    stated = re.search(rb"<(?:\w+:)?up_axis>\s*(\w+)\s*<", data)
    axis = _UP_AXIS.get(stated[1].decode() if stated else "Y_UP", "y")
    reason = f"<up_axis> of the file is {stated[1].decode()}" if stated else "COLLADA is +Y up when it has no <up_axis>"
    return dataclasses.replace(parse(source, data), up=axis, up_reason=reason)


def check_archive(path: Path, archive: zipfile.ZipFile) -> None:
    """Check the directory of a ZIP archive before anything is unpacked.

    Args:
        path: The file, for messages.
        archive: The open archive.

    Raises:
        FileFormatError: If its members are declared too large, or packed so tightly that they are a bomb.
    """
    check_count(path, sum(member.file_size for member in archive.infolist()), MAX_UNPACKED_BYTES, of="bytes when unpacked")
    for member in archive.infolist():
        if member.file_size > _SMALL and member.file_size > MAX_PACKING_RATIO * member.compress_size:
            raise FileFormatError(
                f"path must be packed at most {MAX_PACKING_RATIO} to 1, but got {member.filename!r} in {path.name}, a ZIP bomb. "
                "Do not open it."
            )


def _references(path: Path, data: bytes, *, owner_tag: str, use_tags: tuple[str, ...], attribute: str) -> Iterator[tuple[str, str]]:
    """List who refers to whom: (`id` of the nearest owner above or "", the value of the attribute)."""
    from lxml import etree

    check_count(path, len(data), MAX_XML_BYTES, of="bytes of XML")
    if re.search(rb"<!\s*(?:DOCTYPE|ENTITY)", data.replace(b"\0", b""), re.IGNORECASE):
        raise FileFormatError(f"path must hold XML without DOCTYPE and entities, but got {path.name} with them. Export it again.")
    above: list[str] = []
    depth = 0
    for event, element in etree.iterparse(BytesIO(data), events=("start", "end"), resolve_entities=False, no_network=True, huge_tree=True):
        name = etree.QName(element).localname
        if event == "start":
            depth += 1
            check_count(path, depth, MAX_NESTING, of="levels of XML")
            if name in use_tags and attribute in element.attrib:
                yield (above[-1] if above else ""), element.attrib[attribute]
            if name == owner_tag:
                above.append(element.attrib.get("id", f"unnamed {len(above)}"))
        else:
            depth -= 1
            if name == owner_tag:
                above.pop()
            element.clear()
