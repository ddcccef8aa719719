"""Images of KTX 2 files: plain pixels, and Basis Universal through an optional library."""

from __future__ import annotations

import importlib.util
import zlib
from dataclasses import dataclass

import numpy as np

from basrelief.errors import MissingExtraError

_MAGIC = b"\xabKTX 20\xbb\r\n\x1a\n"
_HEADER = 80
_LEVEL = 24  # bytes of the entry of a level: offset, length, unpacked length
_MAX_LEVELS = 32
_PLAIN = {23: 3, 29: 3, 37: 4, 43: 4}  # vkFormat of 8-bit RGB and RGBA, linear or sRGB: channels
_SCHEMES = {0: "none", 3: "zlib"}
_NEEDS = "Textures in KTX 2 need opengl_basisu, so they are drawn without. Run `pip install 'basrelief[ktx2]'`."


def is_ktx2(data: bytes) -> bool:
    """Return whether the data begin like a KTX 2 file."""
    return data[: len(_MAGIC)] == _MAGIC


def read_ktx2(data: bytes, *, most: int, side: int) -> np.ndarray | None:
    """Decode the largest level that is at most `side` pixels long, else the smallest there is, reduced by averaging.

    Args:
        data: The file.
        most: Largest number of pixels of a level to decode.
        side: Longest side of the result in pixels.

    Returns:
        (height, width, 4) uint8, the first row at the top; None if the level has more than `most` pixels.

    Raises:
        MissingExtraError: If it is compressed and the library for that is not installed.
        ValueError: If it is damaged or of another kind.
    """
    header = _Header.parse(data)
    level = next((i for i in range(header.levels) if max(header.size(i)) <= side), header.levels - 1)
    width, height = header.size(level)
    if width * height > most:
        return None
    pixels = (
        _plain(data, header, level) if header.format in _PLAIN and header.scheme in _SCHEMES else _transcoded(data, level, (height, width))
    )
    return _averaged(pixels, -(-max(width, height) // side))


@dataclass(frozen=True)
class _Header:
    """Fields of the header that are used."""

    format: int
    width: int
    height: int
    levels: int
    scheme: int

    @classmethod
    def parse(cls, data: bytes) -> _Header:
        """Parse and check the header."""
        if len(data) < _HEADER + _LEVEL:
            raise ValueError("truncated KTX 2 file")
        numbers = np.frombuffer(data, "<u4", 9, len(_MAGIC)).tolist()
        header = cls(format=numbers[0], width=numbers[2], height=numbers[3], levels=max(numbers[7], 1), scheme=numbers[8])
        if (
            not (0 < header.width < 1 << 16 and 0 < header.height < 1 << 16 and header.levels <= _MAX_LEVELS)
            or numbers[4]
            or numbers[6] != 1
        ):
            raise ValueError("not a two-dimensional KTX 2 image")
        return header

    def size(self, level: int) -> tuple[int, int]:
        """Return the width and height of a level."""
        return max(self.width >> level, 1), max(self.height >> level, 1)


def _plain(data: bytes, header: _Header, level: int) -> np.ndarray:
    width, height = header.size(level)
    channels = _PLAIN[header.format]
    start, length, _ = np.frombuffer(data, "<u8", 3, _HEADER + _LEVEL * level).tolist()
    stored, size = data[start : start + length], width * height * channels
    if _SCHEMES[header.scheme] == "zlib":
        stored = zlib.decompressobj().decompress(stored, size)
    pixels = np.full((height, width, 4), 255, dtype=np.uint8)
    pixels[:, :, :channels] = np.frombuffer(stored, np.uint8, size).reshape(height, width, channels)
    return pixels


def _transcoded(data: bytes, level: int, size: tuple[int, int]) -> np.ndarray:
    if importlib.util.find_spec("opengl_basisu") is None:
        raise MissingExtraError(_NEEDS)
    import opengl_basisu

    pixels = np.asarray(opengl_basisu.open(data).transcode("rgba8", level=level).data)
    if pixels.shape != (*size, 4):
        raise ValueError(f"the level has shape {pixels.shape}, its header says {size}")
    return pixels


def _averaged(pixels: np.ndarray, shrink: int) -> np.ndarray:
    """Average blocks of `shrink` times `shrink` pixels; the last ones may be smaller."""
    if shrink <= 1:
        return pixels
    for axis in (0, 1):
        starts = np.arange(0, pixels.shape[axis], shrink)
        counts = np.diff(np.append(starts, pixels.shape[axis])).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        pixels = np.rint(np.add.reduceat(pixels.astype(np.float32), starts, axis=axis) / counts).astype(np.uint8)
    return pixels
