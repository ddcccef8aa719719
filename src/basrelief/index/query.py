"""Queries: words, images and shapes mixed into one embedding."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float32

from basrelief.errors import ConfigError, FileFormatError, unknown_choice
from basrelief.index.search import POOLINGS, SearchOptions
from basrelief.limits import limits
from basrelief.models import Model
from basrelief.tasks import mix_embeddings
from basrelief.types import Shape

if TYPE_CHECKING:
    from PIL import Image

_WITHOUT_WEIGHT = -0.5
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
_PILLOW_ERRORS = (OSError, ValueError, SyntaxError, ArithmeticError, LookupError, TypeError, struct.error)
"""What Pillow raises for damaged files."""


@dataclass(frozen=True)
class Query:
    """What to search for: any mixture of words, images and shapes.

    Attributes:
        words: Phrases.
        images: Pillow images, arrays (H, W, 3), or paths of image files.
        shapes: Shapes in the world frame, or paths of shape files.
        without: Phrases to move away from.
        where: Filters, see `basrelief.index.filters.sql_condition`.
        pooling: One of `POOLINGS`.
        match_names: Whether files whose names contain the words move up.
        embeddings: Image or shape embeddings computed before.

    Raises:
        ConfigError: If there is nothing to search for, or the pooling is unknown.
    """

    words: tuple[str, ...] = ()
    images: tuple[Image.Image | np.ndarray | Path, ...] = ()
    shapes: tuple[Shape | Path, ...] = ()
    without: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    pooling: str = "mean"
    match_names: bool = True
    embeddings: tuple[Float32[np.ndarray, " dim"], ...] = ()

    def __post_init__(self) -> None:
        """Check that there is something to search for."""
        if not (self.words or self.images or self.shapes or self.embeddings):
            raise ConfigError("There is nothing to search for. Give words, an image or a shape.")
        if self.pooling not in POOLINGS:
            raise ConfigError(unknown_choice("pooling", self.pooling, POOLINGS))

    @property
    def options(self) -> SearchOptions:
        """How files are ranked."""
        return SearchOptions(self.where, self.pooling, " ".join(self.words) if self.match_names else "")

    def embed(self, model: Model, text_mean: Float32[np.ndarray, " dim"]) -> Float32[np.ndarray, " dim"]:
        """Embed the query as one unit vector.

        Text embeddings share most of their direction. Unless that is subtracted, the shapes closest to it lead every ranking.

        Args:
            model: Model of the library.
            text_mean: Mean text embedding, subtracted from every phrase.

        Raises:
            FileFormatError: If a file cannot be read.
        """
        phrases = [*self.words, *self.without]
        images = [read_image(image) if isinstance(image, Path) else image for image in self.images]
        parts = list((model.embed_text(phrases).cpu() - torch.from_numpy(text_mean)).unbind()) if phrases else []
        parts += list(model.embed_images(images).cpu().unbind()) if images else []
        parts += list(model.embed_shapes(self.shapes).cpu().unbind()) if self.shapes else []
        parts += [torch.from_numpy(embedding) for embedding in self.embeddings]
        weights = [1.0] * len(self.words) + [_WITHOUT_WEIGHT] * len(self.without) + [1.0] * (len(parts) - len(phrases))
        vector: np.ndarray = mix_embeddings(parts, weights=weights).numpy()
        return vector


def read_image(path: Path) -> Image.Image:
    """Read a PNG, JPEG, WebP or BMP file of at most `Limits.picture_pixels` as RGB; of an animation, the first frame.

    Raises:
        FileFormatError: If it cannot be read or is too large.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path, formats=_FORMATS) as image:
            if image.width * image.height > limits().picture_pixels:
                size, limit = f"{image.width} x {image.height} pixels", limits().picture_pixels
                raise FileFormatError(f"Image {path.name!r} has {size}; the limit is {limit:,} in all. Scale it down.")
            return ImageOps.exif_transpose(image).convert("RGB")
    except (*_PILLOW_ERRORS, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        if isinstance(error, FileFormatError):
            raise
        if isinstance(error, FileNotFoundError):
            raise FileFormatError(f"Image {str(path)!r} not found. Check its path.") from error
        raise FileFormatError(f"Image {path.name!r} cannot be read: {error}. Save it as PNG or JPEG.") from error
