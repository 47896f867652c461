"""Large results in memory that is used again once nobody holds them.

The system hands out large memory page by page at the first touch and clears each page, which for a gradient
of some ten megabytes can take longer than to compute it. A buffer that outlives its tensor costs that once.
"""

from __future__ import annotations

import threading
import weakref

import numpy as np
import torch
from torch import Tensor

SMALL = 4 << 20  # bytes; the C library keeps smaller blocks itself


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
