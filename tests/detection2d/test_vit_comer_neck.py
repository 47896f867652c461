"""The neck of ViT-CoMer's Co-DETR model, alone and on the backbone."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from dense3d.adapters import ViTCoMer
from dense3d.backbones.vit_architectures import TINY
from dense3d.detection2d.vit_comer_neck import ViTCoMerNeck
from dense3d.errors import ConfigError

SIDES = (52, 75)
STRIDES = (16, 4, 8, 16, 32)


def maps(dim: int = 16, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(2, dim, *(-(-side // stride) for side in SIDES), generator=generator)
        for stride in STRIDES
    ]


def normalised(x: torch.Tensor, layer: torch.nn.Module) -> torch.Tensor:
    mean, variance = x.mean(1, keepdim=True), x.var(1, keepdim=True, unbiased=False)
    x = (x - mean) / (variance + 1e-6).sqrt()
    return x * layer.weight[:, None, None] + layer.bias[:, None, None]


@pytest.fixture
def neck():
    torch.manual_seed(0)
    neck = ViTCoMerNeck([16] * 5, 8).eval()
    for parameter in neck.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return neck


def test_sizes_of_an_odd_image(neck):
    found = [tuple(m.shape[1:]) for m in neck(maps())]
    assert found == [(8, -(-SIDES[0] // s), -(-SIDES[1] // s)) for s in (4, 8, 16, 32, 64)]


def test_scales_by_their_formulas(neck):
    """Stride 8: each cell twice, 3x3, norm, GELU, 1x1, norm, GELU, 3x3, norm; stride 16 from the 1x1 on."""
    vit_map, *features = inputs = maps()
    outputs = neck(inputs)

    def tail(x: torch.Tensor, layers) -> torch.Tensor:
        narrow, norm1, _, spread, norm2 = layers
        x = F.gelu(normalised(F.conv2d(x, narrow.weight), norm1))
        return normalised(F.conv2d(x, spread.weight, padding=1), norm2)

    def lateral(index: int) -> torch.Tensor:
        return torch.einsum("bchw,dc->bdhw", features[index], neck.laterals[index].weight[:, :, 0, 0])

    torch.testing.assert_close(outputs[2], tail(vit_map, neck.scales[2]) + lateral(2), rtol=1e-4, atol=1e-5)
    _, conv, norm, *layers = neck.scales[1]
    twice = vit_map.repeat_interleave(2, 2).repeat_interleave(2, 3)
    enlarged = F.gelu(normalised(F.conv2d(twice, conv.weight, padding=1), norm))
    height, width = outputs[1].shape[-2:]
    expected = tail(enlarged, layers[1:])[..., :height, :width] + lateral(1)
    torch.testing.assert_close(outputs[1], expected, rtol=1e-4, atol=1e-5)
    pooled = F.max_pool2d(vit_map, 3, 2, 1)
    torch.testing.assert_close(
        outputs[3], tail(pooled, neck.scales[3][1:]) + lateral(3), rtol=1e-4, atol=1e-5
    )


def test_the_coarsest_map_comes_from_the_vit_alone(neck):
    inputs, others = maps(), maps(seed=1)
    same = neck([inputs[0], *others[1:]])
    torch.testing.assert_close(neck(inputs)[-1], same[-1])
    assert not torch.allclose(neck(inputs)[0], same[0])


def test_on_the_backbone():
    """The map before the four is the ViT's, cut to the image; the four stay what they are without it."""
    settings = dict(vit=dict(arch=TINY["BEiT"], prefix_tokens=False), num_heads=4, stem_width=8)
    torch.manual_seed(0)
    plain = ViTCoMer(**settings).eval()
    backbone = ViTCoMer(**settings, with_vit_map=True).eval()
    backbone.load_state_dict(plain.state_dict())
    images = torch.randn(1, 3, *SIDES)
    with torch.no_grad():
        vit_map, *four = backbone(images)
        torch.testing.assert_close(tuple(four), plain(images))
        padded = F.pad(images, (0, -SIDES[1] % 32, 0, -SIDES[0] % 32))
        patches = backbone.interact(padded)[1][-1][0]  # (1, h * w, D)
        pyramid = ViTCoMerNeck(backbone.out_channels, 8).eval()((vit_map, *four))
    grid = tuple(side // 16 for side in padded.shape[-2:])
    expected = patches[0].T.unflatten(1, grid)[:, : vit_map.shape[2], : vit_map.shape[3]]
    torch.testing.assert_close(vit_map[0], expected)
    assert backbone.out_strides == STRIDES
    assert [tuple(m.shape[-2:]) for m in pyramid[:-1]] == [tuple(m.shape[-2:]) for m in four]


@pytest.mark.parametrize("channels", [[16] * 4, [8, 16, 16, 16, 16]])
def test_other_maps_are_refused(channels):
    with pytest.raises(ConfigError, match="with_vit_map"):
        ViTCoMerNeck(channels)
