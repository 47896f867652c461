"""Result folders as the evaluation and the test server want them: one file a frame, empty ones included."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from dense3d.datasets.kitti.frames import read_image_set
from dense3d.datasets.kitti.objects import KittiObjects, first_fault, format_objects
from dense3d.errors import DataError
from dense3d.files import inside

TEST_FRAMES = 7518


def write_results(
    folder: str | Path,
    results: Mapping[str, KittiObjects],
    frames: Iterable[str] | None = None,
    extra_classes: Iterable[str] = (),
) -> None:
    """Write ``folder/NNNNNN.txt`` for every frame; the folder appears whole or not at all.

    For the test server see :func:`write_submission`.

    Args:
        folder: must not exist, or be empty.
        results: detections of each frame, with scores.
        frames: the frames that must be covered; those of ``results`` if not given.
        extra_classes: types beside KITTI's own that are known.

    Raises:
        DataError: the folder holds files, a frame has no result or is not asked for, detections lack scores,
            or one of them is faulty.
    """
    folder = Path(folder)
    require_new(folder)
    frames = list(results) if frames is None else list(frames)
    _check_frames(folder, results, frames)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    temporary.mkdir()
    try:
        for frame in frames:
            file = inside(temporary, f"{frame}.txt", folder)
            file.write_text(_text(folder, frame, results[frame], extra_classes), encoding="utf-8")
        if folder.exists():
            folder.rmdir()
        temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def require_new(folder: str | Path) -> None:
    """Complain about a folder that holds files.

    Raises:
        DataError: it does, or it is a file.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(
            f"{folder} is not empty; results are written to a new folder, so that no frame is stale"
        )


def write_submission(folder: str | Path, results: Mapping[str, KittiObjects], image_set: str | Path) -> None:
    """Write ``folder/data`` for the test server.

    Args:
        folder: zip its content to submit.
        results: detections of each frame of the test set.
        image_set: ``ImageSets/test.txt``.

    Raises:
        DataError: as :func:`write_results`, or the list has not the 7518 test frames.
    """
    frames = read_image_set(image_set)
    if len(frames) != TEST_FRAMES:
        raise DataError(
            f"{image_set} lists {len(frames)} frames; the server wants all {TEST_FRAMES} test frames"
        )
    write_results(Path(folder) / "data", results, frames)


def _check_frames(folder: Path, results: Mapping[str, KittiObjects], frames: list[str]) -> None:
    missing = [frame for frame in frames if frame not in results]
    unasked = sorted(set(results) - set(frames))
    if missing:
        raise DataError(
            f"{folder} was not written: {len(missing)} frames have no result, the first is {missing[0]}; "
            "a frame without detections needs an empty result"
        )
    if unasked:
        raise DataError(
            f"{folder} was not written: {len(unasked)} results are of frames that are not asked for, "
            f"the first is {unasked[0]}"
        )


def _text(folder: Path, frame: str, objects: KittiObjects, extra_classes: Iterable[str]) -> str:
    if not objects.is_result:
        raise DataError(f"{folder} was not written: the objects of frame {frame} have no scores")
    fault = first_fault(objects, extra_classes)
    if fault:
        raise DataError(f"{folder} was not written: frame {frame}, detection {fault[0]}: {fault[1]}")
    return format_objects(objects)
