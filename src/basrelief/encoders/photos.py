"""Photos of any size as the square that an image tower takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from basrelief.encoders.preprocessing import ImageFit
from basrelief.errors import ConfigError

if TYPE_CHECKING:
    from PIL import Image

_LONG, _MARGIN = 8, 8
"""Sides of a picture above which only its middle is scaled, and pixels around the middle, more than the filter reaches."""


def fit_image(image: Image.Image, side: int, fit: ImageFit) -> Float[Tensor, "3 side side"]:
    """Turn a picture into the square that a tower expects, values in [0, 1], without mean and standard deviation.

    The pixels are those of torchvision's `Resize` and `CenterCrop` on a Pillow image, which open_clip and OpenAI's CLIP use. One departure:
    other modes become RGB before they are resized, not after, as in Hugging Face's processor; open_clip would resize an indexed
    picture by nearest neighbours.

    Args:
        image: Of any size and mode.
        side: Of the square, pixels: the encoder's `image_size`.
        fit: Resize mode and interpolation.

    Raises:
        ConfigError: If the encoder cannot encode images.
    """
    if side == 0:
        raise ConfigError("This model's encoder holds no image tower: it cannot encode pictures. Use words, or a model with one.")
    from PIL import Image

    method = Image.Resampling.BICUBIC if fit.interpolation == "bicubic" else Image.Resampling.BILINEAR
    picture = image.convert("RGB")
    squashes = fit.resize_mode == "squash"
    square = picture.resize((side, side), method) if squashes else _crop_centre(picture, side, method)
    return torch.from_numpy(np.array(square)).permute(2, 0, 1).float() / 255


def _crop_centre(picture: Image.Image, side: int, method: Image.Resampling) -> Image.Image:
    """Scale the shortest side and crop the centre; of a long picture, which would become huge, only the middle is scaled."""
    tall = picture.height >= picture.width
    shorter, longer = sorted(picture.size)
    scaled_length = side * longer // shorter
    start, box = round((scaled_length - side) / 2), None  # halves are rounded to even numbers, as torchvision does
    if scaled_length > _LONG * side:
        first, scale = start - _MARGIN, longer / scaled_length
        scaled_length, start = side + 2 * _MARGIN, _MARGIN
        low, high = first * scale, (first + scaled_length) * scale
        box = (0, low, shorter, high) if tall else (low, 0, high, shorter)
    scaled = picture.resize((side, scaled_length) if tall else (scaled_length, side), method, box=box)
    return scaled.crop((0, start, side, start + side) if tall else (start, 0, start + side, side))
