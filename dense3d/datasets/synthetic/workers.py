"""Rendering in several processes.

The workers are fresh interpreters that read a job from standard input and print one JSON line a sample.
Unlike multiprocessing's they neither inherit threads and CUDA contexts (fork) nor run the caller's script
again (spawn), so a data set can be made from a training process, a notebook or an unguarded script alike.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from dense3d.errors import DataError

Record = tuple[str, int, dict[str, Any]]


@dataclass(frozen=True)
class Job:
    """What all workers share: where to write which layouts of which world."""

    root: str
    layouts: tuple[str, ...]
    seed: int
    size: tuple[int, int]


def render_records(job: Job, samples: list[tuple[str, int]], workers: int) -> Iterator[Record]:
    """Render and write samples; yield (split, index, {layout: record}) in the order of completion.

    Args:
        job: see :class:`Job`.
        samples: (split, index) of each sample.
        workers: number of processes; 1 works in this one.

    Raises:
        DataError: a worker failed; the message holds its own.
    """
    workers = min(workers, len(samples))
    if workers == 1:
        yield from _render_here(job, samples)
        return
    shares = [samples[start::workers] for start in range(workers)]
    processes = [_start(job, share) for share in shares]
    try:
        yield from _collect(processes)
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _render_here(job: Job, samples: list[tuple[str, int]]) -> Iterator[Record]:
    from dense3d.datasets.synthetic.sample import make_sample
    from dense3d.datasets.synthetic.writers import WRITERS

    writers = {layout: WRITERS[layout](Path(job.root)) for layout in job.layouts}
    compositions = {writer.composition for writer in writers.values()}
    if len(compositions) > 1:
        raise DataError(f"layouts {', '.join(job.layouts)} need different scenes; make them separately")
    composition = compositions.pop()
    for split, index in samples:
        sample = make_sample(job.seed, split, index, job.size, composition)
        yield split, index, {layout: writer.write(sample) for layout, writer in writers.items()}


def _start(job: Job, share: list[tuple[str, int]]) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "dense3d.datasets.synthetic.workers"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
        encoding="utf-8",
    )
    json.dump({"job": asdict(job), "samples": share}, process.stdin)
    process.stdin.close()
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
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print goes to standard error, not between the answers
    task = json.load(sys.stdin)
    samples = [(split, index) for split, index in task["samples"]]
    job = Job(**{**task["job"], "size": tuple(task["job"]["size"])})
    where = "before the first sample"
    try:
        for split, index, records in _render_here(job, samples):
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
