"""Textures: the right colours, decoded once each, and within one budget for a file."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import basrelief.io as shapes
from basrelief.appearance import Wrap
from basrelief.io.textures import Texture, Textures
from basrelief.limits import limits, use_limits
from basrelief.types import Mesh

from .conftest import Put

RED = (200, 10, 30)
ONE_LEFT_OUT = "1 texture was skipped because together they have more than 67,108,864 pixels."
OBJ = "mtllib m.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\n"
LEFT_OUT = "{} were skipped because together they have more than {} pixels."


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    out = BytesIO()
    image.save(out, kind)
    return out.getvalue()


def picture(data: bytes) -> Texture:
    return Textures().get(0, lambda: data)


def bomb(width: int, height: int) -> bytes:
    """A PNG whose header declares many pixels, with none behind it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.fixture
def few_pixels() -> Iterator[None]:
    with use_limits(replace(limits(), texture_pixels=100)):
        yield


def textured_obj(put: Put, names: list[str]) -> Mesh:
    """One triangle for each name, each with a material of its own on the picture of that name."""
    put("m.mtl", "".join(f"newmtl a{i}\nKd 0 1 0\nmap_Kd {name}\n" for i, name in enumerate(names)))
    shape = shapes.load(put("a.obj", OBJ + "".join(f"usemtl a{i}\nf 1/1 2/2 3/3\n" for i in range(len(names)))))
    assert isinstance(shape, Mesh)
    return shape


def notes(shape: Mesh) -> tuple[str, ...]:
    assert shape.origin is not None
    return shape.origin.notes


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "I;16"])
def test_colors_are_those_of_the_nearest_pixels(mode: str) -> None:
    """The slow reference: each place by itself, in the picture as a whole."""
    rng = np.random.default_rng(0)
    plain = Image.fromarray(rng.integers(0, 256, (11, 7, 3), dtype=np.uint8))
    image = Image.fromarray(rng.integers(0, 65536, (11, 7), dtype=np.uint16)) if mode == "I;16" else plain.convert(mode)
    data = encoded(image, "TIFF" if mode == "CMYK" else "PNG")
    uv = rng.uniform(-1.5, 2.5, (200, 2))
    found = picture(data).colors_at(uv)
    whole = Image.open(BytesIO(data)).convert("RGBA")
    expected = [whole.getpixel((int(u % 1 * 7), 10 - int(v % 1 * 11)))[:3] for u, v in uv.tolist()]  # type: ignore[index]
    assert found is not None
    assert found.tolist() == [list(color) for color in expected]


def test_a_picture_is_converted_in_strips_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (50, 9, 3), dtype=np.uint8))
    uv = np.random.default_rng(2).random((300, 2))
    whole = picture(encoded(image)).colors_at(uv)
    monkeypatch.setattr("basrelief.io.textures._STRIP", 9 * 7)
    monkeypatch.setattr("basrelief.io.textures._CHUNK", 13)
    assert np.array_equal(whole, picture(encoded(image)).colors_at(uv))  # type: ignore[arg-type]


@pytest.mark.parametrize(("wrap", "columns"), [("repeat", [3, 0, 1, 3, 0]), ("clamp", [0, 0, 1, 3, 3]), ("mirror", [0, 0, 1, 3, 3])])
def test_wrap_modes(wrap: Wrap, columns: list[int]) -> None:
    image = Image.fromarray(np.arange(4, dtype=np.uint8)[None].repeat(2, axis=0))
    places = np.stack([[-0.1, 0.1, 0.3, 0.9, 1.1], np.zeros(5)], axis=1)
    found = picture(encoded(image)).colors_at(places, (wrap, "repeat"))
    assert found is not None
    assert found[:, 0].tolist() == columns
    turned = picture(encoded(image.transpose(Image.Transpose.ROTATE_90))).colors_at(places[:, ::-1], ("repeat", wrap))
    assert turned is not None
    assert turned[:, 0].tolist() == columns


@pytest.mark.parametrize("uv", [np.nan, np.inf, -np.inf, 1e30])
def test_places_that_are_none_give_some_color(uv: float) -> None:
    found = picture(encoded(Image.new("RGB", (4, 4), RED))).colors_at(np.full((2, 2), uv))
    assert found is not None
    assert found.tolist() == [list(RED)] * 2


@pytest.mark.parametrize("data", [b"", b"not a picture", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"])
def test_what_is_no_picture_has_no_colors(data: bytes) -> None:
    assert picture(data).colors_at(np.zeros((1, 2))) is None


def test_a_jpeg_of_very_many_scans_is_not_decoded() -> None:
    data = encoded(Image.new("RGB", (8, 8), RED), "JPEG")
    assert picture(data).colors_at(np.zeros((1, 2))) is not None
    assert picture(data + b"\xff\xda" * 200).colors_at(np.zeros((1, 2))) is None


def test_a_picture_is_read_once_and_only_when_needed() -> None:
    reads: list[int] = []
    textures = Textures()

    def read() -> bytes:
        reads.append(1)
        return encoded(Image.new("RGB", (4, 4), RED))

    found = [textures.get("a", read) for _ in range(3)]
    assert reads == []
    for _ in range(2):
        assert all(one.colors_at(np.zeros((5, 2))) is not None for one in found)
    assert (reads, textures.left) == ([1], limits().texture_pixels - 16)


@pytest.mark.parametrize("size", [(40, 24), (41, 23), (17, 4), (4, 17)])
@pytest.mark.parametrize("alpha", [False, True])
def test_large_textures_are_averaged(size: tuple[int, int], alpha: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slow reference: the mean of each block, weighted by alpha where alpha is used."""
    monkeypatch.setattr("basrelief.io.textures._STRIP", 100)
    image = np.random.default_rng(4).integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
    image[:, :3, 3] = 0
    with use_limits(replace(limits(), texture_side=16)):
        found = Textures().get(0, lambda: encoded(Image.fromarray(image)), alpha=alpha).pixels
    assert found is not None
    step = -(-max(size) // 16)
    assert found.shape == (-(-size[1] // step), -(-size[0] // step), 4)
    for row in range(found.shape[0]):
        for column in range(found.shape[1]):
            block = image[row * step : (row + 1) * step, column * step : (column + 1) * step].reshape(-1, 4).astype(float)
            weights = block[:, 3] if alpha and block[:, 3].any() else np.ones(len(block))
            expected = [*(block[:, :3] * weights[:, None]).sum(axis=0) / weights.sum(), block[:, 3].mean() if alpha else 255]
            assert np.allclose(found[row, column], expected, atol=6 if alpha else 1)


def test_a_large_jpeg_is_decoded_at_a_lower_resolution_and_costs_less() -> None:
    ramp = np.linspace(0, 255, 256).astype(np.uint8)
    data = encoded(Image.fromarray(np.stack([np.tile(ramp, (128, 1))] * 3, axis=-1)), "JPEG")
    with use_limits(replace(limits(), texture_side=50)):
        textures = Textures()
        found = textures.get(0, lambda: data).pixels
    assert found is not None
    assert found.shape == (32, 64, 4) or max(found.shape) <= 50
    assert np.allclose(np.interp(np.arange(found.shape[1]) + 0.5, [0, found.shape[1]], [0, 255]), found[5, :, 0], atol=6)
    assert limits().texture_pixels - textures.left == 128 * 256 // 4


@pytest.mark.usefixtures("few_pixels")
def test_many_materials_on_one_picture_count_once(put: Put) -> None:
    put("t.png", encoded(Image.new("RGB", (10, 10), RED)))
    shape = textured_obj(put, ["t.png"] * 50)
    assert shape.colors is not None
    assert np.allclose(shape.colors, np.array(RED) / 255)
    assert notes(shape) == ()


@pytest.mark.usefixtures("few_pixels")
def test_pictures_beyond_the_budget_leave_the_color_of_the_material(put: Put) -> None:
    for i in range(4):
        put(f"{i}.png", encoded(Image.new("RGB", (7, 7), RED)))
    shape = textured_obj(put, [f"{i}.png" for i in range(4)])
    assert shape.colors is not None
    colors = {tuple(color) for color in np.round(shape.colors * 255).astype(int).tolist()}
    assert colors == {RED, (0, 255, 0)}
    assert notes(shape) == (LEFT_OUT.format("2 textures", 100),)


@pytest.mark.parametrize(("width", "height"), [(30_000, 30_000), (8193, 8192), (2**31 - 1, 2**31 - 1)])
def test_a_zip_bomb_is_detected_by_its_header(width: int, height: int, put: Put) -> None:
    put("t.png", bomb(width, height))
    shape = textured_obj(put, ["t.png"])
    assert shape.colors is not None
    assert np.allclose(shape.colors, [0, 1, 0])
    assert notes(shape) == (ONE_LEFT_OUT,)


def test_a_small_picture_beside_a_mesh_of_ply_counts_too(put: Put, tmp_path: Path) -> None:
    put("t.png", bomb(30_000, 30_000))
    header = "ply\nformat ascii 1.0\ncomment TextureFile t.png\nelement vertex 3\n"
    header += (
        "".join(f"property float {name}\n" for name in "xyzst") + "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
    )
    shape = shapes.load(put("a.ply", header + "0 0 0 0 0\n1 0 0 1 0\n0 1 0 0 1\n3 0 1 2\n"))
    assert isinstance(shape, Mesh)
    assert shape.colors is None
    assert notes(shape) == (ONE_LEFT_OUT,)
