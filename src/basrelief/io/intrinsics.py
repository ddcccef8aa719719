"""Intrinsics of depth cameras, from four numbers or from the files that common programs write."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from basrelief.errors import ConfigError
from basrelief.limits import limits

_NAMES: Mapping[str, tuple[str, ...]] = {
    "fx": ("fx", "fl_x", "fx_depth", "focal_x", "f_x"),
    "fy": ("fy", "fl_y", "fy_depth", "focal_y", "f_y"),
    "cx": ("cx", "ppx", "mx_depth", "c_x"),
    "cy": ("cy", "ppy", "my_depth", "c_y"),
}
_SIZES: Mapping[str, tuple[str, ...]] = {"width": ("width", "w", "depthwidth"), "height": ("height", "h", "depthheight")}
_MATRICES = ("k", "cam_k", "intrinsic_matrix", "camera_matrix", "intrinsics", "intrinsic", "matrix", "data", "depth_intrinsics")
_NESTED = 4  # levels of JSON that are searched
_PAIR = re.compile(r"^[ \t]*(\w+)[ \t]*[=:][ \t]*([-+.\deE]+)[ \t\r]*$", re.MULTILINE)
_MILLIMETRES = 0.02  # a scale below it is metres per unit


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera without distortion, in pixels.

    Attributes:
        fx: Focal length along the rows.
        fy: Focal length along the columns.
        cx: Column of the principal point.
        cy: Row of the principal point.
        width: Columns of the images, or None if unknown.
        height: Rows of the images, or None if unknown.
        scale: Metres per unit of the depth values, or None for 0.001 for integers and 1 for floats.

    Raises:
        ConfigError: If a focal length is not above zero, or a number is not finite.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    width: int | None = None
    height: int | None = None
    scale: float | None = None

    def __post_init__(self) -> None:
        """Check the numbers."""
        values = (self.fx, self.fy, self.cx, self.cy)
        if not all(map(math.isfinite, values)) or self.fx <= 0 or self.fy <= 0:
            raise ConfigError(f"Intrinsics are fx, fy, cx, cy in pixels, fx and fy above zero; got {', '.join(f'{v:g}' for v in values)}.")


def parse_intrinsics(value: Intrinsics | str | os.PathLike[str] | Sequence[float]) -> Intrinsics:
    """Return the intrinsics that a user gives.

    Args:
        value: Intrinsics; four numbers or a text `fx,fy,cx,cy`; or a file: JSON with `fx`, `fy`, `cx`, `cy` or a 3 x 3 matrix under the
            names that Open3D, RealSense, ROS, NeRF and BOP use, lines `fx = 577.8`, or a text matrix of 3 or 4 rows as of ScanNet.

    Returns:
        The intrinsics.

    Raises:
        ConfigError: If they are incomplete, or the file cannot be read.
    """
    if isinstance(value, Intrinsics):
        return value
    if not isinstance(value, str | os.PathLike):
        return _from_numbers([float(number) for number in value], "The intrinsics")
    words = str(value).split(",")
    if len(words) > 1 and all(map(_is_number, words)):
        return _from_numbers([float(word) for word in words], "The intrinsics")
    path = Path(value)
    try:
        size = path.stat().st_size
        text = path.read_text(encoding="utf-8") if size <= limits().settings_bytes else None
    except (OSError, ValueError) as error:
        raise ConfigError(f"Intrinsics are four numbers fx,fy,cx,cy or a file; got {str(value)[:80]!r}: {error}.") from error
    if text is None:
        raise ConfigError(f"{path.name} has {size:,} bytes; intrinsics are a small JSON or text file.")
    return _from_text(text, path.name)


def _from_text(text: str, name: str) -> Intrinsics:
    try:
        found = _from_records(list(_records(json.loads(text))))
    except (ValueError, RecursionError):
        found = _from_records([{key.lower(): float(value) for key, value in _PAIR.findall(text) if _is_number(value)}])
        if found is None:
            words = text.replace(",", " ").replace(";", " ").translate(str.maketrans("[]()", "    ")).split()
            return _from_numbers([float(word) if _is_number(word) else math.nan for word in words], name)
    if found is None:
        raise ConfigError(f"{name} holds no intrinsics. Write fx, fy, cx and cy in it, or a 3 x 3 matrix named intrinsic_matrix.")
    return found


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _from_numbers(numbers: Sequence[float], name: str) -> Intrinsics:
    found = tuple(numbers) if len(numbers) == 4 else _from_matrix(numbers)
    if found is None:
        raise ConfigError(f"{name} hold{'' if name.endswith('s') else 's'} {len(numbers)} numbers; expected fx,fy,cx,cy or a 3 x 3 matrix.")
    fx, fy, cx, cy = found
    return Intrinsics(fx, fy, cx, cy)


def _records(value: Any, depth: int = 0) -> Iterator[Mapping[str, Any]]:  # noqa: ANN401 - JSON of any form
    """Yield the objects of a JSON document from the outside in, with names in lower case."""
    if depth >= _NESTED:
        return
    if isinstance(value, dict):
        yield {str(key).lower(): item for key, item in value.items()}
    inner = value.values() if isinstance(value, dict) else value[:8] if isinstance(value, list) else ()
    for item in inner:
        yield from _records(item, depth + 1)


def _from_records(records: Sequence[Mapping[str, Any]]) -> Intrinsics | None:
    for record in records:
        found = [value for value in (_first(record, names) for names in _NAMES.values()) if value is not None]
        if len(found) < len(_NAMES):
            matrices = (_from_matrix(_flat(record.get(name))) for name in _MATRICES)
            found = list(next((matrix for matrix in matrices if matrix is not None), ()))
        if found:
            fx, fy, cx, cy = found
            width, height = (_size(names, record, *records) for names in _SIZES.values())
            return Intrinsics(fx, fy, cx, cy, width, height, _scale(record, *records))
    return None


def _size(names: Sequence[str], *records: Mapping[str, Any]) -> int | None:
    return next((int(size) for size in (_first(record, names) for record in records) if size), None)


def _first(record: Mapping[str, Any], names: Sequence[str]) -> float | None:
    found = (record.get(name) for name in names)
    return next((float(value) for value in found if isinstance(value, int | float) and not isinstance(value, bool)), None)


def _scale(record: Mapping[str, Any], *records: Mapping[str, Any]) -> float | None:
    """Return metres per unit: RealSense states them as such, BOP (`cam_k`) in millimetres."""
    scale = next((scale for scale in (_first(r, ("depth_scale", "depth_units")) for r in (record, *records)) if scale is not None), None)
    if scale is None or not 0 < scale < math.inf:
        return None
    if "cam_k" in record:
        return scale / 1000
    return scale if scale < _MILLIMETRES else None


def _flat(value: Any) -> list[float]:  # noqa: ANN401 - JSON of any form
    try:
        return [float(number) for number in np.asarray(value, dtype=np.float64).reshape(-1)[:17]]
    except (TypeError, ValueError, OverflowError):
        return []


def _from_matrix(numbers: Sequence[float]) -> tuple[float, float, float, float] | None:
    """Return fx, fy, cx, cy of a 3 x 3, 3 x 4 or 4 x 4 matrix, stored by rows or, as Open3D does, by columns."""
    shape = {9: (3, 3), 12: (3, 4), 16: (4, 4)}.get(len(numbers))
    if shape is None:
        return None
    matrix = np.array(numbers).reshape(shape)[:3, :3]
    if matrix[2, :2].any() and not matrix[:2, 2].any():
        matrix = matrix.T
    if matrix[2, :2].any() or matrix[2, 2] != 1 or not np.isfinite(matrix).all():
        return None
    return float(matrix[0, 0]), float(matrix[1, 1]), float(matrix[0, 2]), float(matrix[1, 2])
