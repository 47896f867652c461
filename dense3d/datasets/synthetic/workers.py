"""Rendering in several processes.

The workers are fresh interpreters that read a job from standard input and print one JSON line a sample.
Unlike multiprocessing's they neither inherit threads and CUDA contexts (fork) nor run the caller's script
again (spawn), so a data set can be made from a training process, a notebook or an unguarded script alike.
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
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any

from dense3d.errors import DataError

Record = tuple[str, int, dict[str, Any]]
# Compositions of which a layout can show one as well as another.
INTERCHANGEABLE = {"room", "close_up"}


@dataclass(frozen=True)
class Job:
    """Which samples of which world to write where.

    Args:
        root: folder of the data set.
        layouts: keys of ``WRITERS``.
        seed, size: of the world and its images.
        samples: (split, index) of each.
        scenes: a key of ``COMPOSITIONS``, or None for what the layouts usually show.
    """

    root: str
    layouts: tuple[str, ...]
    seed: int
    size: tuple[int, int]
    samples: list[tuple[str, int]]
    scenes: str | None = None


def render_records(job: Job, workers: int) -> Iterator[Record]:
    """Render and write a job's samples; yield (split, index, {layout: record}) as they are done.

    Args:
        job: what to do.
        workers: number of processes; 1 works in this one.

    Raises:
        DataError: a worker failed; the message holds its own.
    """
    workers = min(workers, len(job.samples))
    if workers == 1:
        yield from _render_here(job)
        return
    processes = []
    try:
        for start in range(workers):
            processes.append(_start(replace(job, samples=job.samples[start::workers])))
        yield from _collect(processes)
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _render_here(job: Job) -> Iterator[Record]:
    from dense3d.datasets.synthetic.sample import make_sample
    from dense3d.datasets.synthetic.writers import WRITERS

    writers = {layout: WRITERS[layout](Path(job.root)) for layout in job.layouts}
    composition = _composition(job, {writer.composition for writer in writers.values()})
    for split, index in job.samples:
        sample = make_sample(job.seed, split, index, job.size, composition)
        yield split, index, {layout: writer.write(sample) for layout, writer in writers.items()}


def _composition(job: Job, usual: set[str]) -> str:
    """Key of ``COMPOSITIONS`` for layouts that usually show ``usual``."""
    if len(usual) > 1:
        raise DataError(f"layouts {', '.join(job.layouts)} need different scenes; make them separately")
    (name,) = usual
    if job.scenes is None or job.scenes == name:
        return name
    if not {name, job.scenes} <= INTERCHANGEABLE:
        raise DataError(f"layouts {', '.join(job.layouts)} need scenes of {name!r}, not of {job.scenes!r}")
    return job.scenes


def _start(job: Job) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-m", "dense3d.datasets.synthetic.workers"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        text=True,
        encoding="utf-8",
    )
    with process.stdin as stdin:
        json.dump(asdict(job), stdin)
    return process


def _collect(processes: list[subprocess.Popen]) -> Iterator[Record]:
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    for process in processes:
        threading.Thread(target=_forward, args=(process.stdout, lines), daemon=True).start()
    running = len(processes)
    while running:
        line = lines.get()
        if line is None:
            running -= 1
            continue
        message = json.loads(line)
        if "error" in message:
            raise DataError(message["error"])
        yield message["split"], message["index"], message["records"]
    failed = [code for code in (process.wait() for process in processes) if code != 0]
    if failed:
        raise DataError(f"a rendering process ended with status {failed[0]} before its work was done")


def _forward(stream: IO[str], lines: queue.SimpleQueue) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


def _work() -> None:
    """Body of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process ends its workers itself
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print goes to standard error, not between the answers
    task = json.load(sys.stdin)
    job = Job(**{**task, "size": tuple(task["size"])})
    where = "before the first sample"
    try:
        for split, index, records in _render_here(job):
            where = f"after {split} sample {index}"
            answers.write(json.dumps({"split": split, "index": index, "records": records}) + "\n")
            answers.flush()
    except BrokenPipeError:
        os._exit(1)  # the main process is gone; there is nobody to tell
    except Exception as error:
        answers.write(json.dumps({"error": f"rendering failed {where}: {error}"}) + "\n")
        answers.flush()


if __name__ == "__main__":
    _work()
