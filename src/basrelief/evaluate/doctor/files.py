"""Checks of one shape: can it be read, does it stand, how large, how many points, which colours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from basrelief.errors import BasreliefError
from basrelief.io import load
from basrelief.models import Pose, Recipe, resolve_pose
from basrelief.types import Finding, Mesh, Shape

Vote = Callable[[Sequence[Shape]], list[Pose]]
"""Says how shapes stand; see `basrelief.models.resolve_pose`."""

_SURE = 0.8
_GREY = 0.02


def examine_file(path: str | Path, *, up: str | None = None, recipe: Recipe | None = None, vote: Vote = resolve_pose) -> list[Finding]:
    """Check a shape file.

    Args:
        path: What `basrelief.load` reads, or a depth map or picture that is taken for a shape.
        up: As for `basrelief.load`.
        recipe: Whose number of points is compared; None compares with none.
        vote: Says how the shape stands.

    Returns:
        One finding for each check; a file that cannot be read has one, `wrong`.
    """
    depth = _depth_maps(Path(str(path)))
    if depth is not None:
        return [depth]
    try:
        shape = load(path, up=up)
    except BasreliefError as error:
        return [Finding("reading", "wrong", str(error), "Export it again, or see which formats are read: basrelief classify --help.")]
    origin = shape.origin
    notes = origin.notes if origin else ()
    findings = [Finding("reading", "ok", f"{_size(shape)}, {origin.format if origin else 'shape'}.")]
    findings += [Finding("reading", "warning", note, "Nothing, if that is as you meant it.") for note in notes]
    return [*findings, *_axis(shape, vote), *_extent(shape), *_points(shape, recipe), *_colors(shape), *_form(shape)]


def _depth_maps(path: Path) -> Finding | None:
    """A stack of depth maps under a name that shapes have, too."""
    if path.suffix.lower() != ".npy" or not path.is_file():
        return None
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError):
        return None
    if array.ndim < 3 or (array.shape[-1] in (3, 6) and array.ndim == 3 and array.shape[1] > 256):
        return None
    seen = float(np.mean(np.asarray(array[:1]) != np.asarray(array[:1]).flat[0]))
    kind = f"depth maps {tuple(array.shape)}, {seen:.0%} of the first one drawn: {'dense' if seen > 0.25 else 'sparse'}"
    remedy = "Give the cloud or mesh instead: every model draws its own depth. Drawn maps of a data set are read by basrelief evaluate."
    return Finding("input", "wrong", f"{path.name} holds {kind}, not a shape.", remedy)


def _axis(shape: Shape, vote: Vote) -> Iterator[Finding]:
    origin = shape.origin
    if origin is not None:
        yield Finding("up axis", "ok", f"{origin.up} of the file: {origin.up_reason}.")
    try:
        pose = vote([shape])[0]
    except BasreliefError as error:
        yield Finding("up axis", "warning", f"How it stands could not be seen: {error}", "Look at it: basrelief render FILE.")
        return
    if pose.up == "z" or pose.confidence < _SURE:
        level, fact = "ok", f"It looks upright ({pose.confidence:.0%} sure)." if pose.up == "z" else "Its form does not tell what is up."
        yield Finding("upright", "ok", fact) if level == "ok" else Finding("upright", "warning", fact)
    else:
        fact = f"It looks as if world {pose.up} were up ({pose.confidence:.0%} sure): {pose.reason}."
        yield Finding("upright", "warning", fact, "Look at it with basrelief render, then give --up, or --pose axes to classify.")


def _extent(shape: Shape) -> Iterator[Finding]:
    points = _positions(shape)
    low, high = points.min(axis=0), points.max(axis=0)
    longest = float((high - low).max())
    if longest == 0:
        yield Finding("scale", "wrong", "All points are in one place.", "Export it again.")
        return
    unit = "millimetres or a scene" if longest > 50 else "very small units" if longest < 0.01 else "metres or normalised"
    sphere = float(np.linalg.norm(points - points.mean(axis=0), axis=1).max())
    normalised = " It is in a unit sphere already." if abs(sphere - 1) < 0.02 else ""
    yield Finding("scale", "ok", f"Longest side {longest:.4g} ({unit}); every model normalises by itself.{normalised}")


def _points(shape: Shape, recipe: Recipe | None) -> Iterator[Finding]:
    if recipe is None or isinstance(shape, Mesh):
        return
    count = len(shape.points)
    if count < recipe.points:
        fact = f"{count:,} points, {recipe.name} draws {recipe.points:,}."
        yield Finding("points", "warning", fact, "Give a denser cloud where there is one: a sparse one is drawn with holes.")
    else:
        yield Finding("points", "ok", f"{count:,} points, of which {recipe.name} draws {recipe.points:,}.")


def _colors(shape: Shape) -> Iterator[Finding]:
    needed = "Models that draw depth need none; point encoders taught with colour (xyz + rgb) take 0.4 grey for it."
    if shape.colors is None:
        yield Finding("colour", "ok", f"No colour. {needed}")
        return
    if 0 < float(shape.colors.max()) < 0.02:
        remedy = "Colours were 0 to 1 and were divided by 255 once more: export them as they are."
        yield Finding("colour", "warning", f"Nearly black, at most {shape.colors.max():.3f}.", remedy)
    elif float(shape.colors.std()) < _GREY:
        shade = " ".join(f"{value:.2f}" for value in shape.colors.mean(axis=0))
        yield Finding("colour", "ok", f"One colour, {shade}: as good as none. {needed}")
    else:
        yield Finding("colour", "ok", f"Colours from {shape.colors.min():.2f} to {shape.colors.max():.2f} in [0, 1]. {needed}")


def _form(shape: Shape) -> Iterator[Finding]:
    points = _positions(shape)
    unique = len(np.unique(points, axis=0))
    if not isinstance(shape, Mesh) and unique < 0.9 * len(points):
        fact = f"{len(points) - unique:,} of {len(points):,} points are there more than once."
        yield Finding("form", "warning", fact, "Clouds filled up to a fixed number look so; the shape is sparser than it says.")
    sides = np.sort(np.linalg.svd(points - points.mean(axis=0), compute_uv=False)) if len(points) >= 3 else np.zeros(3)
    if sides[0] < 1e-3 * max(float(sides[-1]), 1e-12):
        yield Finding("form", "warning", "It is flat: all points lie in a plane.", "A depth map of it shows little; check the export.")


def _positions(shape: Shape) -> np.ndarray:
    return shape.vertices if isinstance(shape, Mesh) else shape.points


def _size(shape: Shape) -> str:
    return f"{len(shape.faces):,} faces" if isinstance(shape, Mesh) else f"{len(shape.points):,} points"
