"""Which classes are taken for which: the matrix, its picture, its table."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dense3d.errors import DataError
from dense3d.files import atomic_write

NAMED = 40  # of more classes the picture names none
NUMBERED = 15  # of more classes it has no numbers in its cells


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """How often each class, a row, was taken for each, a column.

    Args:
        labels, predicted: ``(N,)`` classes.
        num_classes: C.

    Returns:
        ``(C, C)`` integers.

    Raises:
        DataError: a class lies outside of ``0 .. C - 1``.

    Example:
        >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
        [[1, 1], [0, 1]]
    """
    for values in (labels, predicted):
        if len(values) and not 0 <= int(values.min()) <= int(values.max()) < num_classes:
            raise DataError(f"classes {values.min()} .. {values.max()} of {num_classes}: correct num_classes")
    pairs = np.asarray(labels, dtype=np.int64) * num_classes + np.asarray(predicted, dtype=np.int64)
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def class_accuracies(matrix: np.ndarray) -> np.ndarray:
    """Share in percent of each class that is right; NaN for classes that do not occur.

    Example:
        >>> class_accuracies(np.array([[3, 1], [0, 0]])).tolist()
        [75.0, nan]
    """
    count = matrix.sum(axis=1)
    return np.where(count > 0, 100.0 * np.diag(matrix) / np.maximum(count, 1), np.nan)


def write_confusion(matrix: np.ndarray, names: Sequence[str], path: str | Path) -> None:
    """Write a row a class: name, images, accuracy in percent, and how often it was taken for each class."""
    accuracies = class_accuracies(matrix)
    with atomic_write(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["class", "images", "accuracy", *names])
        for name, row, accuracy in zip(names, matrix, accuracies):
            shown = "" if np.isnan(accuracy) else f"{accuracy:.2f}"
            writer.writerow([name, int(row.sum()), shown, *row.tolist()])


def draw_confusion(matrix: np.ndarray, names: Sequence[str], path: str | Path) -> Path:
    """Draw the matrix, each row in shares of its class, as a PNG.

    Args:
        matrix: ``(C, C)``, rows the true classes.
        names: of the classes.
        path: of the picture.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    count = len(matrix)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    side = min(3 + 0.35 * count, 14)
    figure, axis = pyplot.subplots(figsize=(side + 1, side))
    picture = axis.imshow(shares, cmap="viridis", vmin=0, vmax=1)
    figure.colorbar(picture, fraction=0.046, label="share of the true class")
    axis.set_xlabel("predicted")
    axis.set_ylabel("true")
    if count <= NAMED:
        axis.set_xticks(range(count), names, rotation=60, ha="right", fontsize="small")
        axis.set_yticks(range(count), names, fontsize="small")
    if count <= NUMBERED:
        for (row, column), number in np.ndenumerate(matrix):
            if number:
                colour = "black" if shares[row, column] > 0.6 else "white"
                axis.text(column, row, str(number), ha="center", va="center", color=colour, fontsize="small")
    figure.tight_layout()
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=100)
    pyplot.close(figure)
    return Path(path)
