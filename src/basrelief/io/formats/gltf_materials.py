"""Materials of glTF: colours, textures and how their coordinates are transformed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from basrelief.appearance import Wrap
from basrelief.io.formats.gltf_data import GltfData, Item
from basrelief.io.textures import Texture, Textures

_GLOSS = "KHR_materials_pbrSpecularGlossiness"
_STRENGTH = "KHR_materials_emissive_strength"
_TRANSFORM = "KHR_texture_transform"
_WEBP, _BASIS, _DDS = "EXT_texture_webp", "KHR_texture_basisu", "MSFT_texture_dds"
_WRAPS: Mapping[int, Wrap] = MappingProxyType({33071: "clamp", 33648: "mirror", 10497: "repeat"})
_BLACK = 0.02  # base colours below it show the light that the material emits instead
_WRONG = (LookupError, TypeError, AttributeError, ValueError)  # what a broken material raises


@dataclass(frozen=True, eq=False)
class MaterialFields:
    """What a material adds to a part.

    Attributes:
        part: Entries of the part, see `basrelief.io.mesh.Part`.
        coordinates: Name of the attribute with the texture coordinates.
        transform: (2, 3) transform of these coordinates, or None.
    """

    part: Mapping[str, Any] = field(default_factory=dict)
    coordinates: str = "TEXCOORD_0"
    transform: np.ndarray | None = None

    def place(self, uv: np.ndarray) -> np.ndarray:
        """Transform texture coordinates and turn them upside down, so that (0, 0) is the lower left."""
        places = uv[:, :2].astype(np.float32)
        if self.transform is not None:
            places = (places @ self.transform[:, :2].T + self.transform[:, 2]).astype(np.float32)
        places[:, 1] = 1 - places[:, 1]
        return places


class Materials:
    """The materials of a glTF file, each read once."""

    def __init__(self, data: GltfData) -> None:
        self.textures = Textures()
        self._data = data
        self._known: dict[object, MaterialFields] = {}

    def of(self, primitive: Item) -> MaterialFields:
        """Return what the material of a primitive adds; a broken or missing one adds nothing."""
        number = primitive.get("material")
        if not isinstance(number, int):
            return MaterialFields()
        if number not in self._known:
            self._known[number] = MaterialFields()
            with suppress(*_WRONG):
                self._known[number] = self._read(self._data.header["materials"][number])
        return self._known[number]

    def _read(self, item: Item) -> MaterialFields:
        color, texture = _base(item)
        part: dict[str, Any] = {"material": str(item.get("name", "")), "color": color}
        mode = item.get("alphaMode", "OPAQUE")
        if mode == "MASK":
            part["cutoff"] = float(item.get("alphaCutoff", 0.5))
        elif mode == "BLEND":
            part["blend"] = True
        found = MaterialFields(part)
        with suppress(*_WRONG):
            if texture is not None:
                found = self._textured(part, texture, alpha=mode in ("MASK", "BLEND"))
        return found

    def _textured(self, part: dict[str, Any], use: Item, *, alpha: bool) -> MaterialFields:
        header = self._data.header
        item = header["textures"][use["index"]]
        sampler: Item = {}
        with suppress(*_WRONG):
            sampler = header["samplers"][item["sampler"]]
        wrap = tuple(_WRAPS.get(sampler.get(name, 10497), "repeat") for name in ("wrapS", "wrapT"))
        move = use.get("extensions", {}).get(_TRANSFORM, {})
        coordinates = f"TEXCOORD_{int(move.get('texCoord', use.get('texCoord', 0)))}"
        part |= {"texture": self._texture(item, alpha=alpha), "wrap": wrap}
        return MaterialFields(part, coordinates, _transform(move) if move else None)

    def _texture(self, item: Item, *, alpha: bool) -> Texture | None:
        kinds = item.get("extensions", {})
        sources = (
            kinds.get(_WEBP, {}).get("source"),
            item.get("source"),
            kinds.get(_BASIS, {}).get("source"),
            kinds.get(_DDS, {}).get("source"),
        )
        number = next((source for source in sources if source is not None), None)
        if number is None:
            return None
        images: Sequence[Item] = self._data.header["images"]
        name = f"image {number}"
        with suppress(*_WRONG):
            uri = str(images[number].get("uri", "data:"))
            name = str(images[number].get("name", name)) if uri.startswith("data:") else uri
        return self.textures.get(number, lambda: self._data.image_bytes(images[number]), name=name, alpha=alpha)


def _base(item: Item) -> tuple[Sequence[float], Item | None]:
    """Return the base colour and the use of a texture; those of the emitted light where the base is black."""
    gloss = item.get("extensions", {}).get(_GLOSS)
    if gloss is not None:
        color, texture = gloss.get("diffuseFactor"), gloss.get("diffuseTexture")
        if texture is None and color is not None and max(color[:3]) < _BLACK:  # metal
            color = [*gloss.get("specularFactor", (1, 1, 1)), *color[3:]]
    else:
        base = item.get("pbrMetallicRoughness", {})
        color, texture = base.get("baseColorFactor"), base.get("baseColorTexture")
    color = [1.0, 1.0, 1.0, 1.0] if color is None else [float(value) for value in color]
    emitted = [float(value) for value in item.get("emissiveFactor", ())]
    if max(color[:3]) < _BLACK and len(emitted) == 3 and max(emitted) > max(color[:3]):
        strength = float(item.get("extensions", {}).get(_STRENGTH, {}).get("emissiveStrength", 1))
        top = max(1.0, strength * max(emitted))
        return [*(value * strength / top for value in emitted), *color[3:]], item.get("emissiveTexture")
    return color, texture


def _transform(move: Item) -> np.ndarray:
    """Return the (2, 3) matrix that scales, then turns, then moves texture coordinates."""
    turn = float(move.get("rotation", 0))
    cosine, sine = np.cos(turn), np.sin(turn)
    scale, offset = np.asarray(move.get("scale", (1, 1)), dtype=np.float64), np.asarray(move.get("offset", (0, 0)), dtype=np.float64)
    return np.column_stack([np.array([[cosine, sine], [-sine, cosine]]) * scale, offset]).reshape(2, 3)
