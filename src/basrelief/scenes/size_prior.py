"""How well the size of a box suits a label: an optional prior, for it is knowledge about the classes and so not zero-shot in spirit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import resources

import numpy as np
from jaxtyping import Float, Float32

from basrelief.geometry.boxes import Boxes

_TOLERANCE = 0.25
"""Standard deviation of the logarithm of the longest side, outside the usual range."""


@lru_cache(maxsize=1)
def usual_sizes() -> Mapping[str, tuple[float, float]]:
    """Return the usual range of the longest side of everyday things, metres; see `usual_sizes.json` for its origin."""
    record = json.loads(resources.files("basrelief.scenes").joinpath("usual_sizes.json").read_text(encoding="utf-8"))
    return {name: (low, high) for name, (low, high) in record["longest side"].items()}


def size_factors(boxes: Boxes, labels: Sequence[str]) -> Float32[np.ndarray, "boxes labels"]:
    """Return a factor in (0, 1] for each box and label: 1 within the usual range of the longest side, less outside.

    A label without a usual range, say of an unusual word, gets the mean of the others, so that the prior does not decide for or against it.

    Args:
        boxes: N boxes, metres.
        labels: C names.
    """
    sizes, longest = usual_sizes(), np.log(np.maximum(boxes.sizes.max(axis=1), 1e-6))
    factors = np.ones((len(boxes), len(labels)), dtype=np.float32)
    known = np.array([label.lower() in sizes for label in labels], dtype=bool)
    for column in np.flatnonzero(known).tolist():
        low, high = np.log(sizes[labels[column].lower()])
        beyond: Float[np.ndarray, " boxes"] = np.maximum(np.maximum(low - longest, longest - high), 0)
        factors[:, column] = np.exp(-0.5 * (beyond / _TOLERANCE) ** 2)
    if known.any() and not known.all():
        factors[:, ~known] = factors[:, known].mean(axis=1, keepdims=True)
    return np.maximum(factors, 1e-6)
