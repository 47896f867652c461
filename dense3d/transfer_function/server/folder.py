"""The volumes of a folder, told cheaply: by names, and by first bytes where a name says nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from dense3d.datasets.volumes.formats import DICOM, FORMATS, RAW, TIFF, ZARR, VolumeFormat

MOST_ENTRIES = 5000  # of a folder that are looked at
MOST_VOLUMES = 500  # that are listed
MOST_PROBED = 32  # entries of a folder within it
MOST_SLICES = 20  # DICOM files side by side that are listed one by one


@dataclass(frozen=True)
class Entry:
    """A volume, or what looks like one.

    Args:
        name: of the file or folder, within the opened folder.
        format: for a person.
        folder: whether it is a folder.
        bytes: of a file.
        raw: whether its layout may have to be stated.
    """

    name: str
    format: str
    folder: bool = False
    bytes: int | None = None
    raw: bool = False


def volumes_in(folder: Path) -> tuple[list[Entry], bool]:
    """The volumes of a folder by name, and whether there are more than are listed.

    Links that lead out of the folder are left out; nothing is read of files but the first bytes of a few.
    """
    with os.scandir(folder) as entries:
        seen = list(islice(entries, MOST_ENTRIES + 1))
    root, found = folder.resolve(), []
    for entry in sorted(seen[:MOST_ENTRIES], key=lambda one: one.name.lower()):
        if entry.name.startswith(".") or not _is_text(entry.name):
            continue
        if entry.is_symlink() and not Path(entry.path).resolve().is_relative_to(root):
            continue
        one = _entry(entry)
        if one is not None:
            found.append(one)
    found = _without_parts(found)
    return found[:MOST_VOLUMES], len(found) > MOST_VOLUMES or len(seen) > MOST_ENTRIES


def folder_format(folder: str | os.PathLike) -> VolumeFormat | None:
    """What a folder is as one volume, by its name or a few of its files: OME-Zarr, TIFF, DICOM or nothing."""
    try:
        with os.scandir(folder) as entries:
            seen = sorted(islice(entries, MOST_PROBED), key=lambda one: one.name)
    except OSError:
        return None
    names = {entry.name.lower() for entry in seen}
    if names & {"zarr.json", ".zgroup", ".zattrs"} or os.fspath(folder).lower().rstrip("/").endswith(".zarr"):
        return ZARR
    for kind in (TIFF, DICOM):
        if any(name.endswith(kind.suffixes) for name in names):
            return kind
    nameless = [entry for entry in seen if "." not in entry.name or entry.name[0].isdigit()]
    return DICOM if any(_is_dicom(entry) for entry in nameless[:4]) else None


def named_format(name: str) -> VolumeFormat | None:
    """The format that a file's name tells."""
    fitting = [(len(end), n) for n, one in enumerate(FORMATS) for end in one.suffixes if name.endswith(end)]
    return FORMATS[max(fitting)[1]] if fitting else None


def needs_choice(folder: str | os.PathLike) -> bool:
    """Whether a folder is no volume itself, but holds some to choose from."""
    if not Path(folder).is_dir() or folder_format(folder) is not None:
        return False
    found, _ = volumes_in(Path(folder))
    # a study with one series is that series, as it always was
    return bool(found) and [entry.format for entry in found] != [DICOM.name]


def _entry(entry: os.DirEntry) -> Entry | None:
    try:
        if entry.is_dir():
            kind = folder_format(entry.path)
            return kind and Entry(entry.name, kind.name, folder=True)
        if not entry.is_file():
            return None
        kind = named_format(entry.name.lower())
        return kind and Entry(entry.name, kind.name, bytes=entry.stat().st_size, raw=kind is RAW)
    except OSError:
        return None


def _is_dicom(entry: os.DirEntry) -> bool:
    try:
        if not entry.is_file():
            return False
        with Path(entry.path).open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _without_parts(found: list[Entry]) -> list[Entry]:
    """Without samples whose header is a file of its own, and with one for many slices of DICOM."""
    names = {entry.name.lower() for entry in found}
    headers = {".img": (".hdr",), ".img.gz": (".hdr", ".hdr.gz"), ".raw": (".mhd", ".nhdr")}
    headers[".raw.gz"] = headers[".raw"]

    def is_part(name: str) -> bool:
        return any(
            name.endswith(end) and any(name.removesuffix(end) + header in names for header in ends)
            for end, ends in headers.items()
        )

    slices = [entry for entry in found if entry.format == DICOM.name and not entry.folder]
    left_out = set(slices[1:]) if len(slices) > MOST_SLICES else set()
    return [entry for entry in found if entry not in left_out and not is_part(entry.name.lower())]


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # a name in no known encoding; JSON cannot tell it
        return False
    return True
