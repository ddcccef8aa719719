"""Meshes with textures."""

from __future__ import annotations

import numpy as np

from basrelief.appearance import Appearance, Material
from basrelief.types import Mesh


def noise(height: int, width: int, *, seed: int = 0, alpha: bool = True) -> np.ndarray:
    """A texture of random texels."""
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 4), dtype=np.uint8)
    if not alpha:
        image[..., 3] = 255
    return image


def checks(cells: int, side: int, *, light: int = 255, dark: int = 0) -> np.ndarray:
    """A chessboard."""
    at = np.arange(side) * cells // side
    board = np.where((at[:, None] + at) % 2, dark, light).astype(np.uint8)
    return np.dstack([board, board, board, np.full_like(board, 255)])


def dressed(mesh: Mesh, *materials: Material, seed: int = 0, reach: float = 2.0, tinted: bool = True) -> Mesh:
    """A mesh with random texture coordinates, tints and materials."""
    rng = np.random.default_rng(seed)
    count = len(mesh.vertices)
    tints = rng.random((count, 4), dtype=np.float32) if tinted else None
    uv = rng.uniform(-reach, reach, (count, 2)).astype(np.float32)
    ids = rng.integers(0, len(materials), len(mesh.faces)).astype(np.int32)
    return Mesh(mesh.vertices, mesh.faces, appearance=Appearance(materials, ids, uv, tints))


def several_materials() -> tuple[Material, ...]:
    """Every wrap mode, sizes that are no powers of two, factors, none and a cutoff."""
    return (
        Material((0.9, 0.8, 0.7, 1.0), noise(7, 12, seed=1), wrap=("repeat", "mirror")),
        Material((1.0, 1.0, 1.0, 0.9), noise(16, 5, seed=2), cutoff=0.4, wrap=("mirror", "clamp")),
        Material((0.2, 0.5, 1.0, 1.0)),
        Material((1.0, 1.0, 1.0, 1.0), noise(1, 1, seed=3), wrap=("clamp", "repeat")),
        Material((1.0, 0.5, 0.5, 0.3), cutoff=0.1),
    )


def sheet(height: float, material: Material, *, half: float = 1.0, repeats: float = 1.0) -> Mesh:
    """The square |x|, |y| <= half at some height; seen from above, the texture is upright with its right at world +Y."""
    vertices = np.float32([[half, -half, height], [half, half, height], [-half, half, height], [-half, -half, height]])
    uv = np.float32([[0, 0], [1, 0], [1, 1], [0, 1]]) * np.float32(repeats)
    return Mesh(vertices, np.array([[0, 1, 2], [0, 2, 3]]), appearance=Appearance((material,), np.zeros(2, np.int32), uv))


def joined(*meshes: Mesh) -> Mesh:
    """Several meshes with appearances as one."""
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    looks = [mesh.appearance for mesh in meshes if mesh.appearance is not None]
    firsts = np.cumsum([0, *(len(look.materials) for look in looks)])
    return Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate([mesh.faces + start for mesh, start in zip(meshes, starts, strict=False)]),
        appearance=Appearance(
            tuple(material for look in looks for material in look.materials),
            np.concatenate([look.material_ids + first for look, first in zip(looks, firsts, strict=False)]).astype(np.int32),
            np.concatenate([look.uv for look in looks if look.uv is not None]),
        ),
    )
