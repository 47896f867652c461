"""Decoders of radiance grids."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from dense3d.errors import ConfigError
from dense3d.radiance.unet_decoder import PlainDecoder3D, ResidualBlock3D, UNetDecoder3D, instance_norm


def test_residual_block_adds_its_input_where_the_convolutions_are_silent() -> None:
    block = ResidualBlock3D(4, 4)
    for parameter in block.conv2.parameters():
        torch.nn.init.zeros_(parameter)
    x = torch.randn(1, 4, 3, 4, 5)
    assert torch.allclose(block(x), F.leaky_relu(x, 0.01))
    assert block.shortcut is None and ResidualBlock3D(4, 6).shortcut is not None


def test_norms_take_each_grid_by_itself_in_every_mode() -> None:
    x = torch.randn(2, 3, 4, 4, 4)
    normed = instance_norm(x)
    assert normed.mean((2, 3, 4)).abs().max() < 1e-6
    assert torch.allclose(normed.var((2, 3, 4), unbiased=False), torch.ones(2, 3), atol=1e-3)
    assert torch.allclose(instance_norm(x[:1]), normed[:1])


def test_odd_sides_are_cut_to_those_of_the_finer_map() -> None:
    decoder = UNetDecoder3D([4, 8, 16])
    maps = [torch.rand(2, 4, 5, 7, 3), torch.rand(2, 8, 3, 4, 2), torch.rand(2, 16, 2, 2, 1)]
    assert decoder(maps).shape == (2, 4, 5, 7, 3)


def test_plain_decoder_lays_patches_out_where_they_are() -> None:
    """Each place of the coarse map gives voxels of its own place: the last layer is moved, not mixed."""
    decoder = PlainDecoder3D(3, patch_size=2, out_channels=2).eval()
    for conv in [*decoder.convs, decoder.predict]:
        torch.nn.init.zeros_(conv.weight)
    bias = torch.arange(16.0)  # channel (p, q, r, C), the last axis fastest
    decoder.predict.bias.data.copy_(bias)
    out = decoder(torch.rand(1, 3, 1, 1, 1))[0]
    for x, y, z in [(0, 0, 0), (1, 0, 0), (0, 3, 2), (5, 6, 7)]:
        patch = ((x % 2) * 2 + y % 2) * 2 + z % 2
        assert out[:, x, y, z].tolist() == [2 * patch, 2 * patch + 1]


def test_unknown_upsampling_is_refused() -> None:
    with pytest.raises(ConfigError, match="'nearest' or 'trilinear'"):
        PlainDecoder3D(3, 2, 4, upsample="cubic")
