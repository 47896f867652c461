"""How compiled kernels run on a CPU: threads without numba's layers, and memory that is used again.

numba's ``parallel=True`` starts a pool of its own whose layers are unsafe where torch needs them: the
workqueue layer aborts when two Python threads enter it at once, and the GNU OpenMP layer aborts in a process
forked after its first use (a DataLoader worker). A kernel compiled with ``nogil=True`` and called on parts of
its work from ordinary threads has neither problem and compiles several times faster.

Large results lie in memory that is used again once nobody holds them: the system hands out large memory page
by page at the first touch and clears each page, which for a gradient of some ten megabytes can take longer
than to compute it. A buffer that outlives its tensor costs that once.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

_pool: ThreadPoolExecutor | None = None
_pool_size = 0
SMALL = 4 << 20  # bytes; the C library keeps smaller blocks itself


def _forget_pool() -> None:
    """A forked child has the parent's pool object but none of its threads."""
    global _pool, _pool_size
    _pool, _pool_size = None, 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


def _pool_of(size: int) -> ThreadPoolExecutor:
    global _pool, _pool_size
    if _pool is None or _pool_size < size:
        # A smaller pool that another thread may still use finishes its work and is then collected.
        _pool, _pool_size = ThreadPoolExecutor(size, thread_name_prefix="dense3d"), size
    return _pool


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
    ranges = iter(
        [(num_tasks * i // num_ranges, num_tasks * (i + 1) // num_ranges) for i in range(num_ranges)]
    )

    def work() -> None:
        for first, last in ranges:  # a list iterator hands each range to one thread: next() holds the GIL
            kernel(first, last, *args)

    helpers = [_pool_of(threads - 1).submit(work) for _ in range(threads - 1)]
    try:
        work()
    finally:
        errors = [helper.exception() for helper in helpers]
    for error in errors:
        if error is not None:
            raise error


class ReusedMemory:
    """At most ``keep`` buffers, each lent to one tensor at a time.

    A buffer is free when the storage of its tensor is gone, so a tensor, a view or a detached copy of it that
    somebody keeps is never written over.
    """

    def __init__(self, keep: int = 2):
        self.keep = keep
        self._buffers: list[tuple[np.ndarray, weakref.ref]] = []  # memory, and the lease inside of the tensor
        self._lock = threading.Lock()

    def empty_like(self, tensor: Tensor) -> Tensor:
        """Contiguous CPU tensor of the shape and dtype of ``tensor`` with arbitrary contents.

        Example:
            >>> memory = ReusedMemory()
            >>> first = memory.empty_like(torch.empty(2, 1 << 20))
            >>> address = first.data_ptr()
            >>> del first
            >>> memory.empty_like(torch.empty(2, 1 << 20)).data_ptr() == address
            True
        """
        size = tensor.numel() * tensor.element_size()
        if size < SMALL:
            return tensor.new_empty(tensor.shape)
        with self._lock:
            lease = self._lease(size)
        return torch.from_numpy(lease).view(tensor.dtype).view(tensor.shape)

    def _lease(self, size: int) -> np.ndarray:
        free = [i for i, (_, lease) in enumerate(self._buffers) if lease() is None]
        fitting = [i for i in free if size <= self._buffers[i][0].nbytes <= 2 * size]
        if fitting:
            memory, _ = self._buffers.pop(fitting[0])
        else:
            memory = np.empty(size, np.uint8)
            if free:
                self._buffers.pop(free[0])
        lease = memory[:size]
        if len(self._buffers) < self.keep:
            self._buffers.append((memory, weakref.ref(lease)))
        return lease
