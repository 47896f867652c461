"""What weights CroCo's stereo and flow networks start from without a checkpoint, built as training does."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from dense3d.apis import build_model

NETWORK = dict(pos_embed="RoPE100", enc_embed_dim=48, enc_depth=2, enc_num_heads=2)
NETWORK |= dict(dec_embed_dim=32, dec_depth=2, dec_num_heads=2)


@pytest.fixture(scope="module", params=["CrocoStereo", "CrocoFlow"])
def model(request):
    torch.manual_seed(0)
    return build_model(dict(type=request.param, network=NETWORK, hooks=(0, 1, 2, 3), crop_size=(32, 64)))


def fits_xavier(weight: torch.Tensor) -> bool:
    """Whether a matrix is uniform within ``sqrt(6 / (fan in + fan out))``."""
    bound = math.sqrt(6 / sum(weight.shape))
    return bool(weight.abs().max() <= bound and abs(weight.std() * math.sqrt(3) / bound - 1) < 0.1)


def test_matrices_are_xavier_uniform_without_bias(model):
    """Queries, keys and values of self-attention are one matrix, and the patch's kernel is one, too."""
    linears = {n: m for n, m in model.network.named_modules() if isinstance(m, nn.Linear)}
    assert linears["enc_blocks.0.attn.qkv"].weight.shape == (144, 48)
    for name, linear in linears.items():
        assert fits_xavier(linear.weight.detach()), name
        assert not linear.bias.any(), name
    assert fits_xavier(model.network.patch_embed.proj.weight.detach().flatten(1))


def test_norms_start_as_ones_and_zeros(model):
    norms = [module for module in model.modules() if isinstance(module, nn.LayerNorm)]
    assert len(norms) == 2 * 2 + 1 + 2 * 4 + 1
    assert all((norm.weight == 1).all() and not norm.bias.any() for norm in norms)
    assert {norm.eps for norm in norms} == {1e-6}


def test_the_head_starts_as_torch_starts_convolutions(model):
    for name, module in model.head.named_modules():
        if isinstance(module, nn.Conv2d):
            bound = 1 / math.sqrt(module.weight[0].numel())
            weight = module.weight.detach()
            assert weight.abs().max() <= bound, name
            if weight.numel() >= 1000:
                assert abs(weight.std() * math.sqrt(3) / bound - 1) < 0.1, name
