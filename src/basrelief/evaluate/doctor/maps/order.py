"""Match stored views with drawn ones, so that another order of the views is recognised."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

_TIE = 1.001


def match_views(cost: Float[np.ndarray, "stored drawn"]) -> tuple[tuple[int, ...], float]:
    """Return which drawn view belongs to each stored one, and their mean cost.

    The order as drawn is kept unless another one is cheaper.

    Args:
        cost: Difference of each stored view from each drawn one.

    Returns:
        The number of the drawn view for each stored one, -1 for stored views that are left over; and the mean over the others.
    """
    stored, drawn = cost.shape
    rows, columns = linear_sum_assignment(cost)
    mean = float(cost[rows, columns].mean())
    plain = float(np.diagonal(cost).mean())
    if plain <= mean * _TIE + 1e-7:
        return tuple(view if view < drawn else -1 for view in range(stored)), plain
    order = dict(zip(rows.tolist(), columns.tolist(), strict=True))
    return tuple(order.get(view, -1) for view in range(stored)), mean


def describe_order(order: tuple[int, ...]) -> str:
    """Describe an order of views in a few words."""
    count = len(order)
    if order == tuple(range(count)):
        return "as the projection draws them"
    if order == tuple(reversed(range(count))):
        return "reversed"
    if count > 1 and all((order[i] + 1) % count == order[(i + 1) % count] for i in range(count)):
        return f"as the projection draws them, but starting with view {order[0]}"
    return "view " + ", ".join("none" if view < 0 else str(view) for view in order)
