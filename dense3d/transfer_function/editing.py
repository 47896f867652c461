"""Classes and marks, edited by steps that undo takes back; several threads may edit, one after another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from dense3d.errors import DataError
from dense3d.files import CONTROL
from dense3d.transfer_function.history import Document, History, Imported, StructureClass
from dense3d.transfer_function.marks import (
    AnyMark,
    Box,
    Grid,
    Lasso,
    Point,
    PromptError,
    Stroke,
    Voxel,
    dense_path,
    erased,
)
from dense3d.transfer_function.prompts import BACKGROUND
from dense3d.transfer_function.shown_function import ShownFunction, shown

if TYPE_CHECKING:
    from dense3d.transfer_function.functions.curves import TransferFunction

MOST_CLASSES = 254  # labels are bytes, 0 is the background
MOST_MARKS = 20_000
# Told apart with and without red-green blindness, light enough on a grey slice.
COLORS = (
    *((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (213, 94, 0), (204, 121, 167)),
    *((90, 120, 230), (160, 220, 130), (150, 100, 60), (120, 220, 220), (250, 150, 150), (170, 130, 220)),
)


class ClassError(DataError):
    """A class that is not there, or a property that it cannot have."""


@dataclass(frozen=True)
class Snapshot:
    """The document at a revision and the method, for a thread that computes from them."""

    revision: int
    document: Document
    method: str

    @property
    def class_ids(self) -> tuple[int, ...]:
        """In the order in which equal scores are resolved."""
        return tuple(one.id for one in self.document.classes)

    @property
    def ids(self) -> np.ndarray:
        """(1 + C,) uint8: the background and the classes."""
        return np.array([BACKGROUND, *self.class_ids], np.uint8)

    @property
    def thresholds(self) -> np.ndarray:
        """(C,) 0..1."""
        return np.array([one.threshold for one in self.document.classes])

    @property
    def needs_method(self) -> bool:
        """Whether there is anything that a classifier could find."""
        examples = any(mark.positive and mark.class_id for mark in self.document.marks)
        return bool(self.document.classes) and (examples or self.document.imported is not None)


class Editor:
    """Everything that a person changes.

    Args:
        grid: of the volume; marks lie in it.
    """

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.history = History()
        self.revision = 0
        self.method = ""
        self.lock = threading.RLock()
        self.listeners: list[Callable[[], None]] = []
        self.hidden: set[int] = set()
        self.view: dict[str, Any] = {}
        self.next_class = 1
        self._next_mark = 1

    @property
    def document(self) -> Document:
        """What is there now."""
        return self.history.document

    @property
    def classes(self) -> tuple[StructureClass, ...]:
        """The structures, in the order in which equal scores are resolved."""
        return self.document.classes

    @property
    def steps(self) -> list[str]:
        """Names of the steps that can be undone, oldest first."""
        return [name for name, _ in self.history.steps[: self.history.position]]

    def snapshot(self) -> Snapshot:
        """The document that belongs to the revision."""
        with self.lock:
            return Snapshot(self.revision, self.document, self.method)

    # ------------------------------------------------------------------ classes

    def add_class(
        self,
        name: str | None = None,
        color: Sequence[int] | None = None,
        opacity: float = 1.0,
        threshold: float = 0.5,
    ) -> int:
        """A new structure.

        Args:
            name: unlike those of the others; "structure N" unless given.
            color: red, green, blue, 0..255; the next of a palette unless given.
            opacity: in the pictures, 0..1.
            threshold: 0..1; a voxel belongs to the class where the score is above it.

        Returns:
            The id, which is its label in exports.

        Raises:
            ClassError: a property is not possible.
        """
        with self.lock:
            number = self.next_class
            if number > MOST_CLASSES:
                raise ClassError(f"there are at most {MOST_CLASSES} classes in a session; start a new one")
            one = StructureClass(
                id=number,
                name=self._name(f"structure {number}" if name is None else name),
                color=_color(COLORS[(number - 1) % len(COLORS)] if color is None else color),
                opacity=_fraction(opacity, "opacity"),
                threshold=_fraction(threshold, "threshold"),
            )
            self.next_class += 1
            self._make(f"new class {one.name}", classes=(*self.classes, one))
            return number

    def update_class(self, class_id: int, **changes: Any) -> str | None:
        """Change ``name``, ``color``, ``opacity`` or ``threshold``, or show or hide (``visible``, no step).

        Returns:
            The name of the step, None where there is nothing to undo.

        Raises:
            ClassError: there is no such class, or a property is not possible.
        """
        with self.lock:
            old = self.class_of(class_id)
            visible = changes.pop("visible", None)
            checks = {"name": None, "color": _color, "opacity": _fraction, "threshold": _fraction}
            for field, value in changes.items():
                if field not in checks:
                    raise ClassError(f"a class has no {field!r}; it has {', '.join(checks)} and visible")
                check = checks[field]
                if field == "name":
                    changes[field] = self._name(value, but=class_id)
                else:
                    changes[field] = check(value, field)
            if visible is not None and bool(visible) == (class_id in self.hidden):
                self.hidden ^= {class_id}
                self._changed()
            new = msgspec.structs.replace(old, **changes)
            fields = " and ".join(field for field in changes if getattr(new, field) != getattr(old, field))
            return self._make(
                f"{fields} of {old.name}",
                gesture=f"{class_id} {fields}",
                classes=tuple(new if one.id == class_id else one for one in self.classes),
            )

    def remove_class(self, class_id: int) -> str | None:
        """Take a class away with its marks; undo brings both back."""
        with self.lock:
            old = self.class_of(class_id)
            return self._make(
                f"removal of {old.name}",
                classes=tuple(one for one in self.classes if one.id != class_id),
                marks=tuple(mark for mark in self.document.marks if mark.class_id != class_id),
            )

    def class_of(self, class_id: int) -> StructureClass:
        """The class with an id.

        Raises:
            ClassError: there is none.
        """
        for one in self.classes:
            if one.id == class_id:
                return one
        known = ", ".join(f"{one.id} ({one.name})" for one in self.classes[:12]) or "none yet"
        raise ClassError(f"there is no class {str(class_id)[:20]}; classes: {known}")

    # ------------------------------------------------------------------ marks

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
            voxels = [voxel] if len(voxel) and not isinstance(voxel[0], (Sequence, np.ndarray)) else voxel
            self.grid.check(voxels)
            places = dict.fromkeys(tuple(int(index) for index in place) for place in voxels)
            old = [mark for mark in self.document.marks if isinstance(mark, Point) and mark.voxel in places]
            same = [mark for mark in old if (mark.class_id, mark.positive) == (class_id, positive)]
            new = [
                Point(
                    id=self._next_mark + number, class_id=int(class_id), positive=bool(positive), voxel=place
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
                class_id=int(class_id),
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
                class_id=int(class_id),
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
                class_id=int(class_id),
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

    # ------------------------------------------------------------------ the rest

    def undo(self) -> str | None:
        """Take the last step back; its name, or None where there is none."""
        return self._move(self.history.undo)

    def redo(self) -> str | None:
        """Make the step that was taken back again; its name, or None where there is none."""
        return self._move(self.history.redo)

    def set_transfer_function(self, function: ShownFunction | TransferFunction | None) -> str | None:
        """Show intensities in 3D by another transfer function; None: by the one that suits the volume."""
        if function is not None and not isinstance(function, ShownFunction):
            function = shown(function)
        with self.lock:
            return self._make("transfer function", gesture="transfer function", transfer_function=function)

    def set_view(self, view: dict[str, Any]) -> None:
        """Remember what a page shows, as it describes it; no step."""
        with self.lock:
            self.view = view
            self._changed(revise=False)

    def _move(self, move: Callable[[], str | None]) -> str | None:
        with self.lock:
            name = move()
            if name is not None:
                self._changed()
            return name

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

    def _called(self, class_id: int) -> str:
        return "background" if class_id == BACKGROUND else self.class_of(class_id).name

    def _name(self, name: Any, but: int | None = None) -> str:
        text = _text(name)
        if any(one.name == text and one.id != but for one in self.classes):
            raise ClassError(f"there is a class {text!r} already; choose another name")
        return text

    def _make(self, name: str, gesture: str | None = None, **changes: Any) -> str | None:
        made = self.history.make(name, gesture, **changes)
        if made is not None:
            self._changed()
        return made

    def _changed(self, revise: bool = True) -> None:
        self.revision += revise
        for listener in self.listeners:
            listener()

    def restore(self, history: History, hidden: set[int], view: dict[str, Any]) -> None:
        """Take over what a session file holds."""
        documents = [history.start, *(document for _, document in history.steps)]
        marks = [mark.id for document in documents for mark in document.marks]
        classes = [one.id for document in documents for one in document.classes]
        with self.lock:
            self.history, self.hidden, self.view = history, hidden, view
            self._next_mark, self.next_class = max(marks, default=0) + 1, max(classes, default=0) + 1
            self._changed()

    def add_import(self, imported: Imported, classes: tuple[StructureClass, ...]) -> str | None:
        """Go on from a segmentation.

        Args:
            imported: its labels are ids of ``classes``.
            classes: all classes from now on.
        """
        with self.lock:
            self.next_class = max([self.next_class, *(one.id + 1 for one in classes)])
            return self._make(f"import of {imported.name}", imported=imported, classes=classes)


def check_class(one: StructureClass) -> None:
    """Complain about properties that a class cannot have.

    Raises:
        ClassError: of the first of them.
    """
    _text(one.name)
    _color(one.color)
    _fraction(one.opacity, "opacity")
    _fraction(one.threshold, "threshold")
    if not 1 <= one.id <= MOST_CLASSES:
        raise ClassError(f"the id of a class is 1 to {MOST_CLASSES}, not {one.id}")


def _text(name: Any) -> str:
    text = name.strip() if isinstance(name, str) else ""
    if not 0 < len(text) <= 100 or CONTROL.search(text):
        raise ClassError("a class needs a name of 1 to 100 characters in one line")
    return text


def _fraction(value: Any, field: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ClassError(f"{field} is a number from 0 to 1, not {str(value)[:20]}")
    return float(value)


def _color(value: Any, field: str = "color") -> tuple[int, int, int]:
    numbers = tuple(value) if isinstance(value, (Sequence, np.ndarray)) else ()
    whole = all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) for n in numbers)
    if len(numbers) != 3 or not whole or not all(0 <= n <= 255 for n in numbers):
        raise ClassError(f"{field} is red, green, blue from 0 to 255, not {str(value)[:40]}")
    return tuple(int(n) for n in numbers)
