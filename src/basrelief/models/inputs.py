"""What users pass as shapes: paths, arrays and trimesh objects become meshes and point clouds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

import numpy as np

from basrelief.errors import BasreliefError, ConfigError
from basrelief.io.folder_axis import FolderAxes, FolderVote
from basrelief.io.load import axis_evidence, load_with_vote
from basrelief.io.up_axis import AxisEvidence
from basrelief.types import Mesh, PointCloud, Shape

if TYPE_CHECKING:
    from PIL import Image


@runtime_checkable
class TrimeshLike(Protocol):
    """A `trimesh.Trimesh` or `trimesh.PointCloud`, by its attributes: trimesh itself is not imported."""

    @property
    def vertices(self) -> Any:  # noqa: ANN401 - trimesh's own array type
        """(V, 3) positions."""


ShapeLike = Shape | str | Path | np.ndarray | TrimeshLike
"""One shape: a `Mesh` or `PointCloud`, a path that `basrelief.load` reads, an array (N, 3) of points, or a trimesh object.

Arrays and trimesh objects are taken to be in the world frame, +Z up.
"""


def is_one_shape(shapes: object) -> bool:
    """Return whether the argument is one shape, not a sequence of shapes; an array (B, N, 3) is a sequence."""
    if isinstance(shapes, np.ndarray):
        return shapes.ndim == 2
    return isinstance(shapes, Mesh | PointCloud | str | Path | TrimeshLike)


def as_shapes(shapes: ShapeLike | Sequence[ShapeLike]) -> list[Shape]:
    """Return one shape or many as a list of meshes and point clouds; the files of a folder share an up axis, see `FolderAxes`.

    Raises:
        ConfigError: If there is none, or one is of another type.
        FileFormatError: If a file cannot be read.
        GeometryError: If an array does not hold points.
    """
    many: Iterable[object] = [shapes] if is_one_shape(shapes) else cast("Sequence[ShapeLike]", shapes)
    given = list(many)
    if not given:
        raise ConfigError("There is no shape to embed. Pass a path, an array of points, or what basrelief.load(path) returns.")
    paths = [Path(shape) for shape in given if isinstance(shape, str | Path)]
    votes = FolderAxes(paths).votes(paths, lambda sample: map(_evidence, sample))
    return [_as_shape(shape, votes) for shape in given]


def as_picture(image: Image.Image | np.ndarray) -> Image.Image:
    """Return a picture of a user as a Pillow image.

    Raises:
        ConfigError: If an array is not (H, W, 3).
    """
    from PIL import Image as Pillow

    if not isinstance(image, np.ndarray):
        return image
    if image.ndim != 3 or image.shape[2] != 3:
        raise ConfigError(f"An image has shape {image.shape}; expected (H, W, 3). Convert it to RGB.")
    pixels = image if image.dtype == np.uint8 else (np.clip(image, 0.0, 1.0) * 255).round().astype(np.uint8)
    return Pillow.fromarray(pixels)


def _evidence(path: Path) -> AxisEvidence | None:
    with suppress(BasreliefError):  # reading the shape itself reports it
        return axis_evidence(path)
    return None


def _as_shape(shape: object, votes: Mapping[Path, FolderVote]) -> Shape:
    if isinstance(shape, Mesh | PointCloud):
        return shape
    if isinstance(shape, str | Path):
        return load_with_vote(shape, vote=votes.get(Path(shape)))
    if isinstance(shape, np.ndarray):
        return PointCloud(shape)
    if isinstance(shape, TrimeshLike):
        vertices, faces = np.asarray(shape.vertices), getattr(shape, "faces", None)
        return PointCloud(vertices) if faces is None else Mesh(vertices, np.asarray(faces), _colors(shape))
    raise ConfigError(f"Cannot use a {type(shape).__name__} as a shape. Pass a path, an array (N, 3), a trimesh, a Mesh or a PointCloud.")


def _colors(shape: TrimeshLike) -> np.ndarray | None:
    """Vertex colours of a trimesh that has some, red, green, blue."""
    visual: Any = getattr(shape, "visual", None)
    return np.asarray(visual.vertex_colors)[:, :3] if getattr(visual, "kind", None) == "vertex" else None
