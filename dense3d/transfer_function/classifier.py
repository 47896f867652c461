"""What turns prompts into a classification: the contract that every method of the tool fulfils."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from dense3d.transfer_function.prompts import Prompt

# done (0..1), what is being done, estimated seconds left or None; raises what ends the work early
Progress = Callable[[float, str, "float | None"], None]


class Scores(Protocol):
    """How much each voxel of the working grid belongs to each class.

    255 is certain; a class holds where its score exceeds its threshold and every other class's score, the
    first of equals (:func:`dense3d.transfer_function.resolving.resolve`).
    """

    class_ids: tuple[int, ...]  # without the background

    def plane(self, axis: int, index: int) -> np.ndarray:
        """(C, A, B) uint8 scores of one slice of the working grid, its other two axes in ascending order."""

    def volume(self) -> np.ndarray:
        """(C, X, Y, Z) uint8 scores on the working grid."""


class Classifier(Protocol):
    """A method, bound to one volume (its working resolution).

    It may also have ``preview(prompts, class_ids)``: roughly what ``classify`` will give, much sooner, or
    None; slices show it until the classification is there.
    """

    name: str
    ready: bool  # whether classify may be called; planes can be looked at before

    def prepare(self, progress: Progress) -> None:
        """What is done once for a volume. Runs in a thread of its own; may become ready before it ends."""

    def classify(self, prompts: Sequence[Prompt], class_ids: Sequence[int]) -> Scores:
        """Scores of the classes after these prompts, whose voxels are indices of the working grid."""
