"""A buffer is lent again only when no tensor, view or gradient lives in it any more."""

from __future__ import annotations

import torch

from dense3d.ops.cpu_execution import SMALL, ReusedMemory

LARGE = torch.empty(SMALL // 2)  # twice that many bytes


def test_memory_is_used_again_after_the_tensor_is_gone():
    memory = ReusedMemory()
    first = memory.empty_like(LARGE)
    address = first.data_ptr()
    del first
    second = memory.empty_like(LARGE)
    assert second.data_ptr() == address
    del second
    smaller = memory.empty_like(LARGE[: SMALL // 8 + 8].double())
    assert (smaller.data_ptr(), smaller.dtype, len(smaller)) == (address, torch.float64, SMALL // 8 + 8)


def test_memory_that_somebody_holds_is_never_lent():
    memory = ReusedMemory(keep=3)
    tensor = memory.empty_like(LARGE).fill_(1)
    kept = [tensor[5:6], tensor.detach(), tensor.view(2, -1).t()]
    del tensor
    while kept:
        other = memory.empty_like(LARGE)
        other.fill_(2)
        assert all((k == 1).all() for k in kept)
        del other
        kept.pop()
    parameter = torch.zeros_like(LARGE).requires_grad_()
    parameter.grad = memory.empty_like(LARGE).fill_(3)
    memory.empty_like(LARGE).fill_(4)
    memory.empty_like(LARGE).fill_(4)
    assert (parameter.grad == 3).all()


def test_no_more_buffers_are_kept_than_asked_for():
    memory = ReusedMemory(keep=2)
    tensors = [memory.empty_like(LARGE) for _ in range(5)]
    assert len({tensor.data_ptr() for tensor in tensors}) == 5
    assert len(memory._buffers) == 2
    del tensors
    memory.empty_like(LARGE.repeat(4))  # no buffer fits: one of the free ones makes room
    assert sorted(buffer.nbytes for buffer, _ in memory._buffers) == [LARGE.nbytes, 4 * LARGE.nbytes]


def test_small_tensors_are_ordinary():
    memory = ReusedMemory()
    memory.empty_like(torch.empty(3))
    assert not memory._buffers
