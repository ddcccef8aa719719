"""Materials of USD files: `UsdPreviewSurface`, its colours and textures."""

from __future__ import annotations

import posixpath
from typing import Any

import numpy as np

from basrelief.io.archive import open_archive, read_member
from basrelief.io.formats.usd_layers import UsdLayers
from basrelief.io.source import Source
from basrelief.io.textures import Texture, Textures

_UV = "st"


class UsdMaterials:
    """Looks of the materials of a stage, each read once."""

    def __init__(self, source: Source, layers: UsdLayers) -> None:
        self._source, self._layers = source, layers
        self._textures = Textures()
        self._looks: dict[str, dict[str, Any]] = {}
        self._names: dict[str, str] = {}

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on what was not read."""
        return self._textures.notes

    def look(self, prim: Any) -> dict[str, Any]:  # noqa: ANN401 - OpenUSD has no types
        """Return `color` and, where there is one, `texture` of what a prim is drawn with; empty without a material."""
        from pxr import UsdShade

        material = UsdShade.MaterialBindingAPI(prim).ComputeBoundMaterial()[0]
        if not material:
            return {}
        path = str(material.GetPath())
        if path not in self._looks:
            self._looks[path] = self._read(material, path)
        return self._looks[path]

    def uv_name(self, prim: Any) -> str:  # noqa: ANN401
        """Return the name of the texture coordinates that the material of a prim reads."""
        from pxr import UsdShade

        self.look(prim)
        material = UsdShade.MaterialBindingAPI(prim).ComputeBoundMaterial()[0]
        return self._names.get(str(material.GetPath()), _UV) if material else _UV

    def by_face(self, prim: Any, faces: int) -> tuple[list[dict[str, Any]], np.ndarray | None]:  # noqa: ANN401
        """Return the looks of a mesh, and which of them each face has; None if there is one for all."""
        from pxr import UsdGeom, UsdShade

        subsets = UsdShade.MaterialBindingAPI(prim).GetMaterialBindSubsets()
        if not subsets:
            return [self.look(prim)], None
        looks, chosen = [self.look(prim)], np.zeros(faces, np.int64)
        for subset in subsets:
            rows = np.array(UsdGeom.Subset(subset).GetIndicesAttr().Get() or [], np.int64)
            chosen[rows[(rows >= 0) & (rows < faces)]] = len(looks)
            looks.append(self.look(subset.GetPrim()))
        return looks, chosen

    def _read(self, material: Any, path: str) -> dict[str, Any]:  # noqa: ANN401
        surface = material.ComputeSurfaceSource()[0]
        if not surface or surface.GetShaderId() != "UsdPreviewSurface":
            return {}
        color, opacity = _value(surface, "diffuseColor"), _value(surface, "opacity")
        alpha = float(opacity) if isinstance(opacity, int | float) else 1.0
        rgb = (0.18, 0.18, 0.18) if color is None else tuple(map(float, color))
        look: dict[str, Any] = {"color": (*np.clip(rgb, 0, 1), min(max(alpha, 0.0), 1.0))}
        texture = _source(surface, "diffuseColor")
        if texture is None or texture.GetShaderId() != "UsdUVTexture":
            return look
        reader = _source(texture, "st")
        while reader is not None and reader.GetShaderId() == "UsdTransform2d":
            reader = _source(reader, "in")
        name = None if reader is None else _value(reader, "varname")
        self._names[path] = str(name) if name else _UV
        image = self._texture(texture.GetInput("file"))
        return look if image is None else look | {"color": (1.0, 1.0, 1.0, look["color"][3]), "texture": image}

    def _texture(self, file: Any) -> Texture | None:  # noqa: ANN401
        """The image that an input names, in the package or in the folder of the layer that names it."""
        value = file.Get() if file else None
        if value is None or not value.path:
            return None
        stack = file.GetAttr().GetPropertyStack()
        folder = self._layers.folders.get(stack[0].layer.identifier, "") if stack else ""
        name = posixpath.normpath(posixpath.join(folder, value.path))
        if self._source.format == "usdz":
            return self._textures.get(name, lambda: self._member(name))
        return self._textures.from_file(self._layers.resolver, name)

    def _member(self, name: str) -> bytes:
        with open_archive(self._source.path) as archive:
            return read_member(archive, name)


def _source(shader: Any, name: str) -> Any | None:  # noqa: ANN401
    """Return the shader that feeds an input, through any node graph, or None."""
    from pxr import UsdShade

    given = shader.GetInput(name)
    found = given.GetValueProducingAttributes() if given else []
    if not found or UsdShade.Utils.GetType(found[0].GetName()) != UsdShade.AttributeType.Output:
        return None
    return UsdShade.Shader(found[0].GetPrim())


def _value(shader: Any, name: str) -> Any | None:  # noqa: ANN401
    """Return the value of an input, through any node graph, or None."""
    given = shader.GetInput(name)
    found = given.GetValueProducingAttributes() if given else []
    return found[0].Get() if found and _source(shader, name) is None else None
