"""USD: text and binary layers (.usd, .usda, .usdc) and packages (.usdz), read by OpenUSD's own library."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from basrelief.errors import FileFormatError, MissingExtraError
from basrelief.io.archive import open_archive
from basrelief.io.corners import Polygons
from basrelief.io.formats.usd_layers import open_stage
from basrelief.io.formats.usd_materials import UsdMaterials
from basrelief.io.formats.usd_solids import SOLIDS, solid_part
from basrelief.io.mesh import Instance, NamedInstance, Part, check_size, join_parts
from basrelief.io.silence import silenced
from basrelief.io.source import RawShape, Source
from basrelief.limits import limits

if TYPE_CHECKING:
    from pxr import Usd

_HIDDEN = ("guide", "proxy")  # purposes that renderers leave out


def read_usd(source: Source) -> RawShape:
    """Read .usd, .usda, .usdc or .usdz: visible meshes, solids and points with their transforms, colours and textures.

    Subdivision surfaces are read as their control meshes, and skinned meshes at rest; of animated values, the first sample.

    Args:
        source: The file; layers and textures are read from it and from its folder only.

    Returns:
        Vertices and faces, or points if there are no faces, in the axes and units of the file; the up axis as the stage states it.

    Raises:
        FileFormatError: If it is damaged, shows nothing, or holds more than the limits allow.
        MissingExtraError: If OpenUSD is not installed.
    """
    try:
        from pxr import UsdGeom
    except ImportError as error:
        raise MissingExtraError("Reading USD needs OpenUSD, which is not installed. Run: pip install 'basrelief[usd]'.") from error
    if source.format == "usdz":
        with open_archive(source.path):
            pass  # rejects bombs
    else:
        source.check_size(limits().text_bytes)
    with silenced():  # the library prints what it thinks of a file
        stage, layers = open_stage(source)
        scene = _Scene(source, stage, UsdMaterials(source, layers))
        instances = list(scene.instances())
    solid = [instance for instance in instances if "faces" in instance.part]
    raw = join_parts(solid or instances, with_faces=bool(solid))
    up = str(UsdGeom.GetStageUpAxis(stage)).lower()
    reason = "the USD stage says so" if stage.HasAuthoredMetadata("upAxis") else "USD is +Y up unless a stage says otherwise"
    return dataclasses.replace(raw, up=up, up_reason=reason, notes=(*raw.notes, *layers.notes, *scene.materials.notes))


class _Scene:
    """What a stage shows at its first moment."""

    def __init__(self, source: Source, stage: Usd.Stage, materials: UsdMaterials) -> None:
        from pxr import Usd, UsdGeom

        self._source, self._stage, self._time = source, stage, Usd.TimeCode.EarliestTime()
        self._cache = UsdGeom.XformCache(self._time)
        self._vertices = self._faces = self._places = 0
        self.materials = materials

    def instances(self) -> Iterator[NamedInstance]:
        """Yield the parts of all geometry.

        Raises:
            FileFormatError: If there is none, or too much.
        """
        from pxr import Usd, UsdGeom

        found = False
        walk = iter(Usd.PrimRange(self._stage.GetPseudoRoot(), Usd.TraverseInstanceProxies()))
        for prim in walk:
            image = UsdGeom.Imageable(prim)
            if not image:
                continue
            if image.ComputePurpose() in _HIDDEN:
                walk.PruneChildren()
                continue
            hidden = image.ComputeVisibility(self._time) == UsdGeom.Tokens.invisible
            if prim.IsA(UsdGeom.PointInstancer):
                walk.PruneChildren()  # its prototypes are shown only where it places them
                parts = self._placed(UsdGeom.PointInstancer(prim))
            else:
                matrix = np.array(self._cache.GetLocalToWorldTransform(prim)).T
                parts = ((part, matrix) for part in self._parts(prim))
            for part, matrix in parts:
                found = True
                yield NamedInstance(part, matrix, str(prim.GetPath()).strip("/"), hidden)
        if not found:
            raise FileFormatError(f"{self._source.path.name} shows no geometry. Export the model with its meshes.")

    def _placed(self, instancer: Any) -> Iterator[Instance]:  # noqa: ANN401 - OpenUSD has no types
        """Yield the parts of prototypes where an instancer places them."""
        from pxr import Usd, UsdGeom

        places = instancer.ComputeInstanceTransformsAtTime(self._time, self._time)
        which = instancer.GetProtoIndicesAttr().Get(self._time) or []
        targets = instancer.GetPrototypesRel().GetForwardedTargets()
        above = np.array(self._cache.GetLocalToWorldTransform(instancer.GetPrim())).T
        inner: dict[int, list[Instance]] = {}
        for number, place in zip(which, places, strict=False):
            if number not in inner and 0 <= number < len(targets):
                root = self._stage.GetPrimAtPath(targets[number])
                back = np.linalg.inv(np.array(self._cache.GetLocalToWorldTransform(root.GetParent())).T)
                inner[number] = [
                    (part, back @ np.array(self._cache.GetLocalToWorldTransform(prim)).T)
                    for prim in Usd.PrimRange(root, Usd.TraverseInstanceProxies())
                    if UsdGeom.Imageable(prim)
                    for part in self._parts(prim)
                ]
            for part, matrix in inner.get(number, ()):
                self._count(part)
                yield part, above @ np.array(place).T @ matrix

    def _parts(self, prim: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401
        """Yield the parts of one prim, one for each material."""
        from pxr import UsdGeom

        if prim.IsA(UsdGeom.Mesh):
            parts = self._mesh_parts(UsdGeom.Mesh(prim))
        elif prim.IsA(UsdGeom.Points):
            points = np.array(UsdGeom.Points(prim).GetPointsAttr().Get(self._time) or [], np.float64).reshape(-1, 3)
            parts = iter([{"vertices": points, "vertex_colors": self._per_point(prim, len(points))}] if len(points) else [])
        elif prim.GetTypeName() in SOLIDS:
            parts = iter([solid_part(prim, self._time) | self.materials.look(prim)])
        else:
            return
        for part in parts:
            self._count(part)
            yield part

    def _count(self, part: Part) -> None:
        """Count what would be built, before it is."""
        self._places += 1
        self._vertices += len(part["vertices"])
        self._faces += len(part.get("faces", ()))
        check_size(self._source.path, [(1, self._vertices, self._faces), (self._places - 1, 0, 0)])

    def _mesh_parts(self, mesh: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401
        from pxr import UsdGeom

        prim, when = mesh.GetPrim(), self._time
        vertices = np.array(mesh.GetPointsAttr().Get(when) or [], np.float64).reshape(-1, 3)
        counts = np.array(mesh.GetFaceVertexCountsAttr().Get(when) or [], np.int64)
        corners = np.array(mesh.GetFaceVertexIndicesAttr().Get(when) or [], np.int64)
        if not len(vertices) or not len(counts):
            return
        if int(counts.min()) < 0 or int(counts.sum()) != len(corners):
            raise FileFormatError(f"The face counts and indices of {prim.GetPath()} do not fit. Export the file again.")
        if mesh.GetOrientationAttr().Get(when) == UsdGeom.Tokens.leftHanded:
            ends = np.cumsum(counts)
            corners = corners[np.repeat(ends + (ends - counts) - 1, counts) - np.arange(len(corners))]
        looks, faces = self.materials.by_face(prim, len(counts))
        api, uv_name = UsdGeom.PrimvarsAPI(prim), self.materials.uv_name(prim)
        uv, uv_index = _primvar(api.FindPrimvarWithInheritance(uv_name), when, counts, corners, len(vertices))
        colors, color_index = _primvar(mesh.GetDisplayColorPrimvar(), when, counts, corners, len(vertices))
        polygons = Polygons(counts, corners, vertices, uv, uv_index, colors, color_index, faces)
        for number, part in polygons.parts():
            look = looks[number]
            yield {**part, **look} if "vertex_colors" not in part or not look else {**part, **look, "vertex_colors": None}

    def _per_point(self, prim: Any, count: int) -> np.ndarray | None:  # noqa: ANN401
        from pxr import UsdGeom

        colors = np.array(UsdGeom.Gprim(prim).GetDisplayColorPrimvar().ComputeFlattened(self._time) or [], np.float64).reshape(-1, 3)
        return np.tile(colors, (count, 1)) if len(colors) == 1 else colors if len(colors) == count else None


def _primvar(
    primvar: Any,  # noqa: ANN401 - OpenUSD has no types
    when: Any,  # noqa: ANN401
    counts: np.ndarray,
    corners: np.ndarray,
    vertices: int,
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return the values of a primvar, and which of them each corner has; None for both if it is missing or does not fit."""
    values = primvar.ComputeFlattened(when) if primvar and primvar.HasValue() else None
    if values is None or not len(values):
        return None, None
    places, count = {
        "faceVarying": (np.arange(len(corners)), len(corners)),
        "vertex": (corners, vertices),
        "varying": (corners, vertices),
        "uniform": (np.repeat(np.arange(len(counts)), counts), len(counts)),
        "constant": (np.zeros(len(corners), np.int64), 1),
    }[str(primvar.GetInterpolation())]
    array = np.array(values, np.float64)
    return (array, places) if len(array) == count and array.ndim == 2 else (None, None)
