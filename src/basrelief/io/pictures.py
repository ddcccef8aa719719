"""Textures of one file: decoded once each, together never more than the limit, and looked up without a copy of the whole."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from io import BytesIO

import numpy as np

from basrelief.errors import BasreliefError
from basrelief.io.resolver import FolderResolver
from basrelief.limits import limits

_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TGA", "TIFF", "DDS", "PPM", "JPEG2000")  # none that starts another program
_STRIP = 1 << 22  # pixels that are converted at a time
_CHUNK = 1 << 20  # places that are looked up at a time
_MAX_SCANS = 100  # a progressive JPEG has about ten; each of thousands would be decoded over the whole picture


class Pictures:
    """The textures of one file.

    Attributes:
        left: Pixels that may still be decoded.
        skipped: How many textures were not decoded because there were too many pixels.
    """

    def __init__(self) -> None:
        self.left = limits().texture_pixels
        self.skipped = 0
        self._pictures: dict[object, Picture] = {}

    def picture(self, key: object, read: Callable[[], bytes]) -> Picture:
        """Give the picture of this key, which is not read before a colour of it is needed.

        Args:
            key: What tells pictures of the file apart, e.g. a name.
            read: Gives the content of the picture file; may raise anything.

        Returns:
            The same picture for the same key.
        """
        return self._pictures.setdefault(key, Picture(self, read))

    def beside(self, resolver: FolderResolver, name: str) -> Picture:
        """Give a picture that lies beside the file.

        Args:
            resolver: Reads side files; notes a name that leaves the folder, even where no colour is needed.
            name: As written in the shape file.

        Returns:
            The same picture for the same name.
        """
        if name not in self._pictures:
            with suppress(BasreliefError):
                resolver.find(name)
        return self.picture(name, lambda: resolver.get(name))

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out, in one sentence."""
        if not self.skipped:
            return ()
        return (f"{self.skipped:,} textures were left out because all together have more than {limits().texture_pixels:,} pixels.",)


class Picture:
    """A texture that is decoded when the first colour is asked for."""

    def __init__(self, pictures: Pictures, read: Callable[[], bytes]) -> None:
        self._pictures = pictures
        self._read: Callable[[], bytes] | None = read
        self._pixels: np.ndarray | None = None

    def colors_at(self, uv: np.ndarray) -> np.ndarray | None:
        """Look colours up.

        Args:
            uv: (N, 2) places, (0, 0) at the lower left, (1, 1) at the upper right; the picture repeats outside.

        Returns:
            (N, 3) uint8, the pixel nearest to each place, or None where the picture is absent, broken or too large.
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
            except Exception:  # an absent or broken picture raises whatever its reader or decoder raises
                self._pixels = None
        return self._pixels

    def _decode(self, data: bytes) -> np.ndarray | None:
        """Decode to (height, width, 3), converted in strips, so that two pictures are in memory at most."""
        from PIL import Image

        try:
            image = Image.open(BytesIO(data), formats=_FORMATS)
            size = image.width * image.height
        except Image.DecompressionBombError:
            size = self._pictures.left + 1
        if size > self._pictures.left:
            self._pictures.skipped += 1
            return None
        if image.format == "JPEG" and data.count(b"\xff\xda") > _MAX_SCANS:
            return None
        self._pictures.left -= size
        pixels = np.empty((image.height, image.width, 3), dtype=np.uint8)
        rows = max(_STRIP // image.width, 1)
        for top in range(0, image.height, rows):
            strip = image.crop((0, top, image.width, min(top + rows, image.height)))
            pixels[top : top + rows] = np.asarray(strip.convert("RGBA"))[:, :, :3]
        return pixels


def _index(place: np.ndarray, size: int) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # what is not finite gives some pixel
        index: np.ndarray = np.rint(place * (size - 1) % size).astype(np.int64) % size
    return index
