"""Scenes in several processes: fresh interpreters that read scenes from standard input, a JSON line each.

They answer with a line a scene. As in :mod:`dense3d.datasets.synthetic.workers` they neither inherit threads
nor run the caller's script again.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from dense3d.errors import DataError, Dense3dError

Answer = tuple[dict[str, Any], str | None]


def prepared_scenes(scenes: list[dict[str, Any]], workers: int) -> Iterator[Answer]:
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
    processes = []
    try:
        processes = [_start(scenes[start::workers]) for start in range(workers)]
        yield from _answers(processes, scenes)
    finally:
        for process in processes:
            process.kill()
            process.wait()


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


def _start(scenes: list[dict[str, Any]]) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-m", "dense3d.datasets.prepared.workers"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        text=True,
        encoding="utf-8",
    )
    with process.stdin as stdin:
        json.dump(scenes, stdin)
    return process


def _answers(processes: list[subprocess.Popen], scenes: list[dict[str, Any]]) -> Iterator[Answer]:
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    for process in processes:
        threading.Thread(target=_forward, args=(process.stdout, lines), daemon=True).start()
    by_file = {scene["out"]: scene for scene in scenes}
    running = len(processes)
    while running:
        line = lines.get()
        if line is None:
            running -= 1
            continue
        answer = json.loads(line)
        if "fatal" in answer:
            raise DataError(answer["fatal"])
        yield by_file[answer["out"]], answer["fault"]
    failed = [code for code in (process.wait() for process in processes) if code != 0]
    if failed:
        raise DataError(f"a process ended with status {failed[0]} before its scenes were done; start again")


def _forward(stream: IO[str], lines: queue.SimpleQueue) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


def _work() -> None:
    """Body of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process ends its workers itself
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print goes to standard error, not between the answers
    for scene in json.load(sys.stdin):
        try:
            answer = {"out": scene["out"], "fault": prepare_scene(scene)}
        except Exception as error:
            answer = {"fatal": f"{scene['id']} cannot be prepared: {type(error).__name__}: {error}"}
        try:
            answers.write(json.dumps(answer) + "\n")
            answers.flush()
        except BrokenPipeError:
            os._exit(1)  # the main process is gone; there is nobody to tell


if __name__ == "__main__":
    _work()
