"""Images shared out to processes.

The processes are fresh interpreters that read their images from standard input. Unlike multiprocessing's they
neither inherit threads and CUDA contexts (fork) nor run the caller's script again (spawn).
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import IO, Any

from dense3d.datasets.panoptic.id_map import read_id_map
from dense3d.errors import DataError
from dense3d.evaluation.panoptic.image_files import ImageJob, Outcome, evaluate_image

MANY_PIXELS = 150_000_000  # from which on a process has the time back that loading compiled code takes
BATCH = 16  # images of which a process reports at once


def run_jobs(jobs: list[ImageJob], workers: int, on_image: Callable[[], None]) -> list[Outcome]:
    """Outcomes of all images in their order.

    Args:
        jobs: the images.
        workers: processes; 1 works in this one.
        on_image: called when an image is done.

    Raises:
        DataError: an image is faulty; the others are left.
    """
    outcomes: dict[int, Outcome] = {}
    with closing(_here(jobs) if workers == 1 else _elsewhere(jobs, workers)) as answers:
        for index, outcome in answers:
            if isinstance(outcome, str):
                raise DataError(outcome)
            outcomes[index] = outcome
            on_image()
    return [outcomes[index] for index in range(len(jobs))]


def _here(jobs: list[ImageJob]) -> Iterator[tuple[int, Outcome | str]]:
    """Index and outcome, or the sentence on a faulty image, which is the last."""
    read = read_id_map
    if sum(job.pixels for job in jobs) >= MANY_PIXELS:
        from dense3d.datasets.panoptic.compiled_id_map import read_id_map_compiled as read
    for index, job in enumerate(jobs):
        try:
            yield index, evaluate_image(job, read)
        except DataError as error:
            yield index, str(error)
            return


def _elsewhere(jobs: list[ImageJob], workers: int) -> Iterator[tuple[int, Outcome | str]]:
    answers: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
    processes = [_start() for _ in range(workers)]
    try:
        for number, process in enumerate(processes):
            target, arguments = _talk, (process, jobs[number::workers], number, answers)
            threading.Thread(target=target, args=arguments, daemon=True).start()
        running = len(processes)
        while running:
            number, batch = answers.get()
            if batch is None:
                running -= 1
                continue
            yield from ((number + workers * index, outcome) for index, outcome in batch)
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _start() -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "dense3d.evaluation.panoptic.workers"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
    )


def _talk(process: subprocess.Popen, jobs: list[ImageJob], number: int, answers: queue.SimpleQueue) -> None:
    """Hand a process its images and pass its answers on; ``None`` ends them."""
    try:
        with process.stdin as stdin:
            pickle.dump(jobs, stdin)
        done, faulty = 0, False
        while done < len(jobs) and not faulty:
            batch = pickle.load(process.stdout)
            answers.put((number, batch))
            done, faulty = done + len(batch), isinstance(batch[-1][1], str)
    except (EOFError, OSError, pickle.UnpicklingError):
        status = process.wait()
        fault = f"an evaluating process ended with status {status} before its work was done; use --workers 1"
        answers.put((number, [(0, fault)]))
    answers.put((number, None))


def _work(answers: IO[bytes]) -> None:
    """Body of a process."""
    import cv2

    cv2.setNumThreads(0)
    jobs = pickle.load(sys.stdin.buffer)
    batch: list[tuple[int, Outcome | str]] = []
    for entry in _here(jobs):
        batch.append(entry)
        if len(batch) == BATCH:
            pickle.dump(batch, answers)
            answers.flush()
            batch.clear()
    if batch:
        pickle.dump(batch, answers)
        answers.flush()


def _main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process ends its workers itself
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print goes to standard error, not between the answers
    try:
        _work(answers)
    except BrokenPipeError:
        os._exit(1)  # the main process is gone; there is nobody to tell


if __name__ == "__main__":
    # Under its own name, so that what is pickled here is known there.
    from dense3d.evaluation.panoptic.workers import _main as main

    main()
