"""Depth maps as point clouds: one point for each pixel that has a depth."""

from __future__ import annotations

import numpy as np

from basrelief.errors import FileFormatError
from basrelief.io.checks import check_count
from basrelief.io.intrinsics import Intrinsics
from basrelief.io.source import RawShape, Source
from basrelief.limits import limits

IMAGES = ("png",)
"""Suffixes of depth images, read when intrinsics are given."""
_ROWS = 1 << 20  # pixels computed at a time
_REASON = "the camera of a depth map is taken to look horizontally"
NEEDED = "Give the intrinsics of the camera: --intrinsics fx,fy,cx,cy, or intrinsics=(fx, fy, cx, cy) of basrelief.load"
"""What to do about a depth map without intrinsics."""


def depth_cloud(source: Source, depth: np.ndarray, intrinsics: Intrinsics) -> RawShape:
    """Return the points of a depth map.

    Args:
        source: The file, for messages.
        depth: (H, W) depths along the viewing direction, not distances; integers are millimetres, floats metres, unless the intrinsics
            state a scale. Zero, negative and infinite values and NaN mean nothing was measured.
        intrinsics: Of the camera that took it.

    Returns:
        Points in metres in the camera's axes: x to the right, y down, z away from it.

    Raises:
        FileFormatError: If the size is not that of the intrinsics, or no pixel has a depth.
    """
    height, width = depth.shape
    check_count(source.path, depth.size, limits().points, of="pixels")
    expected = (intrinsics.width or width, intrinsics.height or height)
    if expected != (width, height):
        raise FileFormatError(
            f"{source.path.name} has {width} x {height} pixels, but the intrinsics are for {expected[0]} x {expected[1]}. "
            "Give those of the depth camera."
        )
    scale = intrinsics.scale or (0.001 if depth.dtype.kind in "iu" else 1.0)
    pieces = []
    for top in range(0, height, max(_ROWS // max(width, 1), 1)):
        some = depth[top : top + max(_ROWS // max(width, 1), 1)].astype(np.float64)
        row, column = np.nonzero((some > 0) & np.isfinite(some))
        away = some[row, column] * scale
        x, y = (column - intrinsics.cx) * away / intrinsics.fx, (row + top - intrinsics.cy) * away / intrinsics.fy
        pieces.append(np.stack([x, y, away], axis=1).astype(np.float32))
    points = np.concatenate(pieces) if pieces else np.zeros((0, 3), dtype=np.float32)
    if not len(points):
        raise FileFormatError(f"No pixel of {source.path.name} has a depth above zero. Check that it is a depth map.")
    unit = "metres" if scale == 1 else "millimetres" if scale == 0.001 else f"{scale:g} m"
    notes = (f"A depth map of {width} x {height} pixels: {len(points):,} have a depth, taken as {unit}.",)
    return RawShape(points=points, up="-y", up_reason=_REASON, notes=notes)


def read_depth_image(source: Source) -> RawShape:
    """Read a depth image: PNG with one channel of 16 bits, as depth cameras write.

    Args:
        source: The file with intrinsics.

    Returns:
        See `depth_cloud`.

    Raises:
        FileFormatError: If there are no intrinsics, or the image has colours or 8 bits.
    """
    from PIL import Image

    if source.intrinsics is None:
        raise FileFormatError(f"{source.path.name} is an image. If it is a depth image: {NEEDED}.")
    try:
        image = Image.open(source.path, formats=("PNG",))
    except Image.DecompressionBombError as error:
        raise FileFormatError(f"{source.path.name} has too many pixels. Reduce it.") from error
    with image:
        check_count(source.path, image.width * image.height, limits().points, of="pixels")
        if image.mode not in ("I;16", "I;16B", "I"):
            raise FileFormatError(
                f"{source.path.name} is an image of mode {image.mode}; a depth image has one channel of 16 bits. Choose the depth image."
            )
        depth = np.asarray(image).astype(np.int32)
    return depth_cloud(source, depth, source.intrinsics)
