"""Tasks of the page's worker processes: read uploads and files of the library, which may be hostile, and return little."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from basrelief.index import read_image
from basrelief.index.places import cut_box
from basrelief.index.read import FileOptions, import_readers
from basrelief.io import load, save
from basrelief.models.shape_input import Prepared
from basrelief.render import render_thumbnail
from basrelief.render.shade import CLAY
from basrelief.types import Mesh, PointCloud, Shape

_VIEWER_POINTS = 20_000
_IMAGE_SIDE = 1024
_NICENESS = 15
_THUMBNAIL_SIDE = 320
"""As large as the evidence sheet shows it; the default size takes seven times as long."""


@dataclass(frozen=True)
class ShapeTask:
    """A shape to render for a model.

    Attributes:
        path: Path of the file.
        options: How it becomes what the model reads.
        thumbnail: Whether to render a thumbnail, too.
    """

    path: Path
    options: FileOptions
    thumbnail: bool = False


@dataclass(frozen=True, eq=False)
class RenderedShape:
    """A shape as a model sees it.

    Attributes:
        prepared: What the model reads.
        pictures: Pictures of that.
        thumbnail: Shaded picture, sRGB in [0, 1], or None.
    """

    prepared: Prepared
    pictures: Float32[np.ndarray, "views side side *channels"]
    thumbnail: Float32[np.ndarray, "height width 3"] | None


@dataclass(frozen=True)
class ViewerTask:
    """A file to convert to a format that browsers show.

    Attributes:
        path: Path of the file.
        target: Path of the copy, without suffix.
        place: Where the box lies that is shown, see `basrelief.index.places`; None to show the whole file.
        up: Up axis that the library records of the file; None to find it out.
    """

    path: Path
    target: Path
    place: Mapping[str, Any] | None = None
    up: str | None = None


def prepare_worker() -> None:
    """Import the readers and lower the priority of a worker, so that searches go before uploads."""
    import_readers()
    if hasattr(os, "nice"):
        os.nice(_NICENESS)


def warm_up(_: None) -> None:
    """Do nothing, in a process that thereby imports this module and what it needs."""


def render_shape(task: ShapeTask) -> RenderedShape:
    """Read a shape and prepare it for the model.

    Raises:
        FileFormatError: If it cannot be read.
        GeometryError: If it holds nothing to render.
    """
    shape = load(task.path)
    prepared = task.options.prepare(shape)
    thumbnail = render_thumbnail(shape, size=_THUMBNAIL_SIDE, supersample=2) if task.thumbnail else None
    return RenderedShape(prepared, task.options.input.pictures(prepared), thumbnail)


def read_small_image(path: Path) -> UInt8[np.ndarray, "height width 3"]:
    """Read an image and shrink it to at most 1024 pixels a side.

    Raises:
        FileFormatError: If it cannot be read.
    """
    image = read_image(path)
    image.thumbnail((_IMAGE_SIDE, _IMAGE_SIDE), Image.Resampling.LANCZOS)
    return np.asarray(image)


def write_viewer_file(task: ViewerTask) -> Path:
    """Convert a file, or what is in a box of a scan, to a format that browsers show: a mesh to `.glb`, a point cloud to `.ply`.

    Raises:
        FileFormatError: If the file cannot be read.
        GeometryError: If nothing is in the box.
    """
    shape = load(task.path, task.up)
    return save_for_viewer(shape if task.place is None else cut_box(shape, task.place), task.target)


def save_for_viewer(shape: Shape, target: Path) -> Path:
    """Save a shape for browsers: a mesh without colours gets one, a large point cloud is thinned.

    Args:
        shape: Shape in the world frame.
        target: Path without suffix.
    """
    if isinstance(shape, Mesh):
        if shape.colors is None:
            shape = Mesh(shape.vertices, shape.faces, np.tile(np.array(CLAY, np.float32), (len(shape.vertices), 1)))
        return save(shape, target.with_suffix(".glb"))
    step = -(-len(shape.points) // _VIEWER_POINTS)
    colors = None if shape.colors is None else shape.colors[::step]
    return save(PointCloud(shape.points[::step], colors), target.with_suffix(".ply"))
