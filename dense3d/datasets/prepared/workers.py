"""Scenes in several processes, see :mod:`dense3d.datasets.processes`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dense3d.datasets.processes import Answer, answers_of, serve
from dense3d.errors import DataError, Dense3dError


def prepared_scenes(
    scenes: list[dict[str, Any]], workers: int
) -> Iterator[tuple[dict[str, Any], str | None]]:
    """Prepare scenes; yield each as it is done, with a sentence if it failed.

    Args:
        scenes: with ``kind``, ``out`` and ``max_points`` beside what the kind's reader takes.
        workers: number of processes; 1 works in this one.

    Raises:
        DataError: a process ended before its work was done.
    """
    workers = min(workers, len(scenes))
    if workers <= 1:
        yield from ((scene, prepare_scene(scene)) for scene in scenes)
        return
    by_file = {scene["out"]: scene for scene in scenes}
    jobs = [scenes[start::workers] for start in range(workers)]
    for answer in answers_of("dense3d.datasets.prepared.workers", jobs):
        yield by_file[answer["out"]], answer["fault"]


def prepare_scene(scene: dict[str, Any]) -> str | None:
    """Make the file of one scene; a sentence if that is not possible."""
    from dense3d.datasets.prepared.preparation import KINDS
    from dense3d.datasets.prepared.scene_files import write_scene

    try:
        write_scene(Path(scene["out"]), KINDS[scene["kind"]].read(scene), scene["max_points"])
    except Dense3dError as error:
        if isinstance(error, OSError):  # a full disk fails for all of them
            raise
        return str(error)
    return None


def _answers(scenes: list[dict[str, Any]]) -> Iterator[Answer]:
    for scene in scenes:
        try:
            yield {"out": scene["out"], "fault": prepare_scene(scene)}
        except Exception as error:
            raise DataError(f"{scene['id']} cannot be prepared: {type(error).__name__}: {error}") from error


if __name__ == "__main__":
    serve(_answers)
