"""Materials of FBX files: base colour, opacity and texture."""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path
from typing import Any

import numpy as np

from basrelief.io.formats.fbx_document import FbxNode
from basrelief.io.formats.fbx_objects import FbxObjects, number, properties
from basrelief.io.resolver import FolderResolver
from basrelief.io.textures import Texture, Textures

_COLORS = ("DiffuseColor", "Diffuse", "Maya|baseColor", "3dsMax|Parameters|base_color", "3dsMax|main|basecolor")
_IMAGES = ("DiffuseColor", "Maya|TEX_color_map", "Maya|baseColor", "3dsMax|Parameters|base_color_map", "3dsMax|main|base_color_map")
_LEAST_ALPHA = 0.02  # exporters that confuse opacity and transparency write 0 for opaque materials
_GREY = (0.8, 0.8, 0.8)  # of materials that state no colour, as in the templates of the format


class FbxMaterials:
    """The looks of materials, each read once."""

    def __init__(self, folder: Path, objects: FbxObjects) -> None:
        self._objects = objects
        self._resolver, self._textures = FolderResolver(folder), Textures()
        self._looks: dict[int, dict[str, Any]] = {}

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on what was not read."""
        return (*self._resolver.notes, *self._textures.notes)

    def look(self, material: int) -> dict[str, Any]:
        """Return `color` and, where there is one, `texture` of a material, as in `basrelief.io.mesh.Part`."""
        if material not in self._looks:
            self._looks[material] = self._read(material)
        return self._looks[material]

    def _read(self, material: int) -> dict[str, Any]:
        found = properties(self._objects.nodes[material])
        rgb = next((found[name][:3] for name in _COLORS if len(found.get(name, ())) >= 3), _GREY)
        scale = number(found, "DiffuseFactor", 1.0)
        opacity = number(found, "Opacity", 1 - number(found, "TransparencyFactor", 0.0))
        alpha = opacity if _LEAST_ALPHA < opacity < 1 else 1.0
        linked = self._objects.connected(material)
        image = next((self._texture(linked[name]) for name in _IMAGES if name in linked), None)
        if image is not None:
            return {"color": (1.0, 1.0, 1.0, alpha), "texture": image}
        return {"color": (*np.clip(np.array(rgb, dtype=np.float64) * scale, 0, 1), alpha)}

    def _texture(self, texture: int) -> Texture | None:
        """The image of a texture, in the file or beside it; of a layered texture, its first one."""
        node = self._objects.nodes[texture]
        if node.name == "LayeredTexture":
            return next((self._texture(one) for one in self._objects.below(texture, "Texture")), None)
        for video in self._objects.below(texture, "Video"):
            content = self._objects.nodes[video].first("Content")
            if content is not None and any(content.values):
                return self._textures.get(("embedded", video), lambda content=content: _bytes(content))  # type: ignore[misc]
        name = node.value("RelativeFilename", "") or node.value("FileName", "")
        return self._textures.from_file(self._resolver, str(name)) if name else None


def _bytes(content: FbxNode) -> bytes:
    """The content of an embedded image: bytes in a binary file, pieces of base64 in a text file."""
    return b"".join(value if isinstance(value, bytes) else b64decode(str(value)) for value in content.values)
