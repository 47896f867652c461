"""Few-shot folds: mean and deviation of accuracies, and paired comparison of two starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dense3d.errors import DataError


@dataclass(frozen=True)
class FewShotSummary:
    """Accuracies over folds, in percent.

    Attributes:
        mean: over the folds.
        deviation: standard deviation over the folds, of the population as NumPy's, which papers print.
        folds: how many.
    """

    mean: float
    deviation: float
    folds: int

    def __str__(self) -> str:
        """As papers print it."""
        return f"{self.mean:.1f} ± {self.deviation:.1f} ({self.folds} folds)"


def summarise(accuracies: Sequence[float]) -> FewShotSummary:
    """Mean and deviation over folds.

    Raises:
        DataError: there is no fold.

    Example:
        >>> print(summarise([90.0, 94.0]))
        92.0 ± 2.0 (2 folds)
    """
    if not len(accuracies):
        raise DataError("there is no fold to take the mean of")
    return FewShotSummary(float(np.mean(accuracies)), float(np.std(accuracies)), len(accuracies))


def paired_difference(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float]:
    """Mean of the differences of pairs and its standard error; of one pair the error is NaN.

    Args:
        ours, theirs: accuracies of the same folds and seeds, in the same order.

    Raises:
        DataError: they are not equally many, or none.

    Example:
        >>> paired_difference([3.0, 5.0], [1.0, 1.0])
        (3.0, 1.0)
    """
    if len(ours) != len(theirs) or not len(ours):
        raise DataError(f"{len(ours)} and {len(theirs)} accuracies are no pairs")
    differences = np.subtract(ours, theirs)
    error = differences.std(ddof=1) / np.sqrt(len(differences)) if len(differences) > 1 else np.nan
    return float(differences.mean()), float(error)
