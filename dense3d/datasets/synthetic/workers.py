"""Rendering in several processes, see :mod:`dense3d.datasets.processes`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dense3d.datasets.processes import Answer, answers_of, serve
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
    jobs = [asdict(replace(job, samples=job.samples[start::workers])) for start in range(workers)]
    for answer in answers_of("dense3d.datasets.synthetic.workers", jobs):
        yield answer["split"], answer["index"], answer["records"]


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


def _answers(task: dict[str, Any]) -> Iterator[Answer]:
    """What a worker process answers: a line a sample."""
    job = Job(**{**task, "size": tuple(task["size"])})
    where = "before the first sample"
    try:
        for split, index, records in _render_here(job):
            where = f"after {split} sample {index}"
            yield {"split": split, "index": index, "records": records}
    except Exception as error:
        raise DataError(f"rendering failed {where}: {error}") from error


if __name__ == "__main__":
    serve(_answers)
