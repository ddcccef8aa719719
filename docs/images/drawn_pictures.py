"""Draw `helper-geometry.png` and `surface.png` beside this file: generated glTF files, as they are read."""

from __future__ import annotations

import base64
import json
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
from PIL import Image, ImageDraw

import basrelief as br
from basrelief.geometry.appearance import linear_from_srgb
from basrelief.render import render_thumbnail
from basrelief.shapes import make_shape

SIZE = 300
HERE = Path(__file__).parent


def uri(data: bytes, kind: str = "application/octet-stream") -> str:
    """Return a data URI."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def document(parts: dict[str, dict[str, np.ndarray]], **header: object) -> str:
    """Return a .gltf with one node for each part: attributes by name, world frame, and `faces`."""
    data, views, accessors, meshes = b"", [], [], []
    for arrays in parts.values():
        primitive: dict[str, Any] = {"attributes": {}}
        for name, array in arrays.items():
            if name == "material":
                primitive["material"] = int(array)
                continue
            stored = np.asarray(array, "<u4" if name == "faces" else "<f4")
            stored = stored @ np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], "<f4") if name == "POSITION" else stored
            stored = stored.reshape(-1, 1) if name == "faces" else stored
            views.append({"buffer": 0, "byteOffset": len(data), "byteLength": stored.nbytes})
            kind = {"type": ("SCALAR", "VEC2", "VEC3", "VEC4")[stored.shape[1] - 1], "componentType": 5125 if name == "faces" else 5126}
            accessors.append({"bufferView": len(views) - 1, "count": len(stored), **kind})
            data += stored.tobytes()
            if name == "faces":
                primitive["indices"] = len(accessors) - 1
            else:
                primitive["attributes"][name] = len(accessors) - 1
        meshes.append({"primitives": [primitive]})
    nodes = [{"mesh": i, "name": name} for i, name in enumerate(parts)]
    whole = {
        "asset": {"version": "2.0"},
        "buffers": [{"byteLength": len(data), "uri": uri(data)}],
        "bufferViews": views,
        "accessors": accessors,
        "meshes": meshes,
        "nodes": nodes,
        "scenes": [{"nodes": list(range(len(nodes)))}],
        **header,
    }
    return json.dumps(whole)


def drawn(text: str, **view: float) -> np.ndarray:
    """Read a .gltf and draw it."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.gltf"
        path.write_text(text)
        shape = br.load(path)
    return (render_thumbnail(shape, size=SIZE, **view) * 255).round().astype(np.uint8)  # type: ignore[arg-type]


def save(name: str, panels: list[np.ndarray], titles: list[str]) -> None:
    """Put panels with titles side by side."""
    picture = Image.new("RGB", (SIZE * len(panels), SIZE + 22), "white")
    pen = ImageDraw.Draw(picture)
    for i, (panel, title) in enumerate(zip(panels, titles, strict=True)):
        picture.paste(Image.fromarray(panel), (i * SIZE, 22))
        pen.text((i * SIZE + 8, 5), title, fill=(60, 60, 60), font_size=13)
    picture.quantize(192).save(HERE / name, optimize=True)


def part(category: str, seed: int = 0) -> dict[str, np.ndarray]:
    """Return the attributes of a generated shape."""
    shape = make_shape(category, seed=seed)
    return {"POSITION": shape.vertices, "COLOR_0": linear_from_srgb(shape.colors), "faces": shape.faces}


def box(low: np.ndarray, high: np.ndarray) -> dict[str, np.ndarray]:
    """Return the attributes of a box."""
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]) * (high - low) + low
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    return {"POSITION": corners, "faces": np.array([face for a, b, c, d in quads for face in ((a, b, c), (a, c, d))])}


def helper_geometry() -> None:
    """Draw files with helper geometry, whole and as they are read."""
    chair, light = part("chair", 3), part("street light", 1)
    points = chair["POSITION"]
    ground = box(np.array([-9, -9, -0.02]), np.array([9, 9, 0]))
    files = [
        document({"Chair_01": chair, "Chair_01_collider": box(points.min(axis=0) - 0.02, points.max(axis=0) + 0.02)}),
        document({"StreetLight": light, "Ground": ground}),
    ]
    panels = []
    for file in files:
        with patch("basrelief.io.mesh.shown_parts", lambda parts: (list(range(len(parts))), ())):
            panels.append(drawn(file))
        panels.append(drawn(file))
    save("helper-geometry.png", panels, ["with its collision mesh", "as it is read", "with its ground plane", "as it is read"])


def picture(image: Image.Image) -> dict[str, str]:
    """Return an entry of `images`."""
    out = BytesIO()
    image.save(out, "PNG")
    return {"uri": uri(out.getvalue(), "image/png")}


def planks() -> Image.Image:
    """Return a texture of planks."""
    rng, x = np.random.default_rng(0), np.linspace(0, 1, 256)
    rows = np.repeat(rng.uniform(0.75, 1, 4), 64)[:, None] * (0.9 + 0.1 * np.sin(40 * x + 3 * np.repeat(rng.random(4), 64)[:, None] * 9))
    rows[::64] *= 0.4
    return Image.fromarray((rows[:, :, None] * [235, 190, 130]).astype(np.uint8))


def leaf() -> Image.Image:
    """Return a texture of a leaf, transparent around it."""
    image = Image.new("RGBA", (256, 256), (40, 110, 40, 0))
    pen = ImageDraw.Draw(image)
    for turn in (-60, -30, 0, 30, 60):
        angle = np.radians(turn)
        ends = [(128 + 110 * s * np.sin(angle) + w * np.cos(angle), 250 - 230 * s * np.cos(angle) + w * np.sin(angle)) for s, w in _OUTLINE]
        pen.polygon(ends, fill=(60, 150 - abs(turn), 50, 255))
    return image


_OUTLINE = [(s, 26 * np.sin(np.pi * s)) for s in np.linspace(0, 1, 20)] + [(s, -26 * np.sin(np.pi * s)) for s in np.linspace(1, 0, 20)]


def surfaces() -> None:
    """Draw what textures, factors, vertex colours and alpha do."""
    corners = box(np.full(3, -0.5), np.full(3, 0.5))
    faces = corners["faces"].reshape(-1)
    uv = np.tile([[0, 1], [0, 0], [1, 0], [0, 1], [1, 0], [1, 1]], (6, 1))
    cube = {"POSITION": corners["POSITION"][faces], "TEXCOORD_0": uv, "faces": np.arange(36), "material": np.array(0)}
    tints = {"COLOR_0": np.where(cube["POSITION"][:, 2:] > 0, [1.0, 1.0, 1.0], [0.02, 0.05, 0.3])}
    use = {"baseColorTexture": {"index": 0}}
    more = {"images": [picture(planks()), picture(leaf())], "textures": [{"source": 0}, {"source": 1}]}
    materials = [{"pbrMetallicRoughness": use}, {"pbrMetallicRoughness": use | {"baseColorFactor": [0.9, 0.25, 0.2, 1]}}]
    panels = [drawn(document({"a": cube}, materials=[material], **more)) for material in materials]
    panels.append(drawn(document({"a": cube | tints}, materials=materials[:1], **more)))
    card = {"pbrMetallicRoughness": {"baseColorTexture": {"index": 1}}}
    cards = {}
    for i, turn in enumerate(np.radians([0, 60, 120])):
        side, up = np.array([np.cos(turn), np.sin(turn), 0]), np.array([0, 0, 1.0])
        points = np.array([-side, side, side + 2 * up, -side + 2 * up])
        square = np.array([[0, 1], [1, 1], [1, 0], [0, 0]])
        cards[f"card {i}"] = {"POSITION": points, "TEXCOORD_0": square, "faces": np.array([0, 1, 2, 0, 2, 3]), "material": np.array(0)}
    panels += [drawn(document(cards, materials=[card | mode], **more), elevation=15) for mode in ({}, {"alphaMode": "MASK"})]
    save("surface.png", panels, ["texture", "times base colour", "times vertex colours", "cards, alpha ignored", "alphaMode MASK"])


helper_geometry()
surfaces()
