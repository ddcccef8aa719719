"""What worker processes do for the page: read uploads and files of the library, which may be hostile, and send back little."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from basrelief.index import read_picture
from basrelief.index.read import import_readers
from basrelief.io import load, save
from basrelief.render import Projection, render_batch, render_thumbnail, sample_points
from basrelief.render.shade import CLAY
from basrelief.types import Mesh, PointCloud, Shape

_SHOWN_POINTS = 20_000
_PICTURE_SIDE = 1024
_NICE = 15
_THUMBNAIL_SIDE = 320
"""Pixels, as large as the evidence sheet shows it; the default size takes seven times as long."""


@dataclass(frozen=True)
class ShapeJob:
    """A shape to draw for a model.

    Attributes:
        path: The file.
        projection: How it becomes depth images.
        points: Drawn of it; see `Recipe.points`.
        remove_outliers: Whether isolated points of a cloud are removed; see `Recipe.remove_outliers`.
        thumbnail: Whether to render a thumbnail, too.
    """

    path: Path
    projection: Projection
    points: int | None
    remove_outliers: bool
    thumbnail: bool = False


@dataclass(frozen=True, eq=False)
class DrawnShape:
    """A shape as a model sees it.

    Attributes:
        images: Depth images.
        thumbnail: Picture of the shape, sRGB in [0, 1], or None.
    """

    images: Float32[np.ndarray, "views side side"]
    thumbnail: Float32[np.ndarray, "height width 3"] | None


@dataclass(frozen=True)
class ViewerJob:
    """A file to copy into a form that browsers show.

    Attributes:
        path: The file.
        target: Where the copy goes, without suffix.
    """

    path: Path
    target: Path


def start_reader() -> None:
    """Prepare a worker of the page: searches go before uploads where cores are short."""
    import_readers()
    if hasattr(os, "nice"):
        os.nice(_NICE)


def import_drawing(_: None) -> None:
    """Do nothing, in a process that has imported this module and what it needs."""


def draw_shape(job: ShapeJob) -> DrawnShape:
    """Read a shape and draw its depth images.

    Raises:
        FileFormatError: If it cannot be read.
        GeometryError: If there is nothing in it to draw.
    """
    shape = load(job.path)
    points = sample_points(shape, job.points, remove_outliers=job.remove_outliers).points
    images: np.ndarray = render_batch([points], job.projection).numpy()[0]
    return DrawnShape(images, render_thumbnail(shape, size=_THUMBNAIL_SIDE, supersample=2) if job.thumbnail else None)


def small_picture(path: Path) -> UInt8[np.ndarray, "height width 3"]:
    """Read a picture, at most 1024 pixels wide and high.

    Raises:
        FileFormatError: If it cannot be read.
    """
    picture = read_picture(path)
    picture.thumbnail((_PICTURE_SIDE, _PICTURE_SIDE), Image.Resampling.LANCZOS)
    return np.asarray(picture)


def write_viewer_file(job: ViewerJob) -> Path:
    """Write a copy of a file that a browser can show: `.glb` of a mesh, `.ply` of a point cloud.

    Raises:
        FileFormatError: If the file cannot be read.
    """
    return save_viewable(load(job.path), job.target)


def save_viewable(shape: Shape, target: Path) -> Path:
    """Save a shape as browsers show it; a mesh without colours gets one, a large cloud is thinned.

    Args:
        shape: World frame.
        target: Path without suffix.
    """
    if isinstance(shape, Mesh):
        if shape.colors is None:
            shape = Mesh(shape.vertices, shape.faces, np.tile(np.array(CLAY, np.float32), (len(shape.vertices), 1)))
        return save(shape, target.with_suffix(".glb"))
    step = -(-len(shape.points) // _SHOWN_POINTS)
    colors = None if shape.colors is None else shape.colors[::step]
    return save(PointCloud(shape.points[::step], colors), target.with_suffix(".ply"))
