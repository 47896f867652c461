"""Work in several processes that answer as they go.

Workers are fresh interpreters that read a job from standard input and print one JSON line an answer. Unlike
multiprocessing's they neither inherit threads and CUDA contexts (fork) nor run the caller's script again
(spawn), so a data set can be made from a training process, a notebook or an unguarded script alike.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, Any

from dense3d.errors import DataError

Answer = dict[str, Any]


def answers_of(module: str, jobs: Sequence[Any]) -> Iterator[Answer]:
    """Start a process for each job; yield the answers of all as they come.

    Args:
        module: run with ``python -m``; it calls :func:`serve`.
        jobs: of JSON's types.

    Raises:
        DataError: a job failed, with its own words, or a process ended before its work was done.
    """
    processes = []
    try:
        for job in jobs:
            processes.append(_start(module, job))
        yield from _collect(processes)
    finally:
        for process in processes:
            process.kill()
            process.wait()


def serve(work: Callable[[Any], Iterable[Answer]]) -> None:
    """Body of a worker process: the answers to the job on standard input, each as soon as it is there."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process ends its workers itself
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print goes to standard error, not between the answers

    def send(answer: Answer) -> None:
        try:
            answers.write(json.dumps(answer) + "\n")
            answers.flush()
        except BrokenPipeError:
            os._exit(1)  # the main process is gone; there is nobody to tell

    try:
        for answer in work(json.load(sys.stdin)):
            send(answer)
    except Exception as error:
        send({"fatal": str(error)})


def _start(module: str, job: Any) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        text=True,
        encoding="utf-8",
    )
    with process.stdin as stdin:
        json.dump(job, stdin)
    return process


def _collect(processes: list[subprocess.Popen]) -> Iterator[Answer]:
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    for process in processes:
        threading.Thread(target=_forward, args=(process.stdout, lines), daemon=True).start()
    running = len(processes)
    while running:
        line = lines.get()
        if line is None:
            running -= 1
            continue
        answer = json.loads(line)
        if "fatal" in answer:
            raise DataError(answer["fatal"])
        yield answer
    failed = [code for code in (process.wait() for process in processes) if code != 0]
    if failed:
        raise DataError(f"a process ended with status {failed[0]} before its work was done; start again")


def _forward(stream: IO[str], lines: queue.SimpleQueue) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)
