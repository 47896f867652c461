"""Space-filling curves: what defines them, their transposed forms, bad input."""

from __future__ import annotations

import pytest
import torch

from dense3d.errors import DataError
from dense3d.ops import (
    backends,
    curve_order,
    hilbert_code,
    hilbert_code_reference,
    morton_code,
    morton_code_reference,
)


def cube(bits: int) -> torch.Tensor:
    return torch.cartesian_prod(*[torch.arange(1 << bits)] * 3)


def random_voxels(number: int, bits: int) -> torch.Tensor:
    return torch.randint(1 << bits, (number, 3), generator=torch.Generator().manual_seed(bits))


@pytest.mark.parametrize("bits", [1, 3, 16, 21])
def test_morton_interleaves_bits(bits):
    voxels = random_voxels(50, bits)
    texts = [[f"{value:0{bits}b}" for value in row] for row in voxels.tolist()]
    expected = [int("".join(x + y + z for x, y, z in zip(*row)), 2) for row in texts]
    assert morton_code(voxels, bits).tolist() == expected
    assert morton_code_reference(voxels, bits).tolist() == expected


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_hilbert_visits_every_voxel_and_only_moves_to_neighbours(bits):
    voxels = cube(bits)
    codes = hilbert_code(voxels, bits)
    assert codes.sort().values.tolist() == list(range(8**bits))
    steps = voxels[codes.argsort()].diff(dim=0).abs().sum(1)
    assert (steps == 1).all()


@pytest.mark.parametrize("bits", [1, 2, 5, 16, 21])
@pytest.mark.parametrize("axes", ["xyz", "yxz", "zyx"])
def test_every_backend_equals_the_reference(bits, axes):
    voxels = torch.cat([random_voxels(500, bits), torch.full((1, 3), (1 << bits) - 1)])
    assert torch.equal(hilbert_code(voxels, bits, axes), hilbert_code_reference(voxels, bits, axes))
    assert torch.equal(morton_code(voxels, bits, axes), morton_code_reference(voxels, bits, axes))
    assert {row.backend for row in backends("hilbert_code")} >= {"reference"}


@pytest.mark.parametrize("code", [morton_code, hilbert_code])
def test_coarser_curves_are_the_leading_bits(code):
    """Voxels of a finer grid that share a parent follow each other."""
    voxels = random_voxels(300, 8)
    parents = code(voxels, 8) >> 3
    assert torch.equal(voxels[parents.argsort(stable=True)] // 2, (voxels // 2)[parents.argsort(stable=True)])
    siblings = cube(1) + 2 * torch.tensor([37, 5, 101])
    codes = code(siblings, 8)
    assert codes.max() - codes.min() == 7


@pytest.mark.parametrize("code", [morton_code, hilbert_code])
def test_transposed_curves_exchange_axes(code):
    voxels = random_voxels(100, 16)
    assert torch.equal(code(voxels, axes="yxz"), code(voxels[:, [1, 0, 2]]))
    assert torch.equal(code(voxels, axes="zxy"), code(voxels[:, [2, 0, 1]]))
    assert not torch.equal(code(voxels, axes="yxz"), code(voxels))


@pytest.mark.parametrize("curve", ["z-order", "hilbert"])
def test_order_goes_cloud_by_cloud(curve):
    voxels = random_voxels(200, 6).int()
    batch = torch.randint(4, (200,), generator=torch.Generator().manual_seed(0))
    order = curve_order(voxels, curve, "yxz", batch)
    assert order.sort().values.tolist() == list(range(200))
    assert (batch[order].diff() >= 0).all()
    code = {"z-order": morton_code, "hilbert": hilbert_code}[curve](voxels, axes="yxz")
    for cloud in range(4):
        assert (code[order][batch[order] == cloud].diff() >= 0).all()
    assert torch.equal(voxels[order][order.argsort()], voxels)
    repeated = curve_order(torch.zeros(5, 3, dtype=torch.long), curve)
    assert repeated.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("code", [morton_code, hilbert_code, curve_order])
def test_no_voxels(code):
    assert code(torch.zeros(0, 3, dtype=torch.long)).shape == (0,)


@pytest.mark.parametrize("code", [morton_code, hilbert_code])
def test_bad_input_is_one_sentence(code):
    with pytest.raises(
        DataError, match=r"take coordinates 0 \.\. 65535, but these reach from 0 to 65536: subtract"
    ):
        code(torch.tensor([[0, 0, 1 << 16]]))
    with pytest.raises(DataError, match="reach from -1 to 3"):
        code(torch.tensor([[0, -1, 3]]))
    with pytest.raises(DataError, match="1 to 21 bits an axis, not 22"):
        code(torch.tensor([[0, 0, 0]]), bits=22)
    with pytest.raises(DataError, match="an order of the letters xyz, not 'xxy'"):
        code(torch.tensor([[0, 0, 0]]), axes="xxy")
    with pytest.raises(DataError, match=r"whole numbers \(N, 3\), not \(1, 2\)"):
        code(torch.tensor([[0, 0]]))
    with pytest.raises(DataError, match=r"not .* of torch.float32"):
        code(torch.zeros(1, 3))


def test_order_refuses():
    voxels = random_voxels(3, 4)
    with pytest.raises(DataError, match="the curves z-order and hilbert, not 'peano'"):
        curve_order(voxels, "peano")
    with pytest.raises(DataError, match="5 clouds of 21 bits an axis exceed 63 bits"):
        curve_order(voxels, batch=torch.tensor([0, 4, 1]), bits=21)
