"""Least-cost assignment of rows to columns, on the CPU by scipy."""

from __future__ import annotations

import numpy as np
from torch import Tensor


def linear_sum_assignment(cost: Tensor | np.ndarray, maximize: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the least total cost; what is not finite costs more than any finite pair.

    scipy's function refuses NaN. Here a prediction that is not a number is matched last, and what it was
    computed from goes on to the loss, where training notices it.

    Args:
        cost: ``(rows, columns)``, of any precision.
        maximize: look for the largest total instead; what is not finite is then worth less than the rest.

    Returns:
        Indices of ``min(rows, columns)`` pairs, the rows in rising order.

    Example:
        >>> linear_sum_assignment(np.array([[np.nan, 5.0], [1.0, 2.0]]))[1].tolist()
        [1, 0]
    """
    from scipy.optimize import linear_sum_assignment as solve

    if isinstance(cost, Tensor):
        cost = cost.detach().cpu().double().numpy()
    cost = np.asarray(cost, dtype=np.float64)
    finite = np.isfinite(cost)
    if not finite.all():
        beyond = 1.0 + 2.0 * np.abs(cost[finite]).max(initial=0.0)
        cost = np.where(finite, cost, -beyond if maximize else beyond)
    return solve(cost, maximize=maximize)
