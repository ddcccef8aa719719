"""Textures of a file: each decoded once, reduced to a bounded size, all together within a pixel limit."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from basrelief.appearance import Wrap
from basrelief.errors import BasreliefError, MissingExtraError
from basrelief.io.ktx2 import is_ktx2, read_ktx2
from basrelief.io.resolver import FolderResolver, OutsideFolderError
from basrelief.limits import limits

if TYPE_CHECKING:
    from PIL import Image

_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TGA", "TIFF", "DDS", "PPM", "JPEG2000")  # none of these decoders starts another program
_STRIP = 1 << 22  # pixels converted at a time
_CHUNK = 1 << 20  # texture coordinates looked up at a time
_MAX_SCANS = 100  # a progressive JPEG has about ten; thousands would each be decoded over the whole image
_DRAFT_COST = 4  # decoding a JPEG at a lower resolution takes at least this part of the time
_BRIGHTNESS = (0.299, 0.587, 0.114)  # of red, green and blue
_NAMED = 3  # textures named in a note
REPEAT: tuple[Wrap, Wrap] = ("repeat", "repeat")


class Textures:
    """The textures of one file.

    Attributes:
        left: Pixels that may still be decoded.
        skipped: Number of textures not decoded because of the pixel limit.
        broken: Names of the textures that are missing or damaged.
        undecoded: Why a texture needs a library that is not installed; empty if none does.
    """

    def __init__(self) -> None:
        self.left = limits().texture_pixels
        self.skipped = 0
        self.broken: list[str] = []
        self.undecoded = ""
        self._textures: dict[object, Texture] = {}

    def get(self, key: object, read: Callable[[], bytes], *, name: str = "", alpha: bool = False) -> Texture:
        """Return the texture for a key; its image is read when its first pixel is needed.

        Args:
            key: Identifies the texture within the file, e.g. by name.
            read: Returns the content of the image file; may raise anything.
            name: What to call it in notes.
            alpha: Whether its alpha is used; otherwise it is 255 everywhere.

        Returns:
            The same object for the same key and `alpha`.
        """
        return self._textures.setdefault((key, alpha), Texture(self, read, name=name, alpha=alpha))

    def from_file(self, resolver: FolderResolver, name: str, *, alpha: bool = False) -> Texture:
        """Return the texture stored in a side file, or in one of a similar name, see `FolderResolver.find`.

        Args:
            resolver: Reads side files; notes names that leave the folder, even when no pixel is needed.
            name: As written in the shape file.
            alpha: Whether its alpha is used; otherwise it is 255 everywhere.

        Returns:
            The same object for the same name and `alpha`.
        """
        if (name, alpha) not in self._textures:
            with suppress(BasreliefError):
                resolver.find(name, similar=True)
        return self.get(name, lambda: resolver.get(name, similar=True), name=name, alpha=alpha)

    def masked(self, color: Texture | None, mask: Texture) -> Texture:
        """Return a texture with the colours of one image, white if None, and the alpha of another.

        Args:
            color: The image of the colours.
            mask: Its alpha, or its brightness where it has none, is the alpha.
        """
        pixels = None if color is None else color.pixels
        if mask.pixels is None:
            return color or mask
        size = np.prod(np.maximum(mask.pixels.shape[:2], (1, 1) if pixels is None else pixels.shape[:2]))
        if size > self.left:
            self.skipped += 1
            return color or mask
        self.left -= int(size)
        return self._made(_masked(pixels, mask.pixels))

    def opaque(self, texture: Texture) -> Texture:
        """Return a texture with alpha 255 everywhere, the same one if it is opaque."""
        return texture if texture.pixels is None or texture.alpha_range[0] == 1 else self._made(_opaque(texture.pixels))

    def _made(self, pixels: np.ndarray) -> Texture:
        texture = Texture(self, bytes)
        texture.set_pixels(pixels)
        return texture

    @property
    def notes(self) -> tuple[str, ...]:
        """One sentence on each kind of texture that was not decoded."""
        notes = []
        if self.skipped:
            of = f"{self.skipped:,} textures were" if self.skipped > 1 else "1 texture was"
            notes.append(f"{of} skipped because together they have more than {limits().texture_pixels:,} pixels.")
        if self.undecoded:
            notes.append(self.undecoded)
        if self.broken:
            names = list(dict.fromkeys(name[:60] for name in self.broken if name))
            named = f": {', '.join(names[:_NAMED])}{', ...' if len(names) > _NAMED else ''}" if names else ""
            of = f"{len(self.broken):,} textures are" if len(self.broken) > 1 else "1 texture is"
            notes.append(f"{of} missing or damaged{named}.")
        return tuple(notes)


class Texture:
    """A texture, decoded when its first pixel is requested."""

    def __init__(self, textures: Textures, read: Callable[[], bytes], *, name: str = "", alpha: bool = False) -> None:
        self._textures, self._name, self._alpha = textures, name, alpha
        self._read: Callable[[], bytes] | None = read
        self._pixels: np.ndarray | None = None

    @property
    def pixels(self) -> np.ndarray | None:
        """(height, width, 4) uint8 red, green, blue (sRGB) and alpha, the first row at the top, at most `Limits.texture_side` long.

        None if the image is missing, broken or too large.
        """
        if self._read is not None:
            read, self._read = self._read, None
            try:
                self._pixels = self._decode(read())
            except MissingExtraError as error:
                self._textures.undecoded = str(error)
            except OutsideFolderError:
                pass  # in the notes of the resolver
            except Exception:  # a missing or broken image raises whatever its reader or decoder raises
                self._textures.broken.append(self._name)
        return self._pixels

    def set_pixels(self, pixels: np.ndarray) -> None:
        """Use these pixels (height, width, 4) instead of reading an image."""
        self._read, self._pixels = None, pixels

    @cached_property
    def alpha_range(self) -> tuple[float, float]:
        """Lowest and highest alpha, in [0, 1]; opaque if there are no pixels."""
        return (1.0, 1.0) if self.pixels is None else (int(self.pixels[:, :, 3].min()) / 255, int(self.pixels[:, :, 3].max()) / 255)

    def colors_at(self, uv: np.ndarray, wrap: tuple[Wrap, Wrap] = REPEAT) -> np.ndarray | None:
        """Look up the nearest pixel for texture coordinates.

        Args:
            uv: (N, 2) coordinates, (0, 0) at the lower left, (1, 1) at the upper right.
            wrap: What lies to the left and right, and below and above, of the image.

        Returns:
            (N, 3) uint8, or None if the image is missing, broken or too large.
        """
        pixels = self.pixels
        if pixels is None:
            return None
        colors = np.empty((len(uv), 3), dtype=np.uint8)
        for start in range(0, len(uv), _CHUNK):
            places = np.asarray(uv[start : start + _CHUNK], dtype=np.float64)
            column, row = (_index(places[:, axis], pixels.shape[1 - axis], wrap[axis]) for axis in (0, 1))
            colors[start : start + _CHUNK] = pixels[pixels.shape[0] - 1 - row, column, :3]
        return colors

    def _decode(self, data: bytes) -> np.ndarray | None:
        if is_ktx2(data):
            pixels = read_ktx2(data, most=self._textures.left, side=limits().texture_side)
            if pixels is None:
                self._textures.skipped += 1
                return None
            self._textures.left -= pixels.shape[0] * pixels.shape[1]
            return pixels if self._alpha else _opaque(pixels)
        image = self._open(data)
        if image is None:
            return None
        side = limits().texture_side
        shrink = -(-max(image.size) // side)
        if image.format == "JPEG" and shrink > 1:
            full = image.width * image.height
            image.draft(None, (max(image.width // shrink, 1), max(image.height // shrink, 1)))
            self._textures.left -= max(image.width * image.height, full // _DRAFT_COST)
        else:
            self._textures.left -= image.width * image.height
        return _reduced(image, -(-max(image.size) // side), alpha=self._alpha)

    def _open(self, data: bytes) -> Image.Image | None:
        """Open an image whose size the limit allows, without decoding it."""
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
            self._textures.broken.append(self._name)
            return None
        return image


def _reduced(image: Image.Image, shrink: int, *, alpha: bool) -> np.ndarray:
    """Average blocks of `shrink` times `shrink` pixels, in strips, so that at most two copies of the image are in memory.

    Colours are weighted by alpha where it is used, so that pixels that are cut away do not bleed into the others.
    """
    pixels = np.empty((-(-image.height // shrink), -(-image.width // shrink), 4), dtype=np.uint8)
    rows = max(_STRIP // image.width // shrink, 1)
    for top in range(0, len(pixels), rows):
        under = min((top + rows) * shrink, image.height)
        strip = image.crop((0, top * shrink, image.width, under)).convert("RGBA")
        found = pixels[top : top + rows]
        plain = strip.convert("RGB")
        if not alpha:
            found[:, :, :3], found[:, :, 3] = np.asarray(plain.reduce(shrink) if shrink > 1 else plain), 255
            continue
        found[:] = np.asarray(strip.reduce(shrink) if shrink > 1 else strip)
        if shrink > 1:  # what is cut away keeps its colour for the interpolation at its edge
            away = found[:, :, 3] == 0
            found[away, :3] = np.asarray(plain.reduce(shrink))[away]
    return pixels


def _masked(color: np.ndarray | None, mask: np.ndarray) -> np.ndarray:
    """Return the colours of one image, white if None, with the alpha of another, or its brightness if that is opaque everywhere."""
    alpha = mask[:, :, 3]
    if alpha.min() == 255:
        alpha = np.rint(mask[:, :, :3] @ np.array(_BRIGHTNESS)).astype(np.uint8)
    if color is None:
        color = np.full((1, 1, 4), 255, dtype=np.uint8)
    size = np.maximum(color.shape[:2], alpha.shape)
    return np.dstack([_resized(color[:, :, :3], size), _resized(alpha, size)])


def _resized(pixels: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Repeat pixels to the given height and width."""
    row, column = (np.arange(to) * of // to for to, of in zip(size, pixels.shape[:2], strict=True))
    found: np.ndarray = pixels[np.ix_(row, column)]
    return found


def _opaque(pixels: np.ndarray) -> np.ndarray:
    pixels = pixels.copy()
    pixels[:, :, 3] = 255
    return pixels


def _index(place: np.ndarray, size: int, wrap: Wrap) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # a value that is not finite gives an arbitrary pixel
        if wrap == "clamp":
            place = place.clip(0, 1)
        elif wrap == "mirror":
            place = 1 - np.abs(place % 2 - 1)
        else:
            place = place % 1
        index: np.ndarray = np.nan_to_num(place * size, nan=0, posinf=0, neginf=0).astype(np.int64).clip(0, size - 1)
    return index
