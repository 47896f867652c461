"""Frames by their six-digit number: lists of them (``ImageSets``) and the files of a folder.

Data of other cameras may name its frames as it likes, as long as the names are names of files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from dense3d.errors import DataError
from dense3d.files import atomic_write, is_file, is_folder

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


def name_fault(frame: str, any_names: bool = False) -> str | None:
    """What is wrong with a frame's name, None if nothing is.

    Args:
        frame: the name.
        any_names: whether it need not be a six-digit number.

    Example:
        >>> name_fault("000042"), name_fault("cam0_17", any_names=True)
        (None, None)
        >>> name_fault("../17", any_names=True)
        'a name has no / and no \\\\, and does not begin with a dot'
    """
    if not any_names:
        return None if _ID.fullmatch(frame) else "each line has one six-digit number"
    if frame.startswith(".") or any(character in frame for character in "/\\") or not frame.isprintable():
        return "a name has no / and no \\, and does not begin with a dot"
    return "a name has 200 characters at most" if len(frame.encode()) > 200 else None


def read_image_set(path: str | Path, any_names: bool = False) -> list[str]:
    """Frames of a split file such as ``ImageSets/val.txt``, one six-digit number a line.

    Args:
        path: the file.
        any_names: whether frames may be named otherwise.

    Raises:
        DataError: the file is missing, a line is no frame, or a frame is listed twice.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise DataError(f"{path}: the list of frames does not exist; splits lie in ImageSets/") from None
    except (UnicodeDecodeError, OSError) as error:
        raise DataError(f"{path} cannot be read as text ({error}); restore the file") from None
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        frame = line.strip()
        if not frame:
            continue
        fault = name_fault(frame, any_names)
        if fault:
            hint = "" if any_names else " (any_frame_names=True in the data set takes other names)"
            raise DataError(f"{path}, line {number}: {_shown(frame)} is no frame; {fault}{hint}")
        if frame in seen:
            raise DataError(
                f"{path}, line {number}: frame {frame} is listed twice, first in line {seen[frame]}"
            )
        seen[frame] = number
    if not seen:
        raise DataError(f"{path} lists no frame")
    return list(seen)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


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


def list_frames(folder: str | Path, suffix: str = ".txt", any_names: bool = False) -> list[str]:
    """Frames that have a file in ``folder``, sorted.

    Args:
        folder: where the files lie.
        suffix: of the files.
        any_names: whether frames may be named otherwise than by six digits.

    Raises:
        DataError: the folder does not exist, or holds a file of this kind that is named otherwise.
    """
    folder = Path(folder)
    if not is_folder(folder):
        what = "is a file" if is_file(folder) else "does not exist"
        raise DataError(f"{folder} {what}; a folder with one NNNNNN{suffix} a frame is needed")
    names = sorted(path.name.removesuffix(suffix) for path in folder.glob(f"*{suffix}"))
    for name in names:
        if not (any_names or _ID.fullmatch(name)):
            raise DataError(
                f"{folder / (name + suffix)}: files are named by six-digit frames, as 000042{suffix}"
            )
    return names
