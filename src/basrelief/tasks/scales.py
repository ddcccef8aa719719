"""Scales of an ensemble's members, fitted on labelled validation shapes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int64

from basrelief.errors import ConfigError

_LARGEST = 1000.0
"""Largest scale; CLIP's is 100. A member that is always right would have an infinite one."""


def fit_scales(
    similarity: Float[np.ndarray, "members shapes labels"], truth: Int64[np.ndarray, " shapes"]
) -> tuple[tuple[float, ...], float]:
    """Fit the multipliers of the members' cosines by maximum likelihood.

    The model is the conditional logit of McFadden (1974): P(label | shape) is the softmax of the weighted sum of the members' cosines. Its
    likelihood is concave in the scales, so the optimum is unique where the members differ. Scales are bounded to [0, 1000].

    Args:
        similarity: Cosine of each shape with each label by each member.
        truth: Index of the right label of each shape.

    Returns:
        One scale for each member, and the mean negative log-likelihood in nats.

    Raises:
        ConfigError: If there is no shape.
    """
    from scipy.optimize import minimize
    from scipy.special import logsumexp

    members, shapes, _ = similarity.shape
    if not shapes or len(truth) != shapes:
        raise ConfigError(f"There are {len(truth)} labels for {shapes} shapes. Pass one per shape, and at least one shape.")
    cosines = similarity.astype(np.float64)
    right = cosines[:, np.arange(shapes), truth]

    def loss(scales: np.ndarray) -> tuple[float, np.ndarray]:
        logits = np.tensordot(scales, cosines, axes=1)
        chances = np.exp(logits - logsumexp(logits, axis=1, keepdims=True))
        value = float((logsumexp(logits, axis=1) - scales @ right).mean())
        return value, ((cosines * chances).sum(axis=2) - right).mean(axis=1)

    start = np.full(members, 10.0)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0.0, _LARGEST)] * members)
    scales = found.x if found.x.any() else start
    return tuple(float(scale) for scale in scales), float(found.fun)
