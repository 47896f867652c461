"""Files of transfer functions and of class colours: own JSON, 3D Slicer, ParaView, ITK-SNAP."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dense3d.errors import DataError
from dense3d.files import atomic_write
from dense3d.transfer_function.functions import label_colors, paraview, slicer
from dense3d.transfer_function.functions.curves import TransferFunction
from dense3d.transfer_function.functions.documents import from_document, to_document
from dense3d.transfer_function.functions.label_colors import LabelColor
from dense3d.transfer_function.functions.regions import Regions

MOST_BYTES = 4 << 20

# suffix -> text of a transfer function; the longest suffix that fits a name counts
WRITERS: dict[str, Callable[[TransferFunction], str]] = {
    ".vp.json": lambda function: _json(slicer.to_vp_document(function)),
    ".vp": slicer.write_vp,
    ".paraview.json": lambda function: _json(paraview.to_paraview_document(function)),
    ".json": lambda function: _json(to_document(function)),
}
LABEL_FORMATS: dict[str, tuple[Callable, Callable]] = {
    ".label": (label_colors.write_itk_snap, label_colors.read_itk_snap),
    ".txt": (label_colors.write_itk_snap, label_colors.read_itk_snap),
    ".ctbl": (label_colors.write_ctbl, label_colors.read_ctbl),
}


def transfer_function_text(function: TransferFunction | Regions, name: str) -> str:
    """What a file of that name holds: ``.json`` (own), ``.vp.json``, ``.vp``, ``.paraview.json``.

    Raises:
        DataError: no format has the name's suffix, or it has no 2D transfer functions.
    """
    suffix = _suffix(name, WRITERS)
    if isinstance(function, Regions) and suffix != ".json":
        raise DataError(f"{suffix} files hold 1D transfer functions: write the 2D one as .json")
    return WRITERS[suffix](function)


def parse_transfer_function(text: str | bytes, name: str) -> TransferFunction | Regions:
    """The transfer function of a file's content; JSON is told apart by what is in it.

    Args:
        text: the content, at most 4 MiB.
        name: of the file, for the format and for messages.

    Raises:
        DataError: it is no transfer function; one sentence with the name says why.
    """
    try:
        text = _decoded(text)
        if _suffix(name, WRITERS) == ".vp":
            return slicer.read_vp(text)
        document = _parsed(text)
        if isinstance(document, dict) and "volumeProperties" in document:
            return slicer.from_vp_document(document)
        if isinstance(document, list) or (isinstance(document, dict) and "RGBPoints" in document):
            return paraview.from_paraview_document(document)
        return from_document(document)
    except DataError as error:
        raise DataError(f"{name}: {error}") from error


def write_transfer_function(function: TransferFunction | Regions, path: str | os.PathLike) -> None:
    """Write a file, atomically, in the format of its suffix: see :func:`transfer_function_text`."""
    text = transfer_function_text(function, Path(path).name)
    with atomic_write(path, "w") as file:
        file.write(text)


def read_transfer_function(path: str | os.PathLike) -> TransferFunction | Regions:
    """Read a file: see :func:`parse_transfer_function`."""
    return parse_transfer_function(_content(path), str(path))


def label_colors_text(labels: Sequence[LabelColor], name: str) -> str:
    """What a file of that name holds: ``.label`` or ``.txt`` (ITK-SNAP), ``.ctbl`` (3D Slicer)."""
    return LABEL_FORMATS[_suffix(name, LABEL_FORMATS)][0](labels)


def parse_label_colors(text: str | bytes, name: str) -> list[LabelColor]:
    """Names and colours of classes out of a file's content.

    Raises:
        DataError: one sentence with the name and the line.
    """
    try:
        return LABEL_FORMATS[_suffix(name, LABEL_FORMATS)][1](_decoded(text))
    except DataError as error:
        raise DataError(f"{name}: {error}") from error


def write_label_colors(labels: Sequence[LabelColor], path: str | os.PathLike) -> None:
    """Write a file, atomically, in the format of its suffix."""
    text = label_colors_text(labels, Path(path).name)
    with atomic_write(path, "w") as file:
        file.write(text)


def read_label_colors(path: str | os.PathLike) -> list[LabelColor]:
    """Read a file: see :func:`parse_label_colors`."""
    return parse_label_colors(_content(path), str(path))


def _suffix(name: str, known: dict) -> str:
    fitting = [suffix for suffix in known if str(name).lower().endswith(suffix)]
    if not fitting:
        raise DataError(f"{name}: the name must end in {', '.join(known)}")
    return max(fitting, key=len)


def _content(path: str | os.PathLike) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(MOST_BYTES + 1)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def _decoded(text: str | bytes) -> str:
    if len(text) > MOST_BYTES:
        raise DataError(f"the file is larger than {MOST_BYTES >> 20} MiB, which no such file is")
    if isinstance(text, str):
        return text
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError("the file is no text") from error


def _json(document: Any) -> str:
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"the file is no JSON: {error}") from error
