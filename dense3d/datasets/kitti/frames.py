"""Frames by their six-digit number: lists of them (``ImageSets``) and the files of a folder."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from dense3d.errors import DataError
from dense3d.files import atomic_write

_ID = re.compile(r"[0-9]{6}")


def frame_id(number: int) -> str:
    """Six digits.

    Example:
        >>> frame_id(7)
        '000007'
    """
    if not 0 <= number <= 999_999:
        raise ValueError(f"a frame's number lies in 0..999999, not {number}")
    return f"{number:06d}"


def read_image_set(path: str | Path) -> list[str]:
    """Frames of a split file such as ``ImageSets/val.txt``, one six-digit number a line.

    Raises:
        DataError: the file is missing, a line is no frame, or a frame is listed twice.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise DataError(f"{path}: the list of frames does not exist; splits lie in ImageSets/") from None
    except (UnicodeDecodeError, OSError) as error:
        raise DataError(f"{path} cannot be read as text ({error}); restore the file") from None
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        frame = line.strip()
        if not frame:
            continue
        if not _ID.fullmatch(frame):
            raise DataError(
                f"{path}, line {number}: {frame!r} is no frame; each line has one six-digit number"
            )
        if frame in seen:
            raise DataError(
                f"{path}, line {number}: frame {frame} is listed twice, first in line {seen[frame]}"
            )
        seen[frame] = number
    if not seen:
        raise DataError(f"{path} lists no frame")
    return list(seen)


def write_image_set(path: str | Path, frames: Iterable[str]) -> None:
    """Write a split file, whole or not at all.

    Raises:
        DataError: a frame is no six-digit number or comes twice.
    """
    frames = list(frames)
    for index, frame in enumerate(frames):
        if not _ID.fullmatch(frame):
            raise DataError(f"{path}: {frame!r} is no frame; frames are six-digit numbers")
        if frame in frames[:index]:
            raise DataError(f"{path}: frame {frame} is listed twice")
    with atomic_write(path, "w") as file:
        file.writelines(f"{frame}\n" for frame in frames)


def list_frames(folder: str | Path, suffix: str = ".txt") -> list[str]:
    """Frames that have a file in ``folder``, sorted.

    Raises:
        DataError: the folder does not exist, or holds a file of this kind that is named otherwise.
    """
    folder = Path(folder)
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise DataError(f"{folder} {what}; a folder with one NNNNNN{suffix} a frame is needed")
    names = sorted(path.name.removesuffix(suffix) for path in folder.glob(f"*{suffix}"))
    for name in names:
        if not _ID.fullmatch(name):
            raise DataError(
                f"{folder / (name + suffix)}: files are named by six-digit frames, as 000042{suffix}"
            )
    return names
