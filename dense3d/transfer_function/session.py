"""Sessions: classes, marks, imported segmentations and the whole history as one JSON file.

The file names its format and version, holds numbers and text only, and tells which volume it was made for by
a digest of the volume's content. Reading checks everything as if a stranger had written it.
"""

from __future__ import annotations

import base64
import hashlib
import os
import weakref
import zlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from dense3d.errors import DataError
from dense3d.structures.volume import Volume
from dense3d.transfer_function.editing import MOST_MARKS, Editor
from dense3d.transfer_function.history import MOST_STEPS, Document, History, Imported
from dense3d.transfer_function.marks import AnyMark, Grid
from dense3d.transfer_function.shown_function import ShownFunction
from dense3d.transfer_function.structure_classes import StructureClass, check_class

FORMAT = "dense3d transfer-function session"
VERSION = 1
MOST_BYTES = 2**28  # of a session file
MOST_NOTES, LONGEST_NOTE = 8, 500  # of an import
HASHED_BYTES = 2**26  # of a volume; a larger one is hashed in evenly spaced slices


class SessionError(DataError):
    """A session file that is damaged, of another version, or made for another volume."""


class VolumeIdentity(msgspec.Struct, frozen=True):
    """Which volume a session belongs to: name for a person, the rest to compare."""

    name: str
    shape: tuple[int, int, int]
    digest: str


class SavedImport(msgspec.Struct, frozen=True):
    """An imported segmentation: labels on the canonical grid, compressed."""

    name: str
    labels: str
    notes: tuple[str, ...] = ()


class SavedDocument(msgspec.Struct, frozen=True):
    """A document, by places in the lists of the session, and the name of the step that led to it."""

    name: str
    classes: list[int]
    marks: list[int]
    imported: int | None = None
    transfer_function: int | None = None


class Session(msgspec.Struct, kw_only=True):
    """What stands in the file."""

    format: str
    version: int
    volume: VolumeIdentity
    method: str
    classes: list[StructureClass]
    marks: list[AnyMark]
    imports: list[SavedImport]
    transfer_functions: list[ShownFunction]
    documents: list[SavedDocument]
    position: int
    hidden: list[int]
    view: dict[str, Any]


def identity(volume: Volume) -> VolumeIdentity:
    """What tells a volume from others: its canonical samples and where they lie, whatever the file format."""
    values = volume.values
    digest = hashlib.blake2b(digest_size=16)
    digest.update(repr((values.shape, values.dtype.str, np.round(volume.affine, 3).tolist())).encode())
    step = max(1, values.nbytes // HASHED_BYTES)
    for index in range(0, values.shape[2], step):
        digest.update(np.ascontiguousarray(values[:, :, index]).data)
    return VolumeIdentity(volume.name, tuple(int(n) for n in values.shape), digest.hexdigest())


def encode(editor: Editor, volume: VolumeIdentity, method: str) -> bytes:
    """The text of a session file.

    Args:
        editor: classes, marks and history.
        volume: :func:`identity` of its volume.
        method: by which it classifies.
    """
    with editor.lock:
        history = editor.history
        documents = [("", history.start), *history.steps]
        hidden, view, position = sorted(editor.hidden), editor.view, history.position
    tables = {"classes": _Table(), "marks": _Table(), "imports": _Table(), "transfer_functions": _Table()}
    saved = [
        SavedDocument(
            name,
            [tables["classes"].place(one) for one in document.classes],
            [tables["marks"].place(mark) for mark in document.marks],
            tables["imports"].place(document.imported),
            tables["transfer_functions"].place(document.transfer_function),
        )
        for name, document in documents
    ]
    session = Session(
        format=FORMAT,
        version=VERSION,
        volume=volume,
        method=method,
        classes=tables["classes"].items,
        marks=tables["marks"].items,
        imports=[SavedImport(one.name, packed(one), one.notes) for one in tables["imports"].items],
        transfer_functions=tables["transfer_functions"].items,
        documents=saved,
        position=position,
        hidden=hidden,
        view=view,
    )
    return msgspec.json.encode(session)


def read(path: str | os.PathLike) -> bytes:
    """The text of a session file.

    Raises:
        SessionError: there is none, or it is larger than any session.
    """
    path = Path(path)
    if not path.is_file():
        raise SessionError(f"{path}: there is no such session file; check the path")
    if path.stat().st_size > MOST_BYTES:
        raise SessionError(
            f"{path} has {path.stat().st_size} bytes, more than any session; name another file"
        )
    return path.read_bytes()


def decode(text: bytes, name: str) -> Session:
    """Read the text of a session file.

    Args:
        text: of the file.
        name: of the file, for messages.

    Raises:
        SessionError: it is no session, damaged, or of a newer version.
    """
    try:
        head = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise SessionError(f"{name} is no JSON ({_short(error)}); name a session file") from error
    if head.get("format") != FORMAT:
        raise SessionError(f"{name} is no session of the transfer-function tool; name a session file")
    if head.get("version") != VERSION:
        raise SessionError(
            f"{name} is a session of version {str(head.get('version'))[:20]}, this dense3d reads version "
            f"{VERSION}; update dense3d"
        )
    try:
        return msgspec.json.decode(text, type=Session)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise SessionError(f"{name} is damaged: {_short(error)}; restore it from a copy") from error


def restored(session: Session, grid: Grid, volume: VolumeIdentity, name: str) -> History:
    """The history of a session, checked.

    Args:
        session: from :func:`decode`.
        grid: of the volume.
        volume: :func:`identity` of it.
        name: of the session file, for messages.

    Raises:
        SessionError: the session belongs to another volume, or contradicts itself.
    """
    made_for = session.volume
    if (made_for.shape, made_for.digest) != (volume.shape, volume.digest):
        raise SessionError(
            f"{name} was made for another volume: {made_for.name[:80]} ({_size(made_for.shape)}), not "
            f"{volume.name[:80]} ({_size(volume.shape)}) with this content; open that one, or name another "
            "session"
        )
    try:
        return _history(session, grid)
    except (DataError, ValueError, IndexError, zlib.error) as error:
        raise SessionError(f"{name} is damaged: {_short(error)}; restore it from a copy") from error


def packed(imported: Imported) -> str:
    """Labels as text; kept, since a session is saved often and imports do not change."""
    if imported not in _PACKED:
        compressed = zlib.compress(np.ascontiguousarray(imported.labels).data, 1)
        _PACKED[imported] = base64.b64encode(compressed).decode()
    return _PACKED[imported]


_PACKED: weakref.WeakKeyDictionary[Imported, str] = weakref.WeakKeyDictionary()


class _Table:
    """Items without repetition, and where each stands."""

    def __init__(self) -> None:
        self.items: list = []
        self._places: dict[int, int] = {}

    def place(self, item: Any) -> int | None:
        if item is None:
            return None
        if id(item) not in self._places:
            self._places[id(item)] = len(self.items)
            self.items.append(item)
        return self._places[id(item)]


def _history(session: Session, grid: Grid) -> History:
    for mark in session.marks:
        mark.check(grid)
    for one in session.classes:
        check_class(one)
    imports = [_unpacked(one, grid) for one in session.imports]
    if not 1 <= len(session.documents) <= MOST_STEPS + 1:
        raise ValueError(f"it has {len(session.documents)} documents")
    if not 0 <= session.position < len(session.documents):
        raise ValueError(f"position {session.position} is none of {len(session.documents)} documents")
    documents = []
    for saved in session.documents:
        document = Document(
            tuple(_item(session.classes, place) for place in saved.classes),
            tuple(_item(session.marks, place) for place in saved.marks),
            None if saved.imported is None else _item(imports, saved.imported),
            None
            if saved.transfer_function is None
            else _item(session.transfer_functions, saved.transfer_function),
        )
        ids, names = {one.id for one in document.classes}, {one.name for one in document.classes}
        if len(ids) != len(document.classes) or len(names) != len(ids):
            raise ValueError("two classes have one name or id")
        if len(document.marks) > MOST_MARKS or {mark.class_id for mark in document.marks} - {0, *ids}:
            raise ValueError("a mark belongs to no class")
        documents.append((saved.name[:200], document))
    return History(documents[0][1], documents[1:], session.position)


def _item(items: list, place: int) -> Any:
    if not 0 <= place < len(items):
        raise ValueError(f"there is no item {place}")
    return items[place]


def _unpacked(saved: SavedImport, grid: Grid) -> Imported:
    size = int(np.prod(grid.shape))
    data = zlib.decompressobj().decompress(base64.b64decode(saved.labels, validate=True), size + 1)
    if len(data) != size:
        raise ValueError(f"the labels of {saved.name[:80]} do not fill the volume")
    notes = tuple(note[:LONGEST_NOTE] for note in saved.notes[:MOST_NOTES])
    return Imported(np.frombuffer(data, np.uint8).reshape(grid.shape), saved.name[:200], notes)


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in shape)


def _short(error: Exception) -> str:
    return str(error).split("\n")[0][:200].rstrip(".")
