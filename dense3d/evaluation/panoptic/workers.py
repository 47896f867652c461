"""Images shared out to threads.

Decoding, sorting and comparing run outside Python's lock, so that threads of one process share the work as
processes would. Each further process takes seconds to load the compiled code, as long as thousands of images.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from dense3d.datasets.panoptic.id_map import read_id_map
from dense3d.evaluation.panoptic.image_files import ImageJob, Outcome, Reader, evaluate_image

MANY_PIXELS = 150_000_000  # from which on compiled code gives the time back that it takes to load


def run_jobs(jobs: list[ImageJob], workers: int, on_image: Callable[[], None]) -> list[Outcome]:
    """Outcomes of all images in their order.

    Args:
        jobs: the images.
        workers: threads.
        on_image: called in the calling thread when an image is done.

    Raises:
        DataError: an image is faulty; those after it are left.
    """
    evaluate = partial(evaluate_image, read=_reader(jobs))
    outcomes = []
    with ThreadPoolExecutor(workers) as pool:
        # If one raises, its iterator cancels those that have not begun.
        for outcome in pool.map(evaluate, jobs):
            outcomes.append(outcome)
            on_image()
    return outcomes


def _reader(jobs: list[ImageJob]) -> Reader:
    if sum(job.pixels for job in jobs) < MANY_PIXELS:
        return read_id_map
    from dense3d.datasets.panoptic.compiled_id_map import read_id_map_compiled

    return read_id_map_compiled
