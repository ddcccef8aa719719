"""KTX 2: plain pixels are read, compressed ones by the library for it, and without it there is a note."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from basrelief.io import ktx2
from basrelief.io.textures import Textures
from basrelief.limits import limits, use_limits

from .conftest import Put
from .gltfs import inline
from .test_gltf_materials import loaded, look, textured

RGBA, RGB = 43, 29


def file(
    levels: list[bytes], *, kind: int = RGBA, size: tuple[int, int] = (2, 2), scheme: int = 0, depth: int = 0, descriptor: bytes = b""
) -> bytes:
    """A KTX 2 file of these levels, the largest first."""
    start = 80 + 24 * len(levels)
    numbers = [kind, 1, *size, depth, 0, 1, len(levels), scheme, start if descriptor else 0, len(descriptor), 0, 0]
    index, at = b"", start + len(descriptor)
    for level in levels:
        index += np.array([at, len(level), len(level)], "<u8").tobytes()
        at += len(level)
    return b"\xabKTX 20\xbb\r\n\x1a\n" + np.array(numbers, "<u4").tobytes() + bytes(16) + index + descriptor + b"".join(levels)


def pixels(width: int, height: int, channels: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def decoded(data: bytes) -> np.ndarray | None:
    return Textures().get(0, lambda: data, alpha=True).pixels


@pytest.mark.parametrize("scheme", [0, 3])
def test_plain_pixels(scheme: int) -> None:
    image = pixels(3, 2)
    stored = zlib.compress(image.tobytes()) if scheme else image.tobytes()
    assert np.array_equal(decoded(file([stored], size=(3, 2), scheme=scheme)), image)  # type: ignore[arg-type]


def test_pixels_without_alpha_are_opaque() -> None:
    image = pixels(3, 2, 3)
    found = decoded(file([image.tobytes()], kind=RGB, size=(3, 2)))
    assert found is not None
    assert np.array_equal(found[:, :, :3], image)
    assert (found[:, :, 3] == 255).all()


def test_the_largest_level_within_the_limit_is_read() -> None:
    levels = [pixels(8 >> i, 4 >> i, seed=i) for i in range(3)]
    data = file([level.tobytes() for level in levels], size=(8, 4))
    for side, level in ((8, 0), (7, 1), (4, 1), (2, 2)):
        with use_limits(limits().__class__(texture_side=side)):
            assert np.array_equal(decoded(data), levels[level])  # type: ignore[arg-type]


def test_a_large_level_is_averaged() -> None:
    image = pixels(5, 3)
    with use_limits(limits().__class__(texture_side=2)):
        found = decoded(file([image.tobytes()], size=(5, 3)))
    assert found is not None
    assert found.shape == (1, 2, 4)
    assert np.allclose(found[0, 0], image[:, :3].mean(axis=(0, 1)), atol=1)
    assert np.allclose(found[0, 1], image[:, 3:].mean(axis=(0, 1)), atol=1)


@pytest.mark.parametrize(
    "data",
    [
        file([b""])[:50],
        file([b"1234"]),
        file([bytes(16)], size=(0, 2)),
        file([bytes(16)], size=(1 << 20, 2)),
        file([bytes(16)], depth=3),
        file([b"x" * 9], scheme=3),
        file([zlib.compress(b"short")], scheme=3),
    ],
)
def test_damaged_files_are_noted(data: bytes) -> None:
    textures = Textures()
    assert textures.get(0, lambda: data, name="a.ktx2").pixels is None
    assert textures.notes == ("1 texture is missing or damaged: a.ktx2.",)


def test_what_has_too_many_pixels_is_skipped() -> None:
    textures = Textures()
    assert textures.get(0, lambda: file([bytes(16)], size=(60_000, 60_000))).pixels is None
    assert textures.skipped == 1


def test_compressed_textures_need_a_library(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ktx2.importlib.util, "find_spec", lambda _: None)
    image = {"uri": inline(file([bytes(16)], kind=0), "image/ktx2")}
    shape = loaded(put, textured() | {"name": "a"}, images=[image], textures=[{"extensions": {"KHR_texture_basisu": {"source": 0}}}])
    assert shape.appearance is None
    assert shape.origin is not None
    assert shape.origin.notes == ("Textures in KTX 2 need opengl_basisu, so they are drawn without. Run `pip install 'basrelief[ktx2]'`.",)


def test_textures_of_gltf_in_ktx2(put: Put) -> None:
    image = pixels(2, 2)
    shape = loaded(
        put,
        textured(),
        images=[{"uri": inline(file([image.tobytes()]), "image/ktx2")}],
        textures=[{"extensions": {"KHR_texture_basisu": {"source": 0}}}],
    )
    texture = look(shape).materials[0].texture
    assert texture is not None
    assert np.array_equal(texture[:, :, :3], image[:, :, :3])


def uastc(width: int, height: int) -> tuple[bytes, np.ndarray]:
    """A texture in UASTC whose blocks of 4 by 4 pixels have one colour each (mode 8 of the format), and its pixels."""
    colors = pixels(width // 4, height // 4)
    blocks = b"".join((0b10111 | int.from_bytes(color.tobytes(), "little") << 5).to_bytes(16, "little") for color in colors.reshape(-1, 4))
    words = [44, 0, 2 | 40 << 16, 166 | 1 << 8 | 2 << 16, 3 | 3 << 8, 16, 0, 127 << 16 | 3 << 24, 0, 0, 0xFFFFFFFF]
    data = file([blocks], kind=0, size=(width, height), descriptor=np.array(words, "<u4").tobytes())
    return data, colors.repeat(4, axis=0).repeat(4, axis=1)


def test_basis_universal() -> None:
    pytest.importorskip("opengl_basisu")
    data, expected = uastc(16, 8)
    assert np.array_equal(decoded(data), expected)  # type: ignore[arg-type]
    textures = Textures()
    assert textures.get(0, lambda: data[:-20], name="a.ktx2").pixels is None
    assert textures.notes == ("1 texture is missing or damaged: a.ktx2.",)
