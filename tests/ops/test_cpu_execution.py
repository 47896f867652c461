"""parallel_for covers every task once, from any thread, and passes errors on."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from dense3d.ops.cpu_execution import parallel_for


@pytest.fixture(params=[1, 2, 5])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("num_tasks", [0, 1, 3, 100])
def test_every_task_runs_once(threads, num_tasks):
    counts = np.zeros(num_tasks, dtype=int)

    def kernel(first, last, out):
        out[first:last] += 1

    parallel_for(kernel, num_tasks, counts)
    assert (counts == 1).all()


def test_several_threads_take_part():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    barrier = threading.Barrier(2, timeout=30)  # passes only when two threads are inside at once

    def kernel(first, last):
        if first == 0 or last == 8:
            barrier.wait()

    try:
        parallel_for(kernel, 8)
    finally:
        torch.set_num_threads(before)


def test_errors_reach_the_caller(threads):
    def kernel(first, last):
        if first <= 7 < last:
            raise ZeroDivisionError("task 7")

    with pytest.raises(ZeroDivisionError, match="task 7"):
        parallel_for(kernel, 20)
