"""Upright poses: candidates are scored by geometric cues and the upright network and, if these are unsure, by what a model recognises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float

from basrelief.errors import ConfigError, unknown_choice
from basrelief.geometry import UP_AXES, normalise_unit_sphere, rotate, rotation_to_z_up
from basrelief.geometry.upright import cue_scores, up_candidates
from basrelief.models.model import Model
from basrelief.models.upright import POINTS, upright_scores
from basrelief.render import sample_points
from basrelief.types import PointCloud, Shape

PoseSearch = Literal["axes", "any"]
POSE_SEARCHES: tuple[str, ...] = ("axes", "any")

_CUES = 0.35  # weight of geometric cues relative to the network's scores; chosen on training shapes
_SURE = 0.9  # above it, the model is not consulted
_WORTH = 0.02  # candidates less likely than this are not shown to it
_VOTERS = 4


@dataclass(frozen=True, eq=False)
class Pose:
    """The rotation that turns a shape upright.

    Attributes:
        rotation: R (3, 3): `points @ R.T` stands upright, world frame.
        up: The axis that is turned to +Z, one of `UP_AXES`; empty for a direction between the axes.
        confidence: Probability among the candidates, in (0, 1].
        reason: What decided, in words for the user.
    """

    rotation: Float[np.ndarray, "3 3"]
    up: str
    confidence: float
    reason: str

    def apply(self, shape: Shape) -> Shape:
        """Rotate a shape and note it in its origin."""
        turned = rotate(shape, self.rotation)
        if turned.origin is None or np.allclose(self.rotation, np.eye(3)):
            return turned
        direction = self.up or "a direction between its axes"
        note = f"Turned so that {direction} is up: {self.reason}."
        return replace(turned, origin=replace(turned.origin, notes=(*turned.origin.notes, note)))


def resolve_pose(
    shapes: Sequence[Shape], *, model: Model | None = None, labels: Sequence[str] = (), search: PoseSearch = "axes", seed: int = 0
) -> list[Pose]:
    """Find the upright pose of shapes.

    The upright network scores every candidate, and so do ground contact, balance and symmetry. Where the best is below a probability of 0.9
    and a model is given, those that are left are shown to it, and how sure it is of a name counts.

    Args:
        shapes: Any pose; scale and place do not matter.
        model: What votes; None leaves it to form and network.
        labels: Names the model may recognise; at least two where a model is given.
        search: `axes` tries the six axes of the file; `any` tries the flat sides and principal axes of the form.
        seed: Of the surface sampling.

    Returns:
        One pose for each shape. Shapes without an up, such as balls and keys, get one, too, with a low confidence.

    Raises:
        ConfigError: If `search` is unknown, or a model is given without labels.
        GeometryError: If a shape cannot be sampled.
    """
    if search not in POSE_SEARCHES:
        raise ConfigError(unknown_choice("search", search, POSE_SEARCHES))
    if model is not None and len(labels) < 2:
        raise ConfigError(f"The model's vote needs at least two labels, got {len(labels)}. Name some.")
    return [_resolve(shape, model, labels, search, seed) for shape in shapes]


def _resolve(shape: Shape, model: Model | None, labels: Sequence[str], search: str, seed: int) -> Pose:
    points = sample_points(shape, POINTS, seed=seed).points
    if len(points) < 4:
        return Pose(np.eye(3), "z", 1 / len(UP_AXES), "too few points to tell")
    cloud = normalise_unit_sphere(points)
    rotations = _axes() if search == "axes" else _upright(cloud, up_candidates(cloud))
    scores = upright_scores([cloud], rotations)[0] + _CUES * cue_scores(cloud, rotations)
    chances, reason = _softmax(scores), "by its form: ground contact, symmetry and its sides"
    if model is not None and chances.max() < _SURE:
        chances, reason = _softmax(scores + _vote(model, cloud, rotations, labels, chances)), "by its form and what the model recognises"
    best = int(chances.argmax())
    rotation = rotations[best]
    return Pose(rotation, _axis(rotation), float(chances[best]), reason)


def _vote(
    model: Model, cloud: np.ndarray, rotations: np.ndarray, labels: Sequence[str], chances: np.ndarray
) -> Float[np.ndarray, " candidates"]:
    """Log of how sure the model is of its best name, for the candidates that are left; others are put out of the race."""
    left = [int(i) for i in np.argsort(-chances)[:_VOTERS] if chances[i] >= _WORTH]
    views = model.embed_views([PointCloud((cloud @ rotations[i].T).astype(np.float32)) for i in left])
    found = model.score_views(views, model.encode_labels(labels))
    votes = np.full(len(rotations), -np.inf)
    votes[left] = (found.scores if found.probabilities is None else found.probabilities.log()).amax(dim=1).double().cpu().numpy()
    return votes


def _axes() -> Float[np.ndarray, "6 3 3"]:
    return np.stack([rotation_to_z_up(axis) for axis in UP_AXES])


def _upright(cloud: np.ndarray, ups: Float[np.ndarray, "candidates 3"]) -> Float[np.ndarray, "candidates 3 3"]:
    """Rotations that turn each direction to +Z and the longest horizontal one to +X."""
    flat = cloud[None] - (cloud @ ups.T).T[..., None] * ups[:, None]
    x = np.linalg.eigh(np.einsum("kpi,kpj->kij", flat, flat))[1][:, :, -1]
    x -= (x * ups).sum(axis=1, keepdims=True) * ups
    x /= np.linalg.norm(x, axis=1, keepdims=True).clip(1e-9)
    return np.stack([x, np.cross(ups, x), ups], axis=1)


def _axis(rotation: np.ndarray) -> str:
    """The axis of the file that a rotation turns to +Z, or empty."""
    return next((axis for axis in UP_AXES if np.allclose(rotation_to_z_up(axis)[2], rotation[2], atol=0.02)), "")


def _softmax(scores: np.ndarray) -> np.ndarray:
    chances = np.exp(scores - scores.max())
    shares: np.ndarray = chances / chances.sum()
    return shares
