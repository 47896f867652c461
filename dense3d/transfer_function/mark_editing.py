"""Marks, added and taken back by steps."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from dense3d.transfer_function.editing import MOST_MARKS, Editor
from dense3d.transfer_function.marks import (
    AnyMark,
    Box,
    Lasso,
    Point,
    PromptError,
    Stroke,
    Voxel,
    dense_path,
    erased,
)


class MarkEditor(Editor):
    """An editor of classes that a person marks examples of."""

    def click(self, class_id: int, voxel: Sequence, positive: bool = True) -> str | None:
        """Mark a voxel, or several, for a class or against it.

        Args:
            class_id: 0 is the background.
            voxel: index triple in the canonical grid, or a list of them.
            positive: False: it does not belong to the class.

        Returns:
            The name of the step, None where all of it was marked before.

        Raises:
            PromptError: a voxel lies outside the volume.
        """
        with self.lock:
            if not isinstance(voxel, (Sequence, np.ndarray)):
                raise PromptError("a mark needs voxels: triples of whole numbers")
            voxels = [voxel] if len(voxel) and not isinstance(voxel[0], (Sequence, np.ndarray)) else voxel
            self.grid.check(voxels)
            places = dict.fromkeys(tuple(int(index) for index in place) for place in voxels)
            old = [mark for mark in self.document.marks if isinstance(mark, Point) and mark.voxel in places]
            same = [mark for mark in old if (mark.class_id, mark.positive) == (class_id, positive)]
            new = [
                Point(
                    id=self._next_mark + number,
                    class_id=self._checked_id(class_id),
                    positive=bool(positive),
                    voxel=place,
                )
                for number, place in enumerate(p for p in places if p not in {mark.voxel for mark in same})
            ]
            # A click on a clicked voxel corrects it, rather than contradicting it.
            corrected = {mark.id for mark in old if mark not in same}
            return self._mark("click", class_id, positive, new, corrected)

    def stroke(self, class_id: int, voxels: Sequence, radius: float = 0, positive: bool = True) -> str | None:
        """Draw a ball along a path; what it passes is marked, and holds exactly in the result.

        Args:
            class_id: 0 is the background.
            voxels: places of the pointer, canonical index triples; gaps between them are filled.
            radius: millimetres; 0 marks the path alone.
            positive: False: it does not belong to the class.

        Raises:
            PromptError: the path leaves the volume, or is too long.
        """
        with self.lock:
            self.grid.check(voxels)
            self.grid.check_radius(radius)
            path = dense_path(voxels)
            mark = Stroke(
                id=self._next_mark,
                class_id=self._checked_id(class_id),
                positive=bool(positive),
                path=path,
                radius=float(radius),
            )
            mark.check(self.grid)
            return self._mark("stroke", class_id, positive, [mark])

    def lasso(
        self, class_id: int, axis: int, index: int, polygon: Sequence, positive: bool = True
    ) -> str | None:
        """Mark what a polygon in a slice holds.

        Args:
            class_id: 0 is the background.
            axis: 0, 1, 2: the slice is across this axis of the canonical grid.
            index: of the slice.
            polygon: (N, 2) corners in canonical indices of the other two axes, in ascending order.
            positive: False: it does not belong to the class.

        Raises:
            PromptError: there is no such slice, or the polygon holds no voxel of it.
        """
        with self.lock:
            corners = np.asarray(polygon, float)
            if corners.shape[1:] != (2,):
                raise PromptError("a corner of a lasso is a pair of numbers")
            mark = Lasso(
                id=self._next_mark,
                class_id=self._checked_id(class_id),
                positive=bool(positive),
                axis=int(axis),
                index=int(index),
                polygon=tuple((round(float(a), 3), round(float(b), 3)) for a, b in corners),
            )
            mark.check(self.grid)
            if not len(mark.working(self.grid)):
                raise PromptError("the lasso holds no voxel of the volume; draw it larger")
            return self._mark("lasso", class_id, positive, [mark])

    def box(self, class_id: int, low: Sequence, high: Sequence, positive: bool = True) -> str | None:
        """Mark what lies between two corners, both inside, in whichever order.

        Raises:
            PromptError: a corner lies outside the volume.
        """
        with self.lock:
            self.grid.check([low, high])
            corners = np.array([low, high])
            mark = Box(
                id=self._next_mark,
                class_id=self._checked_id(class_id),
                positive=bool(positive),
                low=tuple(int(index) for index in corners.min(0)),
                high=tuple(int(index) for index in corners.max(0)),
            )
            return self._mark("box", class_id, positive, [mark])

    def erase(self, voxel: Voxel, radius: float, class_id: int | None = None) -> str | None:
        """Take back marks within ``radius`` millimetres of a voxel, of one class or of all.

        Of a stroke the part of its path goes, of others the whole (:func:`~.marks.erased`).
        """
        with self.lock:
            self.grid.check([voxel])
            self.grid.check_radius(radius)
            marks, new_id = [], self._next_mark
            for mark in self.document.marks:
                if class_id is None or mark.class_id == class_id:
                    mark = erased(mark, voxel, radius, self.grid, new_id)
                if mark is not None:
                    marks.append(mark)
                    new_id = max(new_id, mark.id + 1)
            self._next_mark = new_id
            return self._make("erasing of marks", marks=tuple(marks))

    def clear(self, class_id: int | None = None) -> str | None:
        """Take back all marks of a class, or of all classes."""
        with self.lock:
            kept = tuple(mark for mark in self.document.marks if class_id not in (None, mark.class_id))
            whose = "all classes" if class_id is None else self._called(class_id)
            return self._make(f"clearing of {whose}", marks=kept)

    def _mark(
        self, kind: str, class_id: int, positive: bool, new: list[AnyMark], without: set | None = None
    ) -> str | None:
        """Add marks, without those that an older mark equals in everything but its id."""
        against = "" if positive else "against "
        name = f"{kind} {against or 'on '}{self._called(class_id)}"
        old = [mark for mark in self.document.marks if mark.id not in (without or ())]
        known = {msgspec.structs.replace(mark, id=0) for mark in old}
        new = [mark for mark in new if msgspec.structs.replace(mark, id=0) not in known]
        if len(old) + len(new) > MOST_MARKS:
            raise PromptError(f"there are {MOST_MARKS} marks; erase some before adding others")
        self._next_mark += len(new)
        return self._make(name, marks=(*old, *new))
