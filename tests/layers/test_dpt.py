"""The DPT head, which depth, disparity and flow share."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from dense3d.errors import ConfigError
from dense3d.layers.dpt import DPTHead, FusionBlock, ResidualUnit


def small_head(**options) -> DPTHead:
    torch.manual_seed(0)
    return DPTHead([6, 5, 4, 3], (4, 4, 6, 8), channels=8, **options)


@pytest.mark.parametrize("grid", [(2, 4), (3, 5), (1, 1), (7, 2)])
def test_any_grid_and_size(grid):
    maps = [torch.randn(2, channels, *grid) for channels in (6, 5, 4, 3)]
    assert small_head(out_channels=3)(maps, (33, 47)).shape == (2, 3, 33, 47)


def test_disparity_may_be_negative_and_inverse_depth_not():
    maps = [torch.randn(1, channels, 4, 4) for channels in (6, 5, 4, 3)]
    signed, unsigned = (small_head(nonnegative=flag) for flag in (False, True))
    unsigned.load_state_dict(signed.state_dict())
    assert signed(maps, (64, 64)).min() < 0
    torch.testing.assert_close(unsigned(maps, (64, 64)), signed(maps, (64, 64)).relu())


def test_every_parameter_is_used():
    """The coarsest block has nothing to add to: its unit for that is in official files, but not built."""
    head = small_head(nonnegative=False)
    head([torch.randn(1, channels, 2, 2) for channels in (6, 5, 4, 3)], (32, 32)).square().sum().backward()
    assert [name for name, p in head.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_fusion_resizes_corner_to_corner_before_its_projection():
    torch.manual_seed(0)
    block = FusionBlock(4)
    level, coarser = torch.randn(1, 4, 3, 5), torch.randn(1, 4, 3, 5)
    summed = block.unit(coarser + block.skip_unit(level))
    fused = block(level, coarser, (6, 10))
    torch.testing.assert_close(fused[..., 0, 0], block.conv(summed)[..., 0, 0])
    torch.testing.assert_close(fused[..., -1, -1], block.conv(summed)[..., -1, -1])


def test_the_residual_unit_leaves_its_input_alone():
    x = torch.randn(1, 4, 3, 3)
    before = x.clone()
    unit = ResidualUnit(4)
    expected = x + F.conv2d(
        F.conv2d(x.clamp(min=0), unit.conv1.weight, unit.conv1.bias, padding=1).clamp(min=0),
        unit.conv2.weight,
        unit.conv2.bias,
        padding=1,
    )
    torch.testing.assert_close(unit(x), expected)
    assert torch.equal(x, before)


def test_a_part_of_a_checkpoint(tmp_path):
    source = small_head()
    state = {f"head.{name}": value for name, value in source.state_dict().items()}
    torch.save({"state_dict": state | {"other.weight": torch.ones(1)}}, tmp_path / "model.pth")
    torch.manual_seed(1)
    head = DPTHead(
        [6, 5, 4, 3],
        (4, 4, 6, 8),
        channels=8,
        init_cfg=dict(type="Pretrained", checkpoint=str(tmp_path / "model.pth"), prefix="head"),
    )
    head.init_weights()
    assert torch.equal(head.neck.weight, source.neck.weight)


def test_other_numbers_of_maps_are_refused():
    with pytest.raises(ConfigError, match="four maps"):
        DPTHead([8] * 3, (4, 4, 8, 8))
