"""Material libraries of Wavefront .obj: base colours and textures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

from basrelief.limits import limits

_LIBRARY = b"mtllib"


@dataclass(frozen=True)
class Material:
    """A material of an .mtl file.

    Attributes:
        color: Diffuse colour `Kd`, sRGB in [0, 1], or None.
        texture: Name of the image `map_Kd`, or empty.
    """

    color: tuple[float, float, float] | None = None
    texture: str = ""


def library_names(data: bytes) -> Iterator[str]:
    """Yield the material libraries that an .obj file names, in order.

    Args:
        data: The content of the file.

    Yields:
        The name after each `mtllib`, at most `Limits.side_files` of them.
    """
    for at in islice(_occurrences(data), limits().side_files):
        if not data[data.rfind(b"\n", max(at - 80, 0), at) + 1 if at else 0 : at].strip():
            end = data.find(b"\n", at, at + 4096)
            yield data[at + len(_LIBRARY) : end if end >= 0 else at + 4096].decode(errors="replace").strip()


def parse_materials(data: bytes) -> dict[str, Material]:
    """Parse the materials of a library, skipping malformed lines.

    Args:
        data: The content of the .mtl file.

    Returns:
        Materials by name.
    """
    materials: dict[str, Material] = {}
    name: str | None = None
    for line in data.decode(errors="replace").splitlines():
        words = line.split()
        key = words[0].lower() if len(words) > 1 else ""
        if key == "newmtl":
            name = " ".join(words[1:])
            materials[name] = Material()
        elif name is not None and key == "kd":
            materials[name] = replace(materials[name], color=_rgb(words[1:]))
        elif name is not None and key == "map_kd":
            materials[name] = replace(materials[name], texture=line.strip()[len(key) :].strip())
    return materials


def _rgb(words: list[str]) -> tuple[float, float, float] | None:
    try:
        red, green, blue = (float(word) for word in words[:3])
    except ValueError:
        return None
    return red, green, blue


def _occurrences(data: bytes) -> Iterator[int]:
    at = data.find(_LIBRARY)
    while at >= 0:
        yield at
        at = data.find(_LIBRARY, at + len(_LIBRARY))
