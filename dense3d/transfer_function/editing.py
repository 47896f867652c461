"""Classes and marks, edited by steps that undo takes back; several threads may edit, one after another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from dense3d.transfer_function.history import Document, History, Imported
from dense3d.transfer_function.marks import Grid
from dense3d.transfer_function.prompts import BACKGROUND
from dense3d.transfer_function.shown_function import ShownFunction, shown
from dense3d.transfer_function.structure_classes import (
    COLORS,
    MOST_CLASSES,
    ClassError,
    StructureClass,
    checked_color,
    checked_fraction,
    checked_name,
)

if TYPE_CHECKING:
    from dense3d.transfer_function.functions.curves import TransferFunction
    from dense3d.transfer_function.functions.regions import Regions

MOST_MARKS = 20_000


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
                color=checked_color(COLORS[(number - 1) % len(COLORS)] if color is None else color),
                opacity=checked_fraction(opacity, "opacity"),
                threshold=checked_fraction(threshold, "threshold"),
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
            checks = {
                "name": None,
                "color": checked_color,
                "opacity": checked_fraction,
                "threshold": checked_fraction,
            }
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

    # ------------------------------------------------------------------ the rest

    def undo(self) -> str | None:
        """Take the last step back; its name, or None where there is none."""
        return self._move(self.history.undo)

    def redo(self) -> str | None:
        """Make the step that was taken back again; its name, or None where there is none."""
        return self._move(self.history.redo)

    def set_transfer_function(
        self, function: ShownFunction | TransferFunction | Regions | None
    ) -> str | None:
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

    def _called(self, class_id: int) -> str:
        return "background" if class_id == BACKGROUND else self.class_of(class_id).name

    def _checked_id(self, class_id: int) -> int:
        """As a plain number; complains about what is no class."""
        self._called(class_id)
        return int(class_id)

    def _name(self, name: Any, but: int | None = None) -> str:
        text = checked_name(name)
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

    def replace_by(self, document: Document, name: str) -> str | None:
        """Go on from another document of this volume, with ids that no other class or mark has had."""
        with self.lock:
            classes = {one.id: n for n, one in enumerate(document.classes, self.next_class)}
            if self.next_class + len(classes) - 1 > MOST_CLASSES:
                raise ClassError(f"there are at most {MOST_CLASSES} classes in a session; start a new one")
            table = np.zeros(256, np.uint8)
            table[list(classes)] = list(classes.values())
            replaced = msgspec.structs.replace
            marks = [
                replaced(mark, id=n, class_id=classes.get(mark.class_id, BACKGROUND))
                for n, mark in enumerate(document.marks, self._next_mark)
            ]
            imported = document.imported
            self.next_class += len(classes)
            self._next_mark += len(marks)
            return self._make(
                name,
                classes=tuple(replaced(one, id=classes[one.id]) for one in document.classes),
                marks=tuple(marks),
                imported=imported and replace(imported, labels=table[imported.labels]),
                transfer_function=document.transfer_function,
            )

    def add_import(self, imported: Imported, classes: tuple[StructureClass, ...]) -> str | None:
        """Go on from a segmentation.

        Args:
            imported: its labels are ids of ``classes``.
            classes: all classes from now on.
        """
        with self.lock:
            self.next_class = max([self.next_class, *(one.id + 1 for one in classes)])
            return self._make(f"import of {imported.name}", imported=imported, classes=classes)
