"""How a picture becomes the input of an image tower, as the weights state it: resizing, mean and standard deviation.

The two layouts are open_clip's `open_clip_config.json` and Hugging Face's `preprocessor_config.json`.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from basrelief.errors import ConfigError, WeightsError, unknown_choice
from basrelief.limits import limits

Channels = tuple[float, float, float]
ResizeMode = Literal["shortest", "squash"]
Interpolation = Literal["bicubic", "bilinear"]
RESIZE_MODES: tuple[ResizeMode, ...] = ("shortest", "squash")
INTERPOLATIONS: tuple[Interpolation, ...] = ("bicubic", "bilinear")
PREPROCESSING_FILES = ("open_clip_config.json", "preprocessor_config.json")
"""Files beside weights that state their preprocessing, best first."""

_RESAMPLE: dict[int, Interpolation] = {2: "bilinear", 3: "bicubic"}


@dataclass(frozen=True)
class ImageFit:
    """How a picture of any size becomes a square.

    Attributes:
        resize_mode: `shortest` scales the shortest side to the tower's and crops the centre; `squash` scales both sides.
        interpolation: `bicubic` or `bilinear`, with antialiasing.

    Raises:
        ConfigError: If either is unknown.
    """

    resize_mode: ResizeMode = "shortest"
    interpolation: Interpolation = "bicubic"

    def __post_init__(self) -> None:
        """Check both."""
        if self.resize_mode not in RESIZE_MODES:
            raise ConfigError(unknown_choice("resize_mode", self.resize_mode, RESIZE_MODES))
        if self.interpolation not in INTERPOLATIONS:
            raise ConfigError(unknown_choice("interpolation", self.interpolation, INTERPOLATIONS))


@dataclass(frozen=True)
class Preprocessing:
    """Preprocessing that belongs to weights.

    Attributes:
        mean: Per channel, subtracted from values in [0, 1].
        std: Per channel, divided out.
        fit: How a picture becomes a square.
    """

    mean: Channels
    std: Channels
    fit: ImageFit = ImageFit()


def read_preprocessing(folder: Path, default: Preprocessing, *, side: int) -> Preprocessing:
    """Read the preprocessing that lies beside weights.

    Args:
        folder: Of the weights; `PREPROCESSING_FILES` are looked for.
        default: What holds where no file states anything.
        side: Of the tower's pictures, which a stated size must equal.

    Raises:
        WeightsError: If a file is broken, is for another size, or asks for something unknown.
    """
    path = next((path for path in (folder / name for name in PREPROCESSING_FILES) if path.is_file()), None)
    if path is None:
        return default
    try:
        with path.open("rb") as file:
            content = file.read(limits().list_bytes + 1)
        if len(content) > limits().list_bytes:
            raise ValueError("it is too large")
        record = json.loads(content)
        return _open_clip(record, default, side) if path.name == PREPROCESSING_FILES[0] else _hugging_face(record, default, side)
    except (OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        reason = str(error)[:200] or type(error).__name__
        raise WeightsError(f"{path.name} does not state the preprocessing of these weights: {reason}. Fetch the file again.") from error


def _open_clip(record: Any, default: Preprocessing, side: int) -> Preprocessing:  # noqa: ANN401 - JSON of strangers
    stated = {key: value for key, value in (record.get("preprocess_cfg") or {}).items() if value is not None}
    if "size" in stated:
        _check_side(stated["size"], side)
    fit = replace(default.fit, **{key: stated[key] for key in ("resize_mode", "interpolation") if key in stated})
    return Preprocessing(_channels(stated.get("mean", default.mean)), _scales(stated.get("std", default.std)), fit)


def _hugging_face(record: Any, default: Preprocessing, side: int) -> Preprocessing:  # noqa: ANN401 - JSON of strangers
    size = record.get("size", side)
    crops = bool(record.get("do_center_crop", True))
    both_sides = isinstance(size, dict) and "shortest_edge" not in size
    for stated in (size, record.get("crop_size", side)) if crops else (size,):
        _check_side(stated, side)
    resample = record.get("resample", 3)
    if resample not in _RESAMPLE:
        raise ValueError(f"resample is {resample!r}; known are 2 (bilinear) and 3 (bicubic)")
    fit = ImageFit("squash" if both_sides else "shortest", _RESAMPLE[resample])
    return Preprocessing(_channels(record.get("image_mean", default.mean)), _scales(record.get("image_std", default.std)), fit)


def _check_side(stated: Any, side: int) -> None:  # noqa: ANN401 - JSON of strangers
    sides = list(stated.values()) if isinstance(stated, dict) else stated if isinstance(stated, list) else [stated]
    if not sides or any(value != side for value in sides):
        raise ValueError(f"it is for pictures of {str(stated)[:60]}, but the tower takes {side} pixels")


def _channels(values: Any) -> Channels:  # noqa: ANN401 - JSON of strangers
    red, green, blue = (float(value) for value in values)
    if not all(map(math.isfinite, (red, green, blue))):
        raise ValueError(f"channels {values}")
    return red, green, blue


def _scales(values: Any) -> Channels:  # noqa: ANN401 - JSON of strangers
    scales = _channels(values)
    if 0 in scales:
        raise ValueError("std holds 0")
    return scales
