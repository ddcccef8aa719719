"""Textures of a file: each decoded once, all together within a pixel limit, sampled without copying whole images."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from io import BytesIO

import numpy as np

from basrelief.errors import BasreliefError
from basrelief.io.resolver import FolderResolver
from basrelief.limits import limits

_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TGA", "TIFF", "DDS", "PPM", "JPEG2000")  # none of these decoders starts another program
_STRIP = 1 << 22  # pixels converted at a time
_CHUNK = 1 << 20  # texture coordinates looked up at a time
_MAX_SCANS = 100  # a progressive JPEG has about ten; thousands would each be decoded over the whole image


class Textures:
    """The textures of one file.

    Attributes:
        left: Pixels that may still be decoded.
        skipped: Number of textures not decoded because of the pixel limit.
    """

    def __init__(self) -> None:
        self.left = limits().texture_pixels
        self.skipped = 0
        self._textures: dict[object, Texture] = {}

    def get(self, key: object, read: Callable[[], bytes]) -> Texture:
        """Return the texture for a key; its image is read when its first colour is needed.

        Args:
            key: Identifies the texture within the file, e.g. by name.
            read: Returns the content of the image file; may raise anything.

        Returns:
            The same object for the same key.
        """
        return self._textures.setdefault(key, Texture(self, read))

    def from_file(self, resolver: FolderResolver, name: str) -> Texture:
        """Return the texture stored in a side file.

        Args:
            resolver: Reads side files; notes names that leave the folder, even when no colour is needed.
            name: As written in the shape file.

        Returns:
            The same object for the same name.
        """
        if name not in self._textures:
            with suppress(BasreliefError):
                resolver.find(name)
        return self.get(name, lambda: resolver.get(name))

    @property
    def notes(self) -> tuple[str, ...]:
        """One sentence on the textures that were skipped, if any."""
        if not self.skipped:
            return ()
        return (f"{self.skipped:,} textures were skipped because together they have more than {limits().texture_pixels:,} pixels.",)


class Texture:
    """A texture, decoded when its first colour is requested."""

    def __init__(self, textures: Textures, read: Callable[[], bytes]) -> None:
        self._textures = textures
        self._read: Callable[[], bytes] | None = read
        self._pixels: np.ndarray | None = None

    def colors_at(self, uv: np.ndarray) -> np.ndarray | None:
        """Look up the nearest pixel for texture coordinates.

        Args:
            uv: (N, 2) coordinates, (0, 0) at the lower left, (1, 1) at the upper right; the image repeats outside.

        Returns:
            (N, 3) uint8, or None if the image is missing, broken or too large.
        """
        pixels = self._decoded()
        if pixels is None:
            return None
        colors = np.empty((len(uv), 3), dtype=np.uint8)
        for start in range(0, len(uv), _CHUNK):
            places = np.asarray(uv[start : start + _CHUNK], dtype=np.float64)
            row, column = _index(1 - places[:, 1], pixels.shape[0]), _index(places[:, 0], pixels.shape[1])
            colors[start : start + _CHUNK] = pixels[row, column]
        return colors

    def _decoded(self) -> np.ndarray | None:
        if self._read is not None:
            read, self._read = self._read, None
            try:
                self._pixels = self._decode(read())
            except Exception:  # a missing or broken image raises whatever its reader or decoder raises
                self._pixels = None
        return self._pixels

    def _decode(self, data: bytes) -> np.ndarray | None:
        """Decode to (height, width, 3), converted in strips, so that at most two copies are in memory."""
        from PIL import Image

        try:
            image = Image.open(BytesIO(data), formats=_FORMATS)
            size = image.width * image.height
        except Image.DecompressionBombError:
            size = self._textures.left + 1
        if size > self._textures.left:
            self._textures.skipped += 1
            return None
        if image.format == "JPEG" and data.count(b"\xff\xda") > _MAX_SCANS:
            return None
        self._textures.left -= size
        pixels = np.empty((image.height, image.width, 3), dtype=np.uint8)
        rows = max(_STRIP // image.width, 1)
        for top in range(0, image.height, rows):
            strip = image.crop((0, top, image.width, min(top + rows, image.height)))
            pixels[top : top + rows] = np.asarray(strip.convert("RGBA"))[:, :, :3]
        return pixels


def _index(place: np.ndarray, size: int) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # a value that is not finite gives an arbitrary pixel
        index: np.ndarray = np.rint(place * (size - 1) % size).astype(np.int64) % size
    return index
