"""Run a compiled kernel on several CPU threads: torch's own where its OpenMP library can be called.

numba's ``parallel=True`` is not used. Its workqueue layer aborts when two Python threads enter it at once,
its OpenMP layer in a process forked after its first use (a DataLoader worker), and it compiles several times
more slowly than a kernel with ``nogil=True`` that is called on parts of the work, as here.

Threads besides torch's would have to share the cores with them: after each of its parallel loops torch's
threads keep spinning for some milliseconds, as long as a small kernel takes.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

_pool: ThreadPoolExecutor | None = None
_pool_size = 0
_forked = False  # OpenMP's threads do not survive a fork, and its library waits for them for ever


def _after_fork() -> None:
    """A forked child has the parent's pool object but none of its threads."""
    global _forked, _pool, _pool_size
    _forked, _pool, _pool_size = True, None, 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def parallel_for(kernel: Callable[..., None], num_tasks: int, *args) -> None:
    """Call ``kernel(first, last, *args)`` on ranges that cover ``0 .. num_tasks - 1``.

    As many threads as ``torch.get_num_threads()`` take ranges, the caller among them, so it works from any
    thread, in forked workers, and with one thread costs no more than the plain call. The result does not
    depend on the number of threads when each output element belongs to one task.

    Args:
        kernel: releases the GIL (``numba.njit(nogil=True)``) and writes its results into ``args``.
        num_tasks: tasks of about equal cost.
        args: passed on as they are.

    Example:
        >>> import numpy as np
        >>> squares = np.zeros(5)
        >>> def kernel(first, last, out):
        ...     out[first:last] = np.arange(first, last) ** 2
        >>> parallel_for(kernel, 5, squares)
        >>> squares.tolist()
        [0.0, 1.0, 4.0, 9.0, 16.0]
    """
    threads = min(torch.get_num_threads(), num_tasks)
    if threads <= 1:
        if num_tasks:
            kernel(0, num_tasks, *args)
        return
    # More ranges than threads, so that a thread that is held up does not keep the others waiting.
    num_ranges = min(num_tasks, 4 * threads)
    edges = [num_tasks * i // num_ranges for i in range(num_ranges + 1)]
    ranges = iter(list(itertools.pairwise(edges)))
    errors: list[BaseException] = []

    def work(_data: int | None = None) -> None:
        try:
            for first, last in ranges:  # a list iterator hands each range to one thread: next() holds the GIL
                kernel(first, last, *args)
        except BaseException as error:  # raised again by the caller; nothing may leave a thread of OpenMP
            errors.append(error)

    openmp = None if _forked else _openmp_parallel()
    if openmp is None:
        helpers = [_pool_of(threads - 1).submit(work) for _ in range(threads - 1)]
        work()
        for helper in helpers:
            helper.result()
    else:
        openmp(_CALLBACK(work), None, threads, 0)
    if errors:
        raise errors[0]


def _pool_of(size: int) -> ThreadPoolExecutor:
    global _pool, _pool_size
    if _pool is None or _pool_size < size:
        # A smaller pool that another thread may still use finishes its work and is then collected.
        _pool, _pool_size = ThreadPoolExecutor(size, thread_name_prefix="dense3d"), size
    return _pool


_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


@functools.cache
def _openmp_parallel() -> Callable | None:
    """``GOMP_parallel(function, data, threads, flags)`` of the library that torch runs its loops with.

    GNU's, LLVM's and Intel's libraries have it. ``None`` where torch's library is not found.
    """
    maps = Path("/proc/self/maps")
    if not maps.is_file():
        return None
    library = re.search(r"/\S*/torch(?:\.libs|/lib)/lib(?:gomp|iomp5|omp)\S*", maps.read_text())
    if library is None:
        return None
    try:
        function = ctypes.CDLL(library.group()).GOMP_parallel
    except (OSError, AttributeError):
        return None
    function.argtypes = (_CALLBACK, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
    function.restype = None
    return function
