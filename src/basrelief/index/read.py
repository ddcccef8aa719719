"""Read one file in a worker process: depth images, pictures to show, and facts about the shape."""

from __future__ import annotations

import importlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from basrelief.errors import GeometryError
from basrelief.geometry import shape_descriptor
from basrelief.io import load
from basrelief.render import Projection, render_batch, render_thumbnail, sample_points
from basrelief.types import Mesh, Shape

THUMBNAIL = 128
"""Side of a thumbnail in pixels."""

_WEBP_METHOD = 1  # files a third larger than with the default 4, two to three times as fast


@dataclass(frozen=True)
class DepthOptions:
    """How a file becomes the depth images a model is shown.

    Attributes:
        projection: The model's projection.
        points: Number of points sampled from each shape; see `Recipe.points`.
        up: Up axis of every file, `auto`, or None for each format's own rule.
        seed: Seed of the surface sampling.
        remove_outliers: Whether isolated points of point clouds are removed; see `Recipe.remove_outliers`.
    """

    projection: Projection
    points: int | None
    up: str | None = None
    seed: int = 0
    remove_outliers: bool = False


@dataclass(frozen=True, eq=False)
class ReadFile:
    """What the library stores of one file, embeddings excepted.

    Attributes:
        images: Depth images before normalisation by mean and standard deviation.
        sheet: The same images side by side, a WebP picture.
        form: From `shape_descriptor`.
        thumbnail: WebP picture.
        format: File format, e.g. `glb`.
        kind: `mesh` or `cloud`.
        faces: Number of triangles; 0 for a point cloud.
        points: Number of vertices or points.
        extent: Width, depth and height in the file's units, world frame.
    """

    images: Float32[np.ndarray, "views side side"]
    sheet: bytes
    form: Float32[np.ndarray, " numbers"]
    thumbnail: bytes
    format: str
    kind: str
    faces: int
    points: int
    extent: tuple[float, float, float]


def import_readers() -> None:
    """Import what most files need, so that it does not count against the time and memory limits of the first file."""
    for name in ("lxml.etree", "PIL.Image", "scipy.spatial", "trimesh"):
        importlib.import_module(name)


def read_file(path: Path, options: DepthOptions) -> ReadFile:
    """Read a file and render what the library stores of it.

    Raises:
        FileFormatError: If it cannot be read.
        GeometryError: If it holds nothing to render.
        MissingExtraError: If its format needs a library that is not installed.
    """
    shape = load(path, up=options.up)
    points = shape.vertices if isinstance(shape, Mesh) else shape.points
    extent = _extent(points)
    images = depth_images(shape, options)
    return ReadFile(
        images=images,
        sheet=encode_webp(_sheet(images)),
        form=shape_descriptor(shape),
        thumbnail=encode_webp(render_thumbnail(shape, size=THUMBNAIL, supersample=2)),
        format=path.suffix.lower().lstrip("."),
        kind="mesh" if isinstance(shape, Mesh) else "cloud",
        faces=len(shape.faces) if isinstance(shape, Mesh) else 0,
        points=len(points),
        extent=extent,
    )


def depth_images(shape: Shape, options: DepthOptions) -> Float32[np.ndarray, "views side side"]:
    """Render the depth images of one shape, world frame."""
    points = sample_points(shape, options.points, seed=options.seed, remove_outliers=options.remove_outliers).points
    images: np.ndarray = render_batch([points], options.projection).numpy()[0]
    return images


def encode_webp(picture: Float32[np.ndarray, "height width *channels"]) -> bytes:
    """Encode a picture with values in [0, 1] as WebP."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray((picture.clip(0, 1) * 255).round().astype(np.uint8)).save(buffer, "WEBP", quality=80, method=_WEBP_METHOD)
    return buffer.getvalue()


def _extent(points: Float32[np.ndarray, "points 3"]) -> tuple[float, float, float]:
    with np.errstate(over="ignore"):
        width, depth, height = (points.max(axis=0) - points.min(axis=0)).tolist()
    if not np.isfinite([width, depth, height]).all():
        raise GeometryError("The shape is too large: its extent overflows float32. Scale it down.")
    return width, depth, height


def _sheet(images: Float32[np.ndarray, "views side side"]) -> Float32[np.ndarray, "height width"]:
    """Arrange depth images in two rows; the nearest points are black."""
    columns = -(-len(images) // 2)
    even = np.concatenate([images, np.ones((2 * columns - len(images), *images.shape[1:]), np.float32)])
    rows = even.reshape(2, columns, *images.shape[1:]).swapaxes(1, 2)
    return rows.reshape(2 * images.shape[1], -1) / max(1.0, float(images.max()))
