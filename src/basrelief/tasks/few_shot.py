"""Few-shot: a logistic regression on the features of every view of a few labelled shapes, its logits summed over the views.

OpenDlign's head (Mao et al. 2024, arXiv:2404.16538, sec. 3.4), for any model. The paper does not state the strength of the penalty; ours
is scikit-learn's default, C = 1, on features scaled to unit variance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from basrelief.checks import check_at_least
from basrelief.errors import ConfigError

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression


def sample_shots(truth: Int[np.ndarray, " shapes"], shots: int, *, seed: int = 0, allow_fewer: bool = False) -> Int[np.ndarray, " support"]:
    """Sample the support: `shots` shapes of every class, without replacement.

    Args:
        truth: Class number of each shape.
        shots: K, shapes per class.
        seed: Of the draw; more shots of one seed hold the fewer.
        allow_fewer: Whether a class with fewer shapes gives all it has, or is an error.

    Returns:
        Their places in `truth`, class by class.

    Raises:
        ConfigError: If a class has fewer shapes and must not, or `shots` is below 1.
    """
    check_at_least("shots", shots, 1, "The papers use 1, 2, 4, 8 and 16.")
    random = np.random.default_rng(seed)
    classes, counts = np.unique(truth, return_counts=True)
    if not allow_fewer and len(classes) and counts.min() < shots:
        short = classes[counts.argmin()]
        raise ConfigError(f"shots is {shots}, but class {short} has {counts.min()} shapes. Use fewer shots.")
    return np.concatenate([random.permutation(np.flatnonzero(truth == c))[:shots] for c in classes])


class ViewProbe:
    """Logistic regression on view features.

    Attributes:
        penalty: Inverse strength C of scikit-learn's L2 penalty.
        classes_: (C,) class numbers seen by `fit`, ascending.
    """

    def __init__(self, *, penalty: float = 1.0) -> None:
        self.penalty = penalty

    def fit(self, views: Float[np.ndarray, "shapes views dim"], truth: Int[np.ndarray, " shapes"]) -> ViewProbe:
        """Learn from labelled shapes; every view is a sample of its shape's class.

        Args:
            views: Features of each view.
            truth: Class number of each shape, of at least two classes.

        Returns:
            Itself.

        Raises:
            ConfigError: If there are fewer than two classes.
        """
        from sklearn.linear_model import LogisticRegression

        if len(np.unique(truth)) < 2:
            raise ConfigError(f"truth has {len(np.unique(truth))} class; expected at least 2. Add shapes of another class.")
        flat = views.reshape(-1, views.shape[-1]).astype(np.float64)
        self._mean, self._scale = flat.mean(axis=0), float(flat.std()) or 1.0
        self._model: LogisticRegression = LogisticRegression(C=self.penalty, max_iter=1000)
        self._model.fit((flat - self._mean) / self._scale, np.repeat(truth, views.shape[1]))
        self.classes_: np.ndarray = self._model.classes_
        return self

    def scores(self, views: Float[np.ndarray, "shapes views dim"]) -> Float[np.ndarray, "shapes classes"]:
        """Logits of every class, summed over the views; columns in the order of `classes_`."""
        flat = (views.reshape(-1, views.shape[-1]).astype(np.float64) - self._mean) / self._scale
        logits = self._model.decision_function(flat)
        both = np.stack([-logits, logits], axis=1) / 2 if logits.ndim == 1 else logits
        summed: np.ndarray = both.reshape(len(views), views.shape[1], -1).sum(axis=1)
        return summed

    def linear(self) -> tuple[Float[np.ndarray, "classes dim"], Float[np.ndarray, " classes"]]:
        """Weight and bias of the logits of one view, rows in the order of `classes_`."""
        weight, bias = self._model.coef_ / self._scale, self._model.intercept_ - self._model.coef_ @ self._mean / self._scale
        if len(weight) == 1:  # two classes share one row
            weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
        return weight, bias

    def predict(self, views: Float[np.ndarray, "shapes views dim"]) -> Int[np.ndarray, " shapes"]:
        """Class number of each shape."""
        found: np.ndarray = self.classes_[self.scores(views).argmax(axis=1)]
        return found
