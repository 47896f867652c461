"""The messages of a page: their fields and bounds, and what each does to the workspace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec

from dense3d.errors import DataError
from dense3d.transfer_function.server.protocol import MAX_MESSAGE
from dense3d.transfer_function.shown_function import ShownFunction
from dense3d.transfer_function.workspace import Workspace

MOST_VIEW = 16_000  # bytes of what a page remembers of its view
DEEPEST = 8  # of objects within objects in what a page remembers

Index = Annotated[int, msgspec.Meta(ge=-(2**31), lt=2**31)]
Voxel = tuple[Index, Index, Index]
Number = Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)]
Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]
Color = tuple[Index, Index, Index]
Name = Annotated[str, msgspec.Meta(max_length=200)]


class MessageError(DataError):
    """A message that is no message of the protocol."""


class Message(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, tag_field="type"):
    """What all have: the number by which the page knows the answer, and perhaps the slices that it shows."""

    request: Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
    planes: Voxel | None = None

    def apply(self, workspace: Workspace) -> dict[str, Any]:
        """Do it; the fields of the answer, ``step`` among them."""
        return {"step": None}


class PromptMessage(Message, tag="prompt"):
    """A mark."""

    class_id: Index = msgspec.field(name="class")
    kind: Literal["point", "stroke", "lasso", "box"]
    positive: bool = True
    voxels: list[Voxel] = []
    radius: Number = 0.0
    axis: Index = 0
    index: Index = 0
    polygon: list[tuple[Number, Number]] = []
    low: Voxel | None = None
    high: Voxel | None = None

    def apply(self, workspace: Workspace) -> dict[str, Any]:
        if self.kind == "point":
            step = workspace.click(self.class_id, self.voxels, self.positive)
        elif self.kind == "stroke":
            step = workspace.stroke(self.class_id, self.voxels, self.radius, self.positive)
        elif self.kind == "lasso":
            step = workspace.lasso(self.class_id, self.axis, self.index, self.polygon, self.positive)
        elif self.low is None or self.high is None:
            raise MessageError("a box has two corners, low and high")
        else:
            step = workspace.box(self.class_id, self.low, self.high, self.positive)
        return {"step": step}


class EraseMessage(Message, tag="erase"):
    """An eraser."""

    voxel: Voxel
    radius: Number
    class_id: Index | None = msgspec.field(name="class", default=None)

    def apply(self, workspace: Workspace) -> dict[str, Any]:
        return {"step": workspace.erase(self.voxel, self.radius, self.class_id)}


class UndoMessage(Message, tag="undo"):
    """Take a step back."""

    def apply(self, workspace: Workspace) -> dict[str, Any]:
        return {"step": workspace.undo()}


class RedoMessage(Message, tag="redo"):
    """Make it again."""

    def apply(self, workspace: Workspace) -> dict[str, Any]:
        return {"step": workspace.redo()}


class ClassAddMessage(Message, tag="class.add"):
    """A new class."""

    name: Name | None = None
    color: Color | None = None
    opacity: Fraction = 1.0
    threshold: Fraction = 0.5

    def apply(self, workspace: Workspace) -> dict[str, Any]:
        new = workspace.add_class(self.name, self.color, self.opacity, self.threshold)
        return {"step": workspace.history.undo_name, "class": new}


class ClassUpdateMessage(Message, tag="class.update"):
    """Properties of a class."""

    class_id: Index = msgspec.field(name="class")
    name: Name | msgspec.UnsetType = msgspec.UNSET
    color: Color | msgspec.UnsetType = msgspec.UNSET
    opacity: Fraction | msgspec.UnsetType = msgspec.UNSET
    threshold: Fraction | msgspec.UnsetType = msgspec.UNSET
    visible: bool | msgspec.UnsetType = msgspec.UNSET

    def apply(self, workspace: Workspace) -> dict[str, Any]:
        fields = ("name", "color", "opacity", "threshold", "visible")
        changes = {field: getattr(self, field) for field in fields}
        given = {field: value for field, value in changes.items() if value is not msgspec.UNSET}
        return {"step": workspace.update_class(self.class_id, **given)}


class ClassRemoveMessage(Message, tag="class.remove"):
    """A class goes."""

    class_id: Index = msgspec.field(name="class")

    def apply(self, workspace: Workspace) -> dict[str, Any]:
        return {"step": workspace.remove_class(self.class_id)}


class ClearMessage(Message, tag="clear"):
    """Marks go."""

    class_id: Index | None = msgspec.field(name="class", default=None)

    def apply(self, workspace: Workspace) -> dict[str, Any]:
        return {"step": workspace.clear(self.class_id)}


class PlanesMessage(Message, tag="planes"):
    """The slices that a page shows."""


class ViewMessage(Message, tag="view"):
    """What a page wants to find again."""

    view: dict[str, Any]

    def apply(self, workspace: Workspace) -> dict[str, Any]:
        check_object(self.view)
        workspace.set_view(self.view)
        return {"step": None}


class MethodMessage(Message, tag="method"):
    """Another method."""

    method: Name

    def apply(self, workspace: Workspace) -> dict[str, Any]:
        workspace.set_method(self.method)
        return {"step": None}


class PrepareMessage(Message, tag="prepare"):
    """Prepare the method."""


class CancelMessage(Message, tag="cancel"):
    """End the preparation."""


class TransferFunctionMessage(Message, tag="transfer_function"):
    """The transfer function of intensities."""

    transfer_function: ShownFunction | None

    def apply(self, workspace: Workspace) -> dict[str, Any]:
        return {"step": workspace.set_transfer_function(self.transfer_function)}


MESSAGES: tuple[type[Message], ...] = (
    *(PromptMessage, EraseMessage, UndoMessage, RedoMessage, ClassAddMessage, ClassUpdateMessage),
    *(ClassRemoveMessage, ClearMessage, PlanesMessage, ViewMessage, MethodMessage, PrepareMessage),
    *(CancelMessage, TransferFunctionMessage),
)


def _decoder() -> Callable[[str | bytes], Message]:
    union = MESSAGES[0]
    for message in MESSAGES[1:]:
        union = union | message
    return msgspec.json.Decoder(union).decode


_decode = _decoder()


class _Request(msgspec.Struct):
    request: Annotated[int, msgspec.Meta(ge=0, lt=2**53)]


def read_message(text: str | bytes) -> Message:
    """A message of a page.

    Raises:
        MessageError: it is none; the sentence names the field.
    """
    if len(text) > MAX_MESSAGE:
        raise MessageError(f"a message has at most {MAX_MESSAGE} bytes")
    try:
        return _decode(text)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise MessageError(f"this is no message of the tool: {str(error)[:200]}") from error


def request_of(text: str | bytes) -> int | None:
    """The request number of what may be no message, for the answer to it."""
    try:
        return msgspec.json.decode(text, type=_Request).request
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return None


def check_object(value: dict[str, Any], most: int = MOST_VIEW) -> None:
    """Complain about an object that is too large or too deep, or holds numbers that JSON cannot keep.

    Raises:
        MessageError: it does.
    """
    try:
        size = len(msgspec.json.encode(value))
    except (msgspec.MsgspecError, RecursionError, OverflowError, ValueError) as error:
        raise MessageError(f"this object cannot be kept: {str(error)[:200]}") from error
    if size > most:
        raise MessageError(f"this object has {size} bytes; at most {most} are kept")
    level: list[Any] = [value]
    for _ in range(DEEPEST):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, (dict, list))
        ]
    if level:
        raise MessageError(f"this object is more than {DEEPEST} levels deep")
