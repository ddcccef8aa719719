"""What the materials of an .obj file look like: which of them need a part of their own, and its texture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from basrelief.errors import BasreliefError
from basrelief.io.formats.mtl import Material, parse_materials
from basrelief.io.resolver import FolderResolver
from basrelief.io.side_textures import SideTextures
from basrelief.io.surface import UNCOLORED
from basrelief.io.textures import Texture
from basrelief.limits import limits

_MISSING = 3  # libraries named in notes


def find_libraries(path: Path, resolver: FolderResolver, names: Sequence[str]) -> Iterator[tuple[str, bytes | None]]:
    """Read the material libraries of an .obj file; if none is there, the one that is named like the file.

    Args:
        path: The .obj file.
        resolver: Reads files of its folder.
        names: As written after `mtllib`: a name, which may contain spaces, or several names.

    Yields:
        The name and the content of each library, None if it was not found.
    """
    found = False
    named = dict.fromkeys(names[: limits().side_files])
    single = (one for name in named for one in ([name] if _exists(resolver, name) else name.split()))
    for name in islice(single, limits().side_files):
        data = _read(resolver, name)
        found = found or data is not None
        yield name, data
    beside = f"{path.stem}.mtl"
    if not found and (path.parent / beside).is_file():
        yield beside, _read(resolver, beside)


def _exists(resolver: FolderResolver, name: str) -> bool:
    refused = len(resolver.refused)
    try:
        return resolver.find(name, similar=True) is not None
    except BasreliefError:
        del resolver.refused[refused:]
        return " " not in name.strip()


def _read(resolver: FolderResolver, name: str) -> bytes | None:
    with suppress(BasreliefError, OSError), resolver.open(name, similar=True) as file:
        return file.read(limits().material_bytes)
    return None


class Looks:
    """The materials of a file by their number.

    Materials without texture and transparency are one look, zero: each face has a colour. Every other material is a look of its own,
    equal ones together.

    Attributes:
        look: (materials,) number of the look of each material.
        colors: (materials, 3) base colours, sRGB in [0, 1]; NaN for none.
    """

    def __init__(self, path: Path, names: Sequence[str | None], libraries: Sequence[str]) -> None:
        """Read libraries and images.

        Args:
            path: The .obj file.
            names: Name of each material, None for those that no face has.
            libraries: As written after `mtllib`.
        """
        self._textures = SideTextures(path.parent)
        self._missing: list[str] = []
        materials: dict[str, Material] = {}
        for library, data in find_libraries(path, self._textures.resolver, libraries):
            materials |= {} if data is None else parse_materials(data)
            if data is None and library[:200] not in self._textures.resolver.refused:
                self._missing.append(library)
        self._looks: list[tuple[Material | None, Texture | None]] = [(None, None)]
        numbers: dict[object, int] = {}
        self.look = np.zeros(len(names), dtype=np.int32)
        self.colors = np.full((len(names), 3), np.nan)
        for i, name in enumerate(names):
            material = None if name is None else materials.get(name)
            if material is None:
                continue
            texture = self._texture(material)
            color = material.color
            if color is not None and (any(color) or material.texture is None):  # black below an image that is missing says nothing
                self.colors[i] = color
            if texture is None and material.alpha >= 1:
                continue
            key = (id(texture), material.texture, material.alpha, None if texture is not None else color)
            self.look[i] = numbers.setdefault(key, len(self._looks))
            if self.look[i] == len(self._looks):
                self._looks.append((material, texture))
        self.colors = self.colors.clip(0, 1)

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on what was not read."""
        names = ", ".join(repr(name[:60]) for name in self._missing[:_MISSING])
        more = ", ..." if len(self._missing) > _MISSING else ""
        missing = (f"The material library {names}{more} was not found beside the file.",) if names else ()
        return (*missing, *self._textures.notes)

    def is_textured(self, look: int) -> bool:
        """Return whether a look has an image."""
        return self._looks[look][1] is not None

    def part(self, look: int, places: np.ndarray | None) -> dict[str, Any]:
        """Return what a part of this look has, see `basrelief.io.mesh.Part`.

        Args:
            look: Number of the look, not zero.
            places: (N, 2) texture coordinates of the vertices, or None.
        """
        material, texture = self._looks[look]
        if material is None:
            return {}
        image = material.texture
        covered = places is not None and image is not None and self._textures.has(image.name)
        color = (1.0, 1.0, 1.0) if covered else material.color or UNCOLORED
        part: dict[str, Any] = {"color": (*np.clip(color, 0, 1).tolist(), material.alpha), "blend": material.alpha < 1}
        if texture is not None and places is not None:
            image = image or material.maps["map_d"]
            part |= {
                "texture": texture,
                "uv": places * image.scale + image.offset,
                "wrap": ("clamp",) * 2 if image.clamp else ("repeat",) * 2,
            }
            part["blend"] = part["blend"] or texture.alpha_range[0] < 1
        return part

    def _texture(self, material: Material) -> Texture | None:
        """Return the image of a material with its alpha; None if it has none that can be read."""
        names = ["" if image is None else image.name for image in (material.texture, material.maps.get("map_d"))]
        return self._textures.get(*names)
