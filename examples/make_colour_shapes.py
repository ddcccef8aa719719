"""Write the textured shapes in `examples/shapes-colour`: our own designs and textures, made by this script.

Run from anywhere: `python examples/make_colour_shapes.py [folder]`.

`globe.glb` is a globe on a stand: land, sea, ice and a grid of lines are in one texture on 800 faces, too few to hold them as colours of
vertices. `fern.glb` is a plant in a pot: each leaf is two triangles, cut out by the alpha of its texture.
"""

import io
import sys
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image
from trimesh.visual.material import PBRMaterial

from basrelief.geometry.appearance import linear_from_srgb

GREEN, TERRACOTTA, WOOD = (64, 128, 48), (176, 90, 56), (120, 74, 40)


def main(folder: Path) -> None:
    """Write both shapes into a folder and print their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, scene in (("globe.glb", globe()), ("fern.glb", fern())):
        path = folder / name
        path.write_bytes(scene.export(file_type="glb"))
        print(path)


def globe() -> trimesh.Scene:
    """Build a globe in a ring on a foot, +Y up."""
    sphere = rounded(np.sin(np.linspace(0, np.pi, 21)), -np.cos(np.linspace(0, np.pi, 21)), 20)
    tilt = trimesh.transformations.rotation_matrix(np.radians(-23), (0, 0, 1))
    sphere.apply_transform(tilt)
    dress(sphere, PBRMaterial(baseColorTexture=earth(256), metallicFactor=0, roughnessFactor=0.9))
    ring = trimesh.creation.torus(1.12, 0.05, major_sections=36, minor_sections=6)
    ring.apply_transform(tilt)
    stem = trimesh.creation.cylinder(0.06, segment=((0, -1.6, 0), (0, -1.1, 0)), sections=12)
    foot = trimesh.creation.cylinder(0.6, segment=((0, -1.7, 0), (0, -1.6, 0)), sections=28)
    for part in (ring, stem, foot):
        dress(part, plain(WOOD))
    return trimesh.Scene({"globe": sphere, "ring": ring, "stem": stem, "foot": foot})


def fern() -> trimesh.Scene:
    """Build a plant with cut-out leaves in a pot, +Y up."""
    outline = np.array([(0, 0), (0.36, 0), (0.5, 0.62), (0.56, 0.62), (0.56, 0.76), (0.47, 0.76), (0.45, 0.66), (0, 0.66)])
    pot = rounded(outline[:, 0], outline[:, 1], 24)
    dress(pot, plain(TERRACOTTA))
    leaves = [leaf(azimuth, lean) for lean, count in ((12, 5), (38, 8), (64, 9)) for azimuth in np.arange(count) * 360 / count + lean]
    material = PBRMaterial(baseColorTexture=frond(128), alphaMode="MASK", alphaCutoff=0.5, doubleSided=True, metallicFactor=0)
    plant = trimesh.util.concatenate(leaves)
    plant.visual.material = material
    return trimesh.Scene({"pot": pot, "leaves": plant})


def leaf(azimuth: float, lean: float) -> trimesh.Trimesh:
    """Build one card that leans outwards by some degrees, its texture upright."""
    corners = np.array([(-0.28, 0, 0), (0.28, 0, 0), (0.28, 1.5, 0), (-0.28, 1.5, 0)])
    card = trimesh.Trimesh(corners, [(0, 1, 2), (0, 2, 3)], process=False)
    card.visual = trimesh.visual.TextureVisuals(uv=[(0, 0), (1, 0), (1, 1), (0, 1)])
    card.apply_transform(trimesh.transformations.rotation_matrix(np.radians(lean), (1, 0, 0)))
    card.apply_transform(trimesh.transformations.rotation_matrix(np.radians(azimuth), (0, 1, 0)))
    card.apply_translation((0, 0.6, 0))
    return card


def rounded(radius: np.ndarray, height: np.ndarray, sections: int) -> trimesh.Trimesh:
    """Turn an outline about the +Y axis; texture coordinates run around and up."""
    around, along = np.linspace(0, 1, sections + 1), np.linspace(0, 1, len(radius))
    angle = 2 * np.pi * around
    place = np.stack([np.outer(radius, np.sin(angle)), np.outer(height, np.ones_like(angle)), np.outer(radius, np.cos(angle))], -1)
    index = np.arange(place.shape[0] * place.shape[1]).reshape(place.shape[:2])
    a, b, c, d = (part.ravel() for part in (index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]))
    shape = trimesh.Trimesh(place.reshape(-1, 3), np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]), process=False)
    shape.visual = trimesh.visual.TextureVisuals(uv=np.stack(np.broadcast_arrays(around[None], along[:, None]), -1).reshape(-1, 2))
    return shape


def plain(color: tuple[int, int, int]) -> PBRMaterial:
    """Return a material of one colour, which glTF stores as linear light."""
    light = linear_from_srgb(np.array(color) / 255)
    return PBRMaterial(baseColorFactor=np.append(light * 255, 255).astype(np.uint8), metallicFactor=0, roughnessFactor=0.9)


def dress(shape: trimesh.Trimesh, material: PBRMaterial) -> None:
    """Give a shape a material, and keep its texture coordinates."""
    shape.visual = trimesh.visual.TextureVisuals(uv=getattr(shape.visual, "uv", None), material=material)


def earth(height: int) -> Image.Image:
    """Paint sea, land by smooth noise, ice at the poles, and a grid of lines."""
    rng = np.random.default_rng(7)
    v, u = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, 2 * height, endpoint=False), indexing="ij")
    latitude, longitude = v * np.pi / 2, u * np.pi
    x, y, z = np.cos(latitude) * np.sin(longitude), np.sin(latitude), np.cos(latitude) * np.cos(longitude)
    level = np.zeros_like(u)
    for scale in (1.6, 3.1, 6.3, 12.0):
        for direction in rng.normal(size=(6, 3)):
            level += np.sin(scale * (direction[0] * x + direction[1] * y + direction[2] * z) + rng.uniform(0, 6)) / scale
    image = np.where((level > 0.5)[..., None], (96, 150, 60), (38, 96, 168))
    image = np.where((level > 1.1)[..., None], (176, 150, 92), image)
    image = np.where((np.abs(v) + 0.03 * np.sin(9 * longitude) > 0.86)[..., None], (236, 242, 246), image)
    lines = (np.abs((u * 6 + 0.5) % 1 - 0.5) < 0.025) | (np.abs((v * 6 + 0.5) % 1 - 0.5) < 0.025)
    return packed(np.where(lines[..., None], (228, 214, 170), image))


def frond(height: int) -> Image.Image:
    """Paint a feathered leaf on a transparent ground."""
    y, x = np.meshgrid(np.linspace(1, 0, height), np.linspace(-1, 1, height // 2), indexing="ij")
    width = 0.95 * np.sin(np.pi * np.clip(y, 0, 1) ** 0.8) ** 0.7
    gaps = ((y - 0.35 * np.abs(x)) * 13) % 1 < 0.3
    inside = (np.abs(x) < width) & (~gaps | (np.abs(x) < 0.09)) & (y > 0.06)
    inside |= (np.abs(x) < 0.05) & (y < 0.95)
    shade = (0.75 + 0.35 * y - 0.25 * (np.abs(x) < 0.05))[..., None]
    color = np.clip(np.array(GREEN) * shade, 0, 255)
    return packed(np.concatenate([color, 255 * inside[..., None]], axis=-1))


def packed(pixels: np.ndarray) -> Image.Image:
    """Return an image that is stored as a small PNG."""
    stored = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(stored, "PNG", optimize=True)
    return Image.open(stored)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "shapes-colour")
