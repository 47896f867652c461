"""Undo and redo of named steps over documents that never change."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from dense3d.transfer_function.marks import AnyMark
from dense3d.transfer_function.shown_function import ShownFunction
from dense3d.transfer_function.structure_classes import StructureClass

MOST_STEPS = 200  # that can be undone; older ones are forgotten
SAME_GESTURE = 2.0  # seconds within which changes of one slider are one step


@dataclass(frozen=True, eq=False)
class Imported:
    """A segmentation that was brought along.

    Args:
        labels: (X, Y, Z) uint8 class ids on the canonical grid.
        name: of its file.
        notes: what a person should know of how its voxels were taken, one sentence each.
    """

    labels: np.ndarray
    name: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Document:
    """Everything that undo takes back, at one moment."""

    classes: tuple[StructureClass, ...] = ()
    marks: tuple[AnyMark, ...] = ()
    imported: Imported | None = None
    transfer_function: ShownFunction | None = None


@dataclass
class History:
    """Documents, and the names of the steps between them.

    Args:
        start: the document before the first step.
        steps: name of each step and the document after it.
        position: number of steps that are not undone.
    """

    start: Document = field(default_factory=Document)
    steps: list[tuple[str, Document]] = field(default_factory=list)
    position: int = 0
    _gesture: tuple[str, float] | None = None

    @property
    def document(self) -> Document:
        """What is there now."""
        return self.steps[self.position - 1][1] if self.position else self.start

    @property
    def undo_name(self) -> str | None:
        """The step that undo would take back."""
        return self.steps[self.position - 1][0] if self.position else None

    @property
    def redo_name(self) -> str | None:
        """The step that redo would make again."""
        return self.steps[self.position][0] if self.position < len(self.steps) else None

    def make(self, name: str, gesture: str | None = None, **changes: Any) -> str | None:
        """Change the document and remember the step.

        Args:
            name: what undo will call it.
            gesture: changes of the same gesture, shortly after one another, are one step.
            changes: fields of the document.

        Returns:
            ``name``, or None where nothing changed, which makes no step.
        """
        document = replace(self.document, **changes)
        if document == self.document:
            return None
        del self.steps[self.position :]
        now = time.monotonic()
        if (
            gesture
            and self._gesture
            and self._gesture[0] == gesture
            and now - self._gesture[1] < SAME_GESTURE
        ):
            self.steps.pop()
            self.position -= 1
        self._gesture = (gesture, now) if gesture else None
        if document != self.document:  # a slider that came back to where it was made no step
            self.steps.append((name, document))
        if len(self.steps) > MOST_STEPS:
            self.start = self.steps.pop(0)[1]
        self.position = len(self.steps)
        return name

    def undo(self) -> str | None:
        """Take the last step back; its name, or None where there is none."""
        name = self.undo_name
        self.position -= name is not None
        self._gesture = None
        return name

    def redo(self) -> str | None:
        """Make the step that was taken back again; its name, or None where there is none."""
        name = self.redo_name
        self.position += name is not None
        self._gesture = None
        return name
