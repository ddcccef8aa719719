"""Materials and textures of a mesh as tensors: what a renderer looks up at each pixel.

Textures are stored with smaller and smaller copies (mip levels, Williams 1983). A pixel reads the copy whose texels are about as large as
the part of the surface that the pixel shows, so that fine patterns do not turn into noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int, Int32, Int64, UInt8
from PIL import Image
from torch import Tensor

from basrelief.appearance import Appearance, Material
from basrelief.geometry.appearance import linear_from_srgb, linear_light, visible_texture
from basrelief.render.ops import blend
from basrelief.types import Mesh

WRAPS = ("repeat", "mirror", "clamp")
SHARPNESS = 0.0  # mip levels; higher reads larger copies: sharper, and noisier
LINEAR = linear_from_srgb(np.arange(256) / 255).astype(np.float32)
"""Linear light of each 8-bit sRGB value."""


@dataclass(frozen=True, eq=False)
class MaterialTable:
    """The M materials of an appearance in a few arrays.

    Attributes:
        texels: All levels of all textures; the first is a white one for materials without a texture. Alpha is 255 where it is ignored.
        first: Index in `texels` of the first texel of each level, row by row from the top.
        width: Columns of each level.
        height: Rows of each level.
        levels: Number of levels of each texture.
        wrap: Indices in `WRAPS`, for both axes.
        factor: Base colour: linear light and alpha.
        cutoff: Alpha below which nothing is drawn.
        tints: Colours of the vertices: linear light and alpha; no rows without.
    """

    texels: UInt8[np.ndarray, "texels 4"]
    first: Int64[np.ndarray, "materials levels"]
    width: Int32[np.ndarray, "materials levels"]
    height: Int32[np.ndarray, "materials levels"]
    levels: Int32[np.ndarray, " materials"]
    wrap: Int32[np.ndarray, "materials 2"]
    factor: Float32[np.ndarray, "materials 4"]
    cutoff: Float32[np.ndarray, " materials"]
    tints: Float32[np.ndarray, "tints 4"]

    @classmethod
    def of(cls, appearance: Appearance) -> MaterialTable:
        """Return the table of an appearance; made once."""
        if appearance not in _tables:
            _tables[appearance] = _build(appearance)
        return _tables[appearance]


_tables: WeakKeyDictionary[Appearance, MaterialTable] = WeakKeyDictionary()


def _build(appearance: Appearance) -> MaterialTable:
    white = [np.full((1, 1, 4), 255, np.uint8)]
    used = set(np.unique(appearance.material_ids).tolist()) if appearance.uv is not None else set()
    pyramids = [_pyramid(material) if number in used else [] for number, material in enumerate(appearance.materials)]
    count = max(1, *(len(levels) for levels in pyramids))
    first = np.zeros((len(pyramids), count), np.int64)
    size = np.ones((2, len(pyramids), count), np.int32)
    total = 1
    for number, levels in enumerate(pyramids):
        for level, image in enumerate(levels):
            first[number, level], size[:, number, level] = total, image.shape[:2]
            total += image.shape[0] * image.shape[1]
    materials = appearance.materials
    return MaterialTable(
        texels=np.concatenate([image.reshape(-1, 4) for levels in (white, *pyramids) for image in levels]),
        first=first,
        width=size[1],
        height=size[0],
        levels=np.array([max(1, len(levels)) for levels in pyramids], np.int32),
        wrap=np.array([[WRAPS.index(mode) for mode in material.wrap] for material in materials], np.int32),
        factor=linear_light(np.array([material.color for material in materials], np.float64)).astype(np.float32),
        cutoff=np.array([material.cutoff for material in materials], np.float32),
        tints=linear_light(np.empty((0, 4)) if appearance.tints is None else appearance.tints).astype(np.float32),
    )


def _pyramid(material: Material) -> list[np.ndarray]:
    """Return a texture and its halves down to one texel, colours weighted by alpha."""
    if material.texture is None:
        return []
    levels = [visible_texture(material)]
    height, width = levels[0].shape[:2]
    weighted = bool((levels[0][..., 3] < 255).any())
    if weighted:
        image = Image.fromarray(levels[0]).convert("RGBa")
    else:  # the same bytes
        image = Image.frombuffer("RGBa", (width, height), np.ascontiguousarray(levels[0]), "raw", "RGBa", 0, 1)
    while max(image.size) > 1:
        image = image.reduce((min(2, image.width), min(2, image.height)))
        levels.append(np.asarray(image.convert("RGBA") if weighted else image))
    return levels


class SurfaceTable:
    """Looks up the colour of points on a mesh that has an appearance.

    At full resolution it agrees with `basrelief.geometry.appearance.surface_colors`.
    """

    def __init__(self, mesh: Mesh, appearance: Appearance, device: torch.device | str) -> None:
        table = MaterialTable.of(appearance)
        self._texels, self._first = torch.tensor(table.texels, device=device), torch.tensor(table.first, device=device)
        self._width, self._height = torch.tensor(table.width, device=device), torch.tensor(table.height, device=device)
        self._levels, self._wrap = torch.tensor(table.levels, device=device), torch.tensor(table.wrap, device=device)
        self._factor, self.cutoff = torch.tensor(table.factor, device=device), torch.tensor(table.cutoff, device=device)
        self._linear = torch.tensor(LINEAR, device=device)
        self._corners = torch.tensor(mesh.faces, device=device)
        self._material = torch.tensor(appearance.material_ids, device=device).long()
        self._density = torch.tensor(texel_density(mesh, appearance), device=device)
        self._uv = None if appearance.uv is None else torch.tensor(appearance.uv, dtype=torch.float64, device=device)
        self._tints = None if appearance.tints is None else torch.tensor(table.tints, device=device)

    @property
    def masked(self) -> Bool[Tensor, " faces"]:
        """Faces of which alpha decides what is drawn."""
        return self.cutoff[self._material] > 0

    def hidden(self, faces: Int[Tensor, " points"], weights: Float[Tensor, "points 3"]) -> Bool[Tensor, " points"]:
        """Return whether alpha is below the cutoff of the material, by the texture at full resolution."""
        none = torch.zeros(len(faces), device=faces.device)
        return self.light(faces, weights, none)[:, 3] < self.cutoff[self._material[faces]]

    def light(
        self, faces: Int[Tensor, " points"], weights: Float[Tensor, "points 3"], footprint: Float[Tensor, " points"]
    ) -> Float[Tensor, "points 4"]:
        """Return linear light and alpha.

        Args:
            faces: Face of each point.
            weights: Barycentric coordinates.
            footprint: Area of the surface that is shown, squared scene units.
        """
        material, corners = self._material[faces], self._corners[faces]
        light = self._factor[material]
        if self._uv is not None:
            level = mip_level(self._density[faces] * footprint)
            light = light * self._texture(material, level, blend(self._uv[corners], weights))
        return light if self._tints is None else light * blend(self._tints[corners], weights.float())

    def _texture(self, material: Tensor, level: Tensor, uv: Tensor) -> Float[Tensor, "points 4"]:
        level = torch.minimum(level, self._levels[material] - 1).long()
        width, height, first = (each[material, level] for each in (self._width, self._height, self._first))
        left, right, across = _neighbours(uv[:, 0], width, self._wrap[material, 0])
        top, bottom, down = _neighbours(1 - uv[:, 1], height, self._wrap[material, 1])
        total = torch.zeros(len(uv), 4, device=uv.device)
        for row, column, share in (
            (top, left, (1 - down) * (1 - across)),
            (top, right, (1 - down) * across),
            (bottom, left, down * (1 - across)),
            (bottom, right, down * across),
        ):
            total += share * self._texel(first + row * width + column)
        return torch.cat([total[:, :3] / total[:, 3:].clamp(min=1e-6), total[:, 3:]], dim=1)

    def _texel(self, index: Tensor) -> Float[Tensor, "points 4"]:
        """Return light times alpha, and alpha."""
        texel = self._texels[index]
        alpha = texel[:, 3:].float() / 255
        return torch.cat([self._linear[texel[:, :3].long()] * alpha, alpha], dim=1)


def texel_density(mesh: Mesh, appearance: Appearance) -> Float32[np.ndarray, " faces"]:
    """Return for each face the texels of its texture on a unit of its area; 0 without a texture."""
    if appearance.uv is None:
        return np.zeros(len(mesh.faces), np.float32)
    table = MaterialTable.of(appearance)
    a, b, c = np.moveaxis(mesh.vertices.astype(np.float64)[mesh.faces], 1, 0)
    u, v = np.moveaxis(appearance.uv.astype(np.float64)[mesh.faces], 2, 0)
    texels = np.abs((u[:, 1] - u[:, 0]) * (v[:, 2] - v[:, 0]) - (u[:, 2] - u[:, 0]) * (v[:, 1] - v[:, 0]))
    texels *= (table.width[:, 0].astype(np.float64) * table.height[:, 0])[appearance.material_ids]
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    density: np.ndarray = np.minimum(texels / np.maximum(area, 1e-30), 1e30).astype(np.float32)
    return density


def mip_level(texels: Float[Tensor, " points"]) -> Int[Tensor, " points"]:
    """Return the level of which one texel is nearest in area to `texels` texels of the full image."""
    return (texels.clamp(min=1e-9).log2() / 2 - SHARPNESS).round().clamp(min=0).int()


def _neighbours(place: Tensor, size: Tensor, wrap: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the indices of the two texels around each place, and the share of the second as a column; see the reference."""
    mirror, clamp = wrap == WRAPS.index("mirror"), wrap == WRAPS.index("clamp")
    inside = torch.where(clamp, place.clamp(0, 1), place.remainder(torch.where(mirror, 2.0, 1.0)))
    at = inside * size - 0.5
    first = at.floor().long()
    indices = []
    for index in (first, first + 1):
        folded = index.remainder(2 * size)
        mirrored = torch.minimum(folded, 2 * size - 1 - folded)
        held = torch.minimum(index.clamp(min=0), size - 1)
        indices.append(torch.where(clamp, held, torch.where(mirror, mirrored, index.remainder(size))))
    return indices[0], indices[1], (at - first).float()[:, None]
