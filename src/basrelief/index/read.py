"""One file, read in a process of its own: its depth images, a small picture, and what is said of it."""

from __future__ import annotations

import importlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from basrelief.errors import GeometryError
from basrelief.geometry import form_numbers
from basrelief.io import load
from basrelief.render import Projection, draw_points, portrait, render_batch
from basrelief.types import Mesh

THUMBNAIL = 128
"""Side of the small picture, pixels."""

_METHOD = 1  # of WebP: a third larger than the usual 4, and two to three times as fast


@dataclass(frozen=True)
class Style:
    """How files are read.

    Attributes:
        projection: How it is drawn for the model.
        points: Drawn of each shape; see `Recipe.points`.
        up: Up axis of every file, `auto`, or None for each format's own rule.
        seed: Of the surface samples.
        strays: Whether points of clouds that stand alone are kept; see `Recipe.strays`.
    """

    projection: Projection
    points: int | None
    up: str | None = None
    seed: int = 0
    strays: bool = True


@dataclass(frozen=True, eq=False)
class ReadFile:
    """What is kept of one file.

    Attributes:
        images: Depth images, before mean and standard deviation.
        sheet: The same side by side, a WebP picture.
        form: From `form_numbers`.
        thumbnail: WebP picture.
        format: E.g. `glb`.
        kind: `mesh` or `cloud`.
        faces: Triangles; 0 of a cloud.
        corners: Vertices or points.
        extent: Width, depth and height in the file's units, world frame.
    """

    images: Float32[np.ndarray, "views side side"]
    sheet: bytes
    form: Float32[np.ndarray, " numbers"]
    thumbnail: bytes
    format: str
    kind: str
    faces: int
    corners: int
    extent: tuple[float, float, float]


def import_readers() -> None:
    """Import what most files need, so that it does not count into the time and memory of the first."""
    for name in ("lxml.etree", "PIL.Image", "scipy.spatial", "trimesh"):
        importlib.import_module(name)


def read_file(path: Path, style: Style) -> ReadFile:
    """Read a file and draw what the index needs of it.

    Raises:
        FileFormatError: If it cannot be read.
        GeometryError: If there is nothing in it to draw.
        MissingExtraError: If its format needs a library that is not installed.
    """
    shape = load(path, up=style.up)
    mesh = isinstance(shape, Mesh)
    places = shape.vertices if isinstance(shape, Mesh) else shape.points
    extent = _extent(places)
    points = draw_points(shape, style.points, seed=style.seed, strays=style.strays).points
    images: np.ndarray = render_batch([points], style.projection).numpy()[0]
    return ReadFile(
        images=images,
        sheet=picture_bytes(_sheet(images)),
        form=form_numbers(shape),
        thumbnail=picture_bytes(portrait(shape, size=THUMBNAIL, supersample=2)),
        format=path.suffix.lower().lstrip("."),
        kind="mesh" if mesh else "cloud",
        faces=len(shape.faces) if isinstance(shape, Mesh) else 0,
        corners=len(places),
        extent=extent,
    )


def _extent(places: Float32[np.ndarray, "points 3"]) -> tuple[float, float, float]:
    with np.errstate(over="ignore"):
        width, depth, height = (places.max(axis=0) - places.min(axis=0)).tolist()
    if not np.isfinite([width, depth, height]).all():
        raise GeometryError("shape must have an extent that float32 can hold, but got one that overflows. Scale it down.")
    return width, depth, height


def picture_bytes(picture: Float32[np.ndarray, "height width *channels"]) -> bytes:
    """A picture in [0, 1] as WebP."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray((picture.clip(0, 1) * 255).round().astype(np.uint8)).save(buffer, "WEBP", quality=80, method=_METHOD)
    return buffer.getvalue()


def _sheet(images: Float32[np.ndarray, "views side side"]) -> Float32[np.ndarray, "height width"]:
    """Depth images side by side in two rows, the nearest places black."""
    columns = -(-len(images) // 2)
    even = np.concatenate([images, np.ones((2 * columns - len(images), *images.shape[1:]), np.float32)])
    rows = even.reshape(2, columns, *images.shape[1:]).swapaxes(1, 2)
    return rows.reshape(2 * images.shape[1], -1) / max(1.0, float(images.max()))
