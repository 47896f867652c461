"""What weights a CCNeXt starts from, built as training builds it; loaded weights would hide bad ones."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from dense3d.apis import build_model
from dense3d.stereo.ccnext import CCNeXt

ARCH = dict(dims=(16, 24, 32, 48), depths=(1, 1, 1, 1))


def built(init: str = "recommended") -> CCNeXt:
    torch.manual_seed(0)
    return build_model(
        dict(
            type="CCNeXt",
            backbone=dict(type="ConvNeXt", arch=ARCH, layer_scale=1e-6),
            encoder=dict(attention_init=init),
            decoder=dict(init=init),
            normalised_focal=0.58,
        )
    )


def uniform_as_torchs(convolution: nn.Conv2d) -> bool:
    """Whether weights and biases are uniform within ``1 / sqrt(fan in)``, torch's own start."""
    bound = 1 / math.sqrt(convolution.weight[0].numel())
    weight = convolution.weight.detach()
    fits = weight.abs().max() <= bound and abs(weight.std() * math.sqrt(3) / bound - 1) < 0.25
    return bool(fits and (convolution.bias is None or convolution.bias.abs().max() <= bound))


def test_layer_scales_and_norms_of_the_backbone():
    model = built()
    scales = [p for name, p in model.encoder.backbone.named_parameters() if name.endswith("gamma")]
    assert len(scales) == 4 and all((scale == 1e-6).all() for scale in scales)
    for module in model.encoder.backbone.modules():
        if isinstance(module, nn.LayerNorm):
            assert (module.weight == 1).all() and (module.bias == 0).all()


def test_what_is_new_starts_as_torch_starts_it():
    model = built()
    for part in (model.encoder.stem, model.decoder.branches, model.encoder.attentions):
        convolutions = [module for module in part.modules() if isinstance(module, nn.Conv2d)]
        large = [one for one in convolutions if one.weight.numel() >= 256]
        assert large and all(uniform_as_torchs(one) for one in large)


@pytest.mark.parametrize("init", ["recommended", "official"])
def test_attention_and_skip_blocks_start_as_the_identity(init):
    """W's batch norm is zero; that of what comes before it is zero in the official start alone."""
    model = built(init)
    pairs = [(a.value, a.output) for a in model.encoder.attentions]
    pairs += [(skip.inner, skip.output) for skip in model.decoder.skips.values()]
    assert len(pairs) == 6
    for first, last in pairs:
        assert not last[1].weight.any() and not last[1].bias.any()
        assert bool((first[1].weight == (0 if init == "official" else 1)).all()) and not first[1].bias.any()
    left, right = torch.rand(2, 1, 16, 6, 20)
    for same, other in zip(model.encoder.attentions[0](left, right), (left, right)):
        assert torch.equal(same, other)


def test_the_two_branches_start_apart():
    """One seeded with the other would make both disparities of a symmetric pair equal."""
    first, second = built().decoder.branches
    assert not torch.equal(first.mixers[0].weight, second.mixers[0].weight)
