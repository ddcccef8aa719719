"""How much the form of a shape says for each axis as its up axis: placement in the file, geometric cues and the upright network."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from basrelief.geometry.transforms import UP_AXES, normalise_unit_sphere, rotation_to_z_up
from basrelief.geometry.upright import upright_cues
from basrelief.geometry.upright_network import axis_scores

POINTS = 2048
"""Points of a shape's surface that are looked at."""

PLACEMENTS = ("base at zero", "base near zero", "centred", "nearly centred", "across zero")
"""Names of what `placement` returns."""

_NETWORK = 0.64
_CUES = (-0.06, -0.53, 0.78, 0.21, 3.86, 0.23, 0.16)
_PLACEMENT = (1.69, 1.28, -0.06, -1.02, -0.66)
"""Fitted together by `python benchmarks/axes.py --fit` on the shapes of the training makers."""

_EXACT, _NEAR = 0.002, 0.02  # shares of the largest extent
_HOPELESS = 4.0  # an axis this far behind the best before the network is asked does not need it
_UNSEEN = 2.0  # what such an axis is given below the lowest score of the others


def form_evidence(
    points: Float[np.ndarray, "points 3"],
    low: Float[np.ndarray, " 3"],
    high: Float[np.ndarray, " 3"],
    *,
    prior: Float[np.ndarray, " 6"] | None = None,
) -> Float[np.ndarray, " 6"]:
    """Return the log likelihood of each axis as the up axis, up to a constant.

    Placement counts, because makers put a model's base at height 0 and its middle at the origin: `placement`. So do ground contact, balance
    and symmetry (`upright_cues`), and the upright network, which scores the axes that the others and the prior leave in the race.

    Args:
        points: Points of the surface in the coordinates of the file, some `POINTS`; finite, not all at one place.
        low: Smallest coordinates of the whole shape.
        high: Largest coordinates.
        prior: (6,) log of what is known without the form, which only saves work; None for nothing.

    Returns:
        One number for each of `UP_AXES`.
    """
    cloud = normalise_unit_sphere(np.asarray(points, dtype=np.float64))
    cues = np.stack([upright_cues(cloud @ rotation_to_z_up(axis).T) for axis in UP_AXES])
    evidence: np.ndarray = cues @ np.array(_CUES) + placement(low, high) @ np.array(_PLACEMENT)
    expected = evidence if prior is None else evidence + prior
    open_axes = np.flatnonzero(expected > expected.max() - _HOPELESS)
    scores = axis_scores(cloud, open_axes.tolist())
    network = np.full(len(UP_AXES), scores.min() - _UNSEEN)
    network[open_axes] = scores
    return evidence + _NETWORK * network


def placement(low: Float[np.ndarray, " 3"], high: Float[np.ndarray, " 3"]) -> Float[np.ndarray, "6 5"]:
    """Describe where a shape lies along each axis, which is 0 or 1 for each of `PLACEMENTS`.

    Args:
        low: Smallest coordinates of the shape.
        high: Largest coordinates.

    Returns:
        (6, 5), one row for each of `UP_AXES`: the lower end lies at 0, within 0.002 or 0.02 of the largest extent; the middle does; or 0 is
        inside, but neither at the lower end nor in the middle.
    """
    up = np.stack([rotation_to_z_up(axis)[2] for axis in UP_AXES])
    ends = np.stack([up @ low, up @ high])
    bottom, top = ends.min(axis=0), ends.max(axis=0)
    extent = max(float((high - low).max()), 1e-12)
    base, middle = np.abs(bottom) / extent, np.abs(bottom + top) / 2 / extent
    across = (base > _NEAR) & (bottom < 0) & (top > 0) & (middle >= _NEAR)
    columns = (base < _EXACT, base < _NEAR, middle < _EXACT, middle < _NEAR, across)
    return np.stack(columns, axis=1).astype(np.float64)
