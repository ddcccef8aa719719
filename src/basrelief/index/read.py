"""Read one file in a worker process: what the model reads of it, pictures to show, and facts about the shape."""

from __future__ import annotations

import importlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from basrelief.errors import GeometryError
from basrelief.geometry import shape_descriptor
from basrelief.io.folder_axis import FolderVote
from basrelief.io.intrinsics import Intrinsics
from basrelief.io.load import load_with_vote
from basrelief.models.shape_input import Prepared, ShapeInput
from basrelief.render import render_thumbnail
from basrelief.render.shade import prepare_renderer
from basrelief.scenes.recognise import recognise_scene
from basrelief.types import Mesh, Origin, Shape

THUMBNAIL = 128
"""Side of a thumbnail in pixels."""

SCENES = ("auto", "all", "none")
"""Files in which things are looked for: those that look like scans of several things, all, or none."""

_WEBP_METHOD = 1  # files a third larger than with the default 4, two to three times as fast


@dataclass(frozen=True)
class FileOptions:
    """How a file becomes what a model reads.

    Attributes:
        input: How the model's network reads shapes; see `Model.input`.
        up: Up axis of the file; None to find it out.
        seed: Seed of the surface sampling.
        scenes: Which files are taken for scans of several things, one of `SCENES`.
        intrinsics: Camera of depth maps, see `basrelief.load`.
        vote: What the files of its folder say about the up axis, or None.
    """

    input: ShapeInput
    up: str | None = None
    seed: int = 0
    scenes: str = "none"
    intrinsics: Intrinsics | None = None
    vote: FolderVote | None = None

    def load(self, path: Path) -> Shape:
        """Read a file; see `basrelief.io.load.load_with_vote`."""
        return load_with_vote(path, self.up, vote=self.vote, intrinsics=self.intrinsics)

    def prepare(self, shape: Shape) -> Prepared:
        """Prepare one shape, world frame, as arrays, which pass between processes."""
        return _arrays(self.input.prepare([shape], seed=self.seed)[0])


@dataclass(frozen=True, eq=False)
class ReadFile:
    """What the library stores of one file, embeddings excepted.

    Attributes:
        prepared: What the model reads, e.g. depth images before normalisation by mean and standard deviation.
        sheet: Pictures of that side by side, WebP.
        form: From `shape_descriptor`.
        thumbnail: WebP picture.
        format: File format, e.g. `glb`.
        kind: `mesh` or `cloud`.
        faces: Number of triangles; 0 for a point cloud.
        points: Number of vertices or points.
        extent: Width, depth and height in the file's units, world frame.
        up: Axis of the file that became world +Z.
        up_source: See `Origin.up_source`.
        scene: Whether it is taken for a scan of several things.
        colored: Whether it has colours.
    """

    prepared: Prepared
    sheet: bytes
    form: Float32[np.ndarray, " numbers"]
    thumbnail: bytes
    format: str
    kind: str
    faces: int
    points: int
    extent: tuple[float, float, float]
    up: str
    up_source: str
    scene: bool = False
    colored: bool = False


def import_readers() -> None:
    """Import or compile what most files need, so that it does not count against the time and memory limits of the first file."""
    for name in ("lxml.etree", "PIL.Image", "scipy.spatial", "trimesh"):
        importlib.import_module(name)
    prepare_renderer()


def read_file(path: Path, options: FileOptions) -> ReadFile:
    """Read a file and render what the library stores of it.

    Raises:
        FileFormatError: If it cannot be read.
        GeometryError: If it holds nothing to render.
        MissingExtraError: If its format needs a library that is not installed.
    """
    shape = options.load(path)
    origin = shape.origin or Origin(str(path), "")
    points = shape.vertices if isinstance(shape, Mesh) else shape.points
    extent = _extent(points)
    prepared = options.prepare(shape)
    return ReadFile(
        prepared=prepared,
        sheet=view_sheet(options.input, prepared),
        form=shape_descriptor(shape),
        thumbnail=thumbnail_of(shape),
        format=path.suffix.lower().lstrip("."),
        kind="mesh" if isinstance(shape, Mesh) else "cloud",
        faces=len(shape.faces) if isinstance(shape, Mesh) else 0,
        points=len(points),
        extent=extent,
        up=origin.up,
        up_source=origin.up_source,
        scene=options.scenes == "all" or (options.scenes == "auto" and recognise_scene(shape) is not None),
        colored=shape.colors is not None,
    )


def thumbnail_of(shape: Shape) -> bytes:
    """Draw a small picture of a shape, WebP."""
    return encode_webp(render_thumbnail(shape, size=THUMBNAIL, supersample=2))


def view_sheet(shape_input: ShapeInput, prepared: Prepared) -> bytes:
    """Draw what the model reads of a shape, WebP."""
    return encode_webp(_sheet(shape_input.pictures(prepared)))


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


def _sheet(pictures: Float32[np.ndarray, "views side side *channels"]) -> Float32[np.ndarray, "height width *channels"]:
    """Arrange pictures in two rows; a single one stays alone."""
    columns = -(-len(pictures) // 2)
    rows = -(-len(pictures) // columns)
    even = np.concatenate([pictures, np.ones((rows * columns - len(pictures), *pictures.shape[1:]), np.float32)])
    table = even.reshape(rows, columns, *pictures.shape[1:]).swapaxes(1, 2)
    return table.reshape(rows * pictures.shape[1], -1, *pictures.shape[3:]) / max(1.0, float(pictures.max()))


def _arrays(prepared: Prepared) -> Prepared:
    return tuple(_arrays(part) for part in prepared) if isinstance(prepared, tuple) else np.asarray(prepared)
