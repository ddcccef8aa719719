"""Shapes, predictions and findings: frozen dataclasses that validate themselves. No torch, so that reading a file stays cheap."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Float32, Int64

from basrelief.appearance import Appearance, readonly
from basrelief.errors import ConfigError, GeometryError

if TYPE_CHECKING:
    from PIL import Image


Progress = Callable[[int, int], None]
"""Called with the number of shapes done and the number of all."""


AxisSource = Literal["given", "stated", "evidence"]
"""Where an up axis is known from."""


@dataclass(frozen=True)
class Origin:
    """The source of a shape and of its up axis.

    Attributes:
        path: The file, or a short name for a generated shape.
        format: Format name, e.g. `glb`.
        up: Axis of the file that became world +Z: `x`, `y`, `z`, `-x`, `-y` or `-z`.
        up_reason: Why that axis, for the user.
        up_source: Whether it was `given` by the caller, `stated` by the file or its format, or decided by `evidence`.
        notes: What was changed or left out while reading, one sentence each.
        offset: Point of the file, in its own axes, that became the world origin; not zero for coordinates too large for float32.
    """

    path: str
    format: str
    up: str = "z"
    up_reason: str = "given in the world frame"
    notes: tuple[str, ...] = ()
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    up_source: AxisSource = "given"


@dataclass(frozen=True, eq=False)
class PointCloud:
    """Points of a shape in the world frame (right-handed, +Z up), scene units.

    Attributes:
        points: (N, 3) float32, finite, N >= 1.
        colors: (N, 3) float32 in [0, 1] (sRGB), or None.
        origin: Its source, or None.

    Raises:
        GeometryError: If a dimension is wrong, a value is not finite, or there are no points.
    """

    points: Float32[np.ndarray, "points 3"]
    colors: Float32[np.ndarray, "points 3"] | None = None
    origin: Origin | None = None

    def __post_init__(self) -> None:
        """Check every field and make the arrays read-only."""
        object.__setattr__(self, "points", readonly(check_positions("points", self.points, dtype=np.float32)))
        if self.colors is not None:
            object.__setattr__(self, "colors", _colors(self.colors, len(self.points), "points"))

    def __repr__(self) -> str:
        """Return the size and the origin."""
        return f"PointCloud({_size(len(self.points), 'point')}{_about(self.colors, self.origin)})"


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles of a shape in the world frame (right-handed, +Z up), scene units.

    Attributes:
        vertices: (V, 3) float32, finite, V >= 1.
        faces: (F, 3) int64 indices into `vertices`, F >= 1.
        colors: (V, 3) float32 in [0, 1] (sRGB) per vertex, or None; where there is an appearance, what it gives at the vertices.
        origin: Its source, or None.
        appearance: Materials and textures, or None.

    Raises:
        GeometryError: If a dimension is wrong, a value is not finite, an index is out of range, or there is no face.
    """

    vertices: Float32[np.ndarray, "vertices 3"]
    faces: Int64[np.ndarray, "faces 3"]
    colors: Float32[np.ndarray, "vertices 3"] | None = None
    origin: Origin | None = None
    appearance: Appearance | None = None

    def __post_init__(self) -> None:
        """Check every field and make the arrays read-only."""
        object.__setattr__(self, "vertices", readonly(check_positions("vertices", self.vertices, dtype=np.float32)))
        object.__setattr__(self, "faces", _faces(self.faces, len(self.vertices)))
        if self.colors is not None:
            object.__setattr__(self, "colors", _colors(self.colors, len(self.vertices), "vertices"))
        if self.appearance is not None:
            _check_appearance(self.appearance, len(self.vertices), len(self.faces))

    def __repr__(self) -> str:
        """Return the size and the origin."""
        return f"Mesh({len(self.vertices):,} vertices, {_size(len(self.faces), 'face')}{_about(self.colors, self.origin)})"


Shape = PointCloud | Mesh


@dataclass(frozen=True, eq=False)
class Prediction:
    """The answer for one shape: ranked labels, best first, with the scores of each view.

    Attributes:
        labels: C names, best first.
        scores: (C,) float32, one for each label in that order; the scale depends on the pooling rule.
        view_scores: (V, C) float32 similarity of each view with each label, columns in the order of `labels`.
        probabilities: (C,) float32 that sum to 1; None if the method does not define them.
        source: File or name of the shape.
        model: Name of the model that answered.
        declined: Why no answer is given, or empty: none of the labels fits well enough.
        evidence: Draws the picture of this prediction; None if the shape is not known any more. See `picture`.
    """

    labels: tuple[str, ...]
    scores: Float32[np.ndarray, " labels"]
    view_scores: Float32[np.ndarray, "views labels"]
    probabilities: Float32[np.ndarray, " labels"] | None = None
    source: str = ""
    model: str = ""
    declined: str = ""
    evidence: Callable[[Prediction], Image.Image] | None = field(default=None, repr=False)

    @property
    def label(self) -> str:
        """The best label."""
        return self.labels[0]

    @property
    def view_labels(self) -> tuple[str, ...]:
        """The best label of each of the V views alone."""
        return tuple(self.labels[i] for i in self.view_scores.argmax(axis=1))

    def picture(self) -> Image.Image:
        """Draw the shape, the views the model saw with the best label of each, and the ranked labels.

        Raises:
            ConfigError: If the prediction was made from embeddings alone, so that there is nothing to draw.
        """
        if self.evidence is None:
            raise ConfigError("This prediction was made from embeddings, so its shape cannot be drawn. Use Model.classify with the shape.")
        return self.evidence(self)

    def __repr__(self) -> str:
        """Return the three best labels with their probabilities, or scores."""
        values = self.scores if self.probabilities is None else self.probabilities
        best = ", ".join(f"{label} {value:.2f}" for label, value in zip(self.labels[:3], values, strict=False))
        declined = f", declined: {self.declined}" if self.declined else ""
        return f"Prediction({best}{f', {self.source}' if self.source else ''}{declined})"

    def _repr_html_(self) -> str:
        """Show the picture in a notebook; the text where there is none."""
        if self.evidence is None:
            return f"<code>{html.escape(repr(self))}</code>"
        buffer = io.BytesIO()
        self.picture().save(buffer, "PNG")
        data = base64.b64encode(buffer.getvalue()).decode()
        return f'<img alt="{html.escape(repr(self))}" src="data:image/png;base64,{data}">'


@dataclass(frozen=True)
class Finding:
    """The result of one check of a data set, a model or a file.

    Attributes:
        check: What was checked, a few words, e.g. `up axis`.
        level: `ok`, `warning` (results may be worse) or `wrong` (results would not mean what they claim).
        fact: What was found, and what was expected if that differs; one sentence.
        remedy: What to do about it; empty when `ok`.
    """

    check: str
    level: Literal["ok", "warning", "wrong"]
    fact: str
    remedy: str = ""


def _size(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _about(colors: np.ndarray | None, origin: Origin | None) -> str:
    """Colour and origin of a shape, for its repr."""
    colored = ", coloured" if colors is not None else ""
    return f"{colored}, from {origin.path!r}, {origin.up} up" if origin else colored


def check_positions(name: str, value: np.ndarray, *, dtype: type[np.floating] | None = None) -> np.ndarray:
    """Check that an array holds positions.

    Args:
        name: What to call it in errors, e.g. `points`.
        value: (N, 3) real numbers, N >= 1, finite.
        dtype: Type to convert to before checking that all values are finite; None keeps the type.

    Returns:
        The array, converted where `dtype` is given.

    Raises:
        GeometryError: If the shape, the type or a value is wrong.
    """
    array = np.asarray(value)
    check_positions_shape(name, array.shape)
    if not np.issubdtype(array.dtype, np.number) or np.issubdtype(array.dtype, np.complexfloating):
        raise GeometryError(f"{name} has dtype {array.dtype}; expected real numbers. Convert them to float32.")
    with np.errstate(over="ignore"):
        array = array if dtype is None else array.astype(dtype, copy=False)
    bad = int(np.count_nonzero(~np.isfinite(array).all(axis=1)))
    if bad:
        raise GeometryError(f"{bad} of {len(array)} rows of {name} are not finite in {array.dtype}. Remove those rows.")
    return array


def check_positions_shape(name: str, shape: tuple[int, ...]) -> None:
    """Check that a shape is (N, 3) with N >= 1.

    Args:
        name: What to call the array in errors.
        shape: Its dimensions.

    Raises:
        GeometryError: If it is anything else.
    """
    if len(shape) != 2 or shape[1] != 3:
        hint = f"Did you mean {name}.T?" if len(shape) == 2 and shape[0] == 3 else "Pass x, y, z in each row."
        raise GeometryError(f"{name} has shape {shape}; expected (N, 3). {hint}")
    if shape[0] == 0:
        raise GeometryError(f"{name} is empty; expected at least one row. Check that the file holds a shape.")


def _faces(value: np.ndarray, vertices: int) -> np.ndarray:
    array = np.asarray(value)
    if array.ndim != 2 or array.shape[1] != 3:
        raise GeometryError(f"faces has shape {array.shape}; expected (F, 3). Triangulate the mesh first.")
    if len(array) == 0:
        raise GeometryError("faces is empty; a mesh needs at least one. Use PointCloud for points without faces.")
    if not np.issubdtype(array.dtype, np.integer):
        raise GeometryError(f"faces has dtype {array.dtype}; expected integers. Convert them to int64.")
    array = array.astype(np.int64, copy=False)
    low, high = array.min(), array.max()
    if low < 0 or high >= vertices:
        raise GeometryError(f"Faces use vertices {low} to {high}, but there are only {vertices}. Indices start at 0.")
    return readonly(array)


def _check_appearance(appearance: Appearance, vertices: int, faces: int) -> None:
    if len(appearance.material_ids) != faces:
        raise GeometryError(f"The appearance has material_ids of {len(appearance.material_ids)} faces, but the mesh has {faces}.")
    for name in ("uv", "tints"):
        value = getattr(appearance, name)
        if value is not None and len(value) != vertices:
            raise GeometryError(f"The appearance has {name} of {len(value)} vertices, but the mesh has {vertices}.")


def _colors(value: np.ndarray, rows: int, of: str) -> np.ndarray:
    array = np.asarray(value)
    if array.shape != (rows, 3):
        raise GeometryError(f"colors has shape {array.shape}; expected ({rows}, 3) like {of}. Pass red, green, blue in each row.")
    if array.dtype == np.uint8:
        array = array.astype(np.float32) / 255
    array = array.astype(np.float32, copy=False)
    if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
        raise GeometryError("colors has values outside [0, 1]. Divide 8-bit colours by 255.")
    return readonly(array)
