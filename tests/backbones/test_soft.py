"""SOFT and SOFT-Norm: their contract, their kernel and its inverse."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dense3d.backbones import SOFT
from dense3d.checkpoints import soft as converters
from dense3d.errors import CheckpointError, ConfigError
from dense3d.layers.softmax_free_attention import (
    SoftmaxFreeAttention,
    gaussian_kernel,
    newton_inverse,
    normalised_newton_inverse,
)
from tests.backbones import contract

ARCH = dict(dims=(16, 24, 32, 48), depths=(1, 1, 2, 1), num_heads=(1, 2, 2, 4))


@pytest.fixture(params=[False, True], ids=["plain", "normalised"])
def build(request):
    def make(**kwargs) -> SOFT:
        torch.manual_seed(0)
        return SOFT(ARCH, normalised=request.param, **kwargs)

    return make


def test_contract(build):
    contract.check_batch(build().eval())
    contract.check_gradients(build)
    contract.check_checkpointing(build)
    contract.check_frozen(build)
    contract.check_bfloat16(build().eval())
    contract.check_depths(build())
    contract.check_starts(build())


@pytest.mark.parametrize("size", [(32, 32), (65, 97), (7, 5), (76, 103)])
def test_any_size(build, size):
    contract.check_sizes(build().eval(), *size)


def test_the_kernel_is_that_of_squared_distances():
    a, b = torch.randn(2, 3, 7, 4), torch.randn(2, 3, 5, 4)
    distances = (a[..., :, None, :] - b[..., None, :, :]).square().sum(-1)
    torch.testing.assert_close(gaussian_kernel(a, b), (-distances / 2).exp())


def kernels(count: int = 6) -> torch.Tensor:
    torch.manual_seed(0)
    points = 2 * torch.randn(2, 3, count, 4, dtype=torch.float64)
    return gaussian_kernel(points, points)


def test_the_inverses_are_inverses():
    kernel, unit = kernels(), torch.eye(6, dtype=torch.float64)
    torch.testing.assert_close(newton_inverse(kernel) @ (kernel + 0.01 * unit), unit.expand(2, 3, 6, 6))
    torch.testing.assert_close(normalised_newton_inverse(kernel) @ kernel, unit.expand(2, 3, 6, 6))


def test_the_gradient_of_an_inverse_is_that_of_an_exact_one():
    kernel, weights = kernels().requires_grad_(), torch.randn(2, 3, 6, 6, dtype=torch.float64)
    for inverse, ridge in ((newton_inverse, 0.01), (normalised_newton_inverse, 0.0)):
        exact = torch.linalg.inv(kernel + ridge * torch.eye(6, dtype=torch.float64))
        (expected,) = torch.autograd.grad((exact * weights).sum(), kernel)
        (found,) = torch.autograd.grad((inverse(kernel) * weights).sum(), kernel)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_attention_is_the_nystroem_form_of_its_definition():
    torch.manual_seed(0)
    attention = SoftmaxFreeAttention(8, 2, ratio=2, kernel=3, normalised=True, iterations=60).double()
    for parameter in attention.parameters():
        nn.init.normal_(parameter)
    tokens, grid = torch.randn(1, 20, 8, dtype=torch.float64), (4, 5)
    query = attention.q(tokens).unflatten(2, (2, 4)).transpose(1, 2) * 4**-0.25
    value = attention.v(tokens).unflatten(2, (2, 4)).transpose(1, 2)
    heads = []
    for q, v, kernel in zip(query[0], value[0], attention.value_conv.weight):
        landmarks = attention.landmarks(q.T.unflatten(1, grid)[None])[0].flatten(1).T  # (4, 4)
        landmarks = nn.functional.gelu(attention.landmark_norm(landmarks))
        across = (-torch.cdist(q, landmarks).square() / 2).exp()
        between = (-torch.cdist(landmarks, landmarks).square() / 2).exp()
        scale = between.sum(-1).rsqrt().diag()
        mixed = across @ scale @ torch.linalg.inv(between) @ scale @ across.T @ v
        local = nn.functional.conv2d(v.T.unflatten(1, grid)[:, None], kernel[None], padding=1)
        heads.append(mixed + local.flatten(1).T)
    expected = attention.proj(torch.cat(heads, dim=1)[None])
    torch.testing.assert_close(attention(tokens, grid).double(), expected, rtol=1e-3, atol=1e-3)


def test_positions_of_224_pixels_are_the_tables(build):
    backbone = build()
    for stage in backbone.stages:
        assert torch.equal(stage.positions((stage.side, stage.side)), stage.pos_embed)
    table = backbone.stages[3].positions((3, 5))
    assert table.shape == (1, 1 + 15, 48)
    assert torch.equal(table[:, 0], backbone.stages[3].pos_embed[:, 0])


def test_what_is_called_drop_path_grows_linearly():
    blocks = [block for stage in SOFT(ARCH, drop_path_rate=0.4).stages for block in stage.blocks]
    rates = [b.dropout.p if hasattr(b, "dropout") else b.drop_path.rate for b in blocks]
    torch.testing.assert_close(torch.tensor(rates), torch.linspace(0, 0.4, 5))


def test_classification(build):
    backbone = build().eval()
    head = backbone.class_head(5)
    with torch.no_grad():
        assert head(backbone.embed(torch.randn(2, 3, 64, 64))).shape == (2, 5)


def test_the_released_sizes_have_the_published_parameters():
    published = {"tiny": 13.1, "small": 38.9, "medium": 45.8}
    for name, millions in published.items():
        with torch.device("meta"):
            backbone = SOFT(name)
            head = backbone.class_head(1000).head
        count = sum(p.numel() for module in (backbone, head) for p in module.parameters())
        assert round(count / 1e6, 1) == millions


def test_an_official_classifier_brings_the_norm_of_the_last_map():
    names = {f"patch_embed{i + 1}.proj.{n}": v for i in range(4) for n, v in _patches(i)}
    blocks = {"block4.0.attn.q.weight": torch.ones(48, 48), "block4.0.attn.kv.weight": torch.zeros(96, 48)}
    converted = converters.convert(
        names | blocks | {"norm.weight": torch.ones(48), "head.bias": torch.ones(3)}
    )
    assert converted["stages.3.blocks.0.attn.qkv.weight"].shape == (144, 48)
    assert converted["stages.3.blocks.0.attn.qkv.weight"][:48].all()
    assert "norm3.weight" in converted
    assert "stages.0.patch_embed.0.weight" in converted
    assert not any("head" in name for name in converted)
    with pytest.raises(CheckpointError, match="no official SOFT checkpoint: 1 unexpected names: stem"):
        converters.convert({"stem": torch.ones(1)})


def _patches(index: int) -> list[tuple[str, torch.Tensor]]:
    return list(SOFT(ARCH).stages[index].patch_embed.state_dict().items())


@pytest.mark.parametrize(
    ("arch", "message"),
    [
        ("tyny", "no size 'tyny'; did you mean 'tiny'"),
        (dict(dims=(8, 8, 8, 8)), "needs dims, depths and num_heads"),
        (dict(ARCH, depths=(1, 1, 1)), "arch has 3 depths, but there are 4 stages"),
        (dict(ARCH, landmark_ratio=(8, 4, 2)), "no key 'landmark_ratio'; did you mean 'landmark_ratios'"),
        (dict(ARCH, landmark_ratios=(8, 4, 1)), "a landmark ratio of 1"),
        (dict(ARCH, num_heads=(3, 2, 2, 4)), "16 channels cannot be shared by 3 heads"),
    ],
)
def test_bad_sizes_are_explained(arch, message):
    with pytest.raises(ConfigError, match=message):
        SOFT(arch)
