"""Checks of a shape file: can it be read, its up axis, scale, number of points, colour and form."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from basrelief.errors import BasreliefError
from basrelief.io import load
from basrelief.io.intrinsics import Intrinsics
from basrelief.models import Pose, Recipe, resolve_pose
from basrelief.models.recommend import ShapeSummary, machine_memory
from basrelief.models.recommend_colour import better_default
from basrelief.scenes import recognise_scene
from basrelief.types import Finding, Mesh, Shape

Vote = Callable[[Sequence[Shape]], list[Pose]]
"""Estimates the poses of shapes, see `basrelief.models.resolve_pose`."""

_SURE = 0.8
_GREY = 0.02


def check_file(
    path: str | Path,
    *,
    up: str | None = None,
    intrinsics: Intrinsics | None = None,
    recipe: Recipe | None = None,
    vote: Vote = resolve_pose,
    suggest: bool = False,
) -> list[Finding]:
    """Check a shape file.

    Args:
        path: A shape file, as for `basrelief.load`, or a stack of depth maps mistaken for one.
        up: Up axis, as for `basrelief.load`.
        intrinsics: Camera of a depth map, as for `basrelief.load`.
        recipe: Model whose number of points is compared, or None.
        vote: Estimates the pose of the shape.
        suggest: Whether to name a model that suits the file and this machine.

    Returns:
        One finding for each check; a single `wrong` one for a file that cannot be read.
    """
    depth = None if intrinsics else _depth_maps(Path(str(path)))
    if depth is not None:
        return [depth]
    try:
        shape = load(path, up=up, intrinsics=intrinsics)
    except BasreliefError as error:
        return [Finding("reading", "wrong", str(error), "Export it again, or see which formats are read: basrelief classify --help.")]
    origin = shape.origin
    notes = origin.notes if origin else ()
    findings = [Finding("reading", "ok", f"{_size(shape)}, {origin.format if origin else 'shape'}.")]
    findings += [Finding("reading", "warning", note, "Nothing to do if that is intended.") for note in notes]
    scene = recognise_scene(shape)
    findings += [] if scene is None else [scene.finding(str(path))]
    return [
        *findings,
        *_axis(shape, vote),
        *_extent(shape),
        *_points(shape, recipe),
        *_colors(shape),
        *_form(shape),
        *(_model(shape, str(path)) if suggest else ()),
    ]


def _depth_maps(path: Path) -> Finding | None:
    """A finding if the file is a stack of depth maps."""
    if path.suffix.lower() != ".npy" or not path.is_file():
        return None
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError):
        return None
    if array.ndim < 3 or (array.ndim == 3 and array.shape[-1] in (3, 4, 6)):  # clouds
        return None
    seen = float(np.mean(np.asarray(array[:1]) != np.asarray(array[:1]).flat[0]))
    kind = f"depth maps {tuple(array.shape)}, {seen:.0%} of the first one covered: {'dense' if seen > 0.25 else 'sparse'}"
    remedy = "Use the point cloud or mesh; every model renders its own depth. Depth maps of a data set are read by basrelief evaluate."
    return Finding("input", "wrong", f"{path.name} holds {kind}, not a shape.", remedy)


def _axis(shape: Shape, vote: Vote) -> Iterator[Finding]:
    origin = shape.origin
    if origin is not None:
        yield Finding("up axis", "ok", f"{origin.up} of the file: {origin.up_reason}.")
    try:
        pose = vote([shape])[0]
    except BasreliefError as error:
        yield Finding("up axis", "warning", f"The up axis could not be estimated: {error}", "Look at the shape: basrelief render FILE.")
        return
    if pose.up == "z" or pose.confidence < _SURE:
        level, fact = (
            "ok",
            f"It looks upright ({pose.confidence:.0%} sure)." if pose.up == "z" else "Its form does not tell which way is up.",
        )
        yield Finding("upright", "ok", fact) if level == "ok" else Finding("upright", "warning", fact)
    else:
        fact = f"World {pose.up} seems to be up ({pose.confidence:.0%} sure): {pose.reason}."
        yield Finding("upright", "warning", fact, "Look at it with basrelief render, then pass --up, or --pose axes to classify.")


def _extent(shape: Shape) -> Iterator[Finding]:
    points = _positions(shape)
    low, high = points.min(axis=0), points.max(axis=0)
    longest = float((high - low).max())
    if longest == 0:
        yield Finding("scale", "wrong", "All points are at one position.", "Export it again.")
        return
    unit = "millimetres or a scene" if longest > 50 else "very small units" if longest < 0.01 else "metres or normalised"
    sphere = float(np.linalg.norm(points - points.mean(axis=0), axis=1).max())
    normalised = " It already fits a unit sphere." if abs(sphere - 1) < 0.02 else ""
    yield Finding("scale", "ok", f"Longest side {longest:.4g} ({unit}); every model normalises its input.{normalised}")


def _points(shape: Shape, recipe: Recipe | None) -> Iterator[Finding]:
    if recipe is None or isinstance(shape, Mesh) or not (recipe.projection or recipe.cloud):
        return
    count = len(shape.points)
    if count < recipe.points:
        fact = f"{count:,} points, {recipe.name} samples {recipe.points:,}."
        yield Finding("points", "warning", fact, "Use a denser cloud if there is one: a sparse one renders with holes.")
    else:
        yield Finding("points", "ok", f"{count:,} points, of which {recipe.name} samples {recipe.points:,}.")


def _colors(shape: Shape) -> Iterator[Finding]:
    needed = "Depth models need none; point encoders trained with colour (xyz + rgb) get 0.4 grey instead."
    if shape.colors is None:
        yield Finding("colour", "ok", f"No colour. {needed}")
        return
    if 0 < float(shape.colors.max()) < 0.02:
        remedy = "The colours were 0 to 1 and divided by 255 again: export them unscaled."
        yield Finding("colour", "warning", f"Nearly black, at most {shape.colors.max():.3f}.", remedy)
    elif float(shape.colors.std()) < _GREY:
        shade = " ".join(f"{value:.2f}" for value in shape.colors.mean(axis=0))
        yield Finding("colour", "ok", f"One colour, {shade}: the same as none. {needed}")
    else:
        yield Finding(
            "colour",
            "ok",
            f"Colours from {shape.colors.min():.2f} to {shape.colors.max():.2f} in [0, 1]. Models with shaded views see them. {needed}",
        )


def _model(shape: Shape, path: str) -> Iterator[Finding]:
    """Name a model with an open licence that suits the file and this machine."""
    mesh, points = isinstance(shape, Mesh), 0 if isinstance(shape, Mesh) else len(shape.points)
    about = ShapeSummary(files=1, meshes=mesh, clouds=not mesh, colored=shape.colors is not None, points=points, unreadable=0)
    try:
        found = better_default(memory_gb=machine_memory(), shapes=about, files=(path,))
    except BasreliefError:  # the system does not say how much memory there is
        return
    if found is not None:
        yield Finding(
            "model", "ok", f"{found.name} suits it and this machine: {found.summary}. More: basrelief models recommend {shlex.quote(path)}."
        )


def _form(shape: Shape) -> Iterator[Finding]:
    points = _positions(shape)
    unique = len(np.unique(points, axis=0))
    if not isinstance(shape, Mesh) and unique < 0.9 * len(points):
        fact = f"{len(points) - unique:,} of {len(points):,} points are duplicates."
        yield Finding(
            "form", "warning", fact, "The cloud was probably padded to a fixed number of points; it is sparser than that number says."
        )
    sides = np.sort(np.linalg.svd(points - points.mean(axis=0), compute_uv=False)) if len(points) >= 3 else np.zeros(3)
    if sides[0] < 1e-3 * max(float(sides[-1]), 1e-12):
        yield Finding("form", "warning", "It is flat: all points lie in one plane.", "Depth maps of it show little; check the export.")


def _positions(shape: Shape) -> np.ndarray:
    return shape.vertices if isinstance(shape, Mesh) else shape.points


def _size(shape: Shape) -> str:
    return f"{len(shape.faces):,} faces" if isinstance(shape, Mesh) else f"{len(shape.points):,} points"
