"""The Swin with [DET] tokens: patches as in Swin, tokens that see what they may, sizes, weights."""

from __future__ import annotations

import pytest
import torch

from dense3d.backbones import Swin
from dense3d.detection2d.vidt import ReconfiguredSwin
from dense3d.detection2d.vidt.body import NANO, padding_of, reconfigured_block, resize_mask
from dense3d.errors import ConfigError, DataError

ARCH = dict(embed_dim=16, depths=(1, 1, 2, 1), num_heads=(1, 1, 2, 2))


def body(**changes) -> ReconfiguredSwin:
    torch.manual_seed(0)
    defaults = dict(arch=ARCH, num_det_tokens=6, pos_dim=32, window_size=4, drop_path_rate=0.0)
    return ReconfiguredSwin(**defaults | changes).eval()


@pytest.mark.parametrize("size", [(64, 96), (33, 50), (37, 129)])
def test_patches_are_those_of_swin(size):
    """Peer: patches see no [DET] token, so that a plain Swin with the same weights gives the same maps."""
    ours = body(cross_indices=(1, 2, 3))
    swin = Swin(ARCH, window_size=4, output_norm=False, drop_path_rate=0.0).eval()
    swin.load_state_dict({n: v for n, v in ours.state_dict().items() if n in swin.state_dict()})
    images = torch.randn(1, 3, *size)
    maps = ours(images)
    for mine, theirs in zip(maps, swin(images)[1:]):
        torch.testing.assert_close(mine, theirs)
    sizes = [tuple(-(-side // stride) for side in size) for stride in (8, 16, 32, 64)]
    assert [tuple(m.shape[-2:]) for m in maps] == sizes
    assert [m.shape[1] for m in maps] == list(ours.out_channels)


def test_tokens_see_patches_in_the_stages_of_cross_indices_alone():
    images = torch.randn(2, 3, 64, 64)
    blind = body(cross_indices=()).encode(images).det
    torch.testing.assert_close(blind[0], blind[1])
    assert not torch.allclose(*body().encode(images).det)


def test_tokens_do_not_see_the_padding():
    network = body()
    block = network.blocks(3)[0]
    x, det = torch.randn(1, 2, 3, 128), torch.randn(1, 6, 128)
    bias = torch.zeros(1, 1, 1, 12)
    bias[..., 4:6] = -100  # the last two patches
    position = torch.randn(1, 6, 128)
    changed = x.clone()
    changed[0, 1, 1:] += 1.0
    arguments = (det, torch.zeros(1, 6, 128), position, bias)
    before, after = (reconfigured_block(block, patches, *arguments)[1] for patches in (x, changed))
    torch.testing.assert_close(before, after)
    seen = reconfigured_block(block, changed, *arguments[:3], torch.zeros_like(bias))[1]
    assert not torch.allclose(before, seen)


def test_checkpointing_changes_nothing():
    images = torch.randn(1, 3, 64, 64)
    gradients = []
    for with_cp in (False, True):
        network = body(with_cp=with_cp).train()
        network.encode(images).det.square().sum().backward()
        gradients.append(network.patch_embed.proj.weight.grad)
    torch.testing.assert_close(*gradients)


def test_a_sample_drops_patches_and_tokens_together():
    """Stochastic depth with rate 1 leaves both kinds of tokens as they are."""
    block = body(drop_path_rate=0.5).train().blocks(0)[0]
    block.stochastic_depth.p = 1.0
    x, det = torch.randn(1, 4, 4, 16), torch.randn(1, 6, 16)
    patches, tokens = reconfigured_block(block, x, det, torch.zeros(1, 6, 16), None, None)
    assert torch.equal(patches, x) and torch.equal(tokens, det)


def test_initial_weights():
    network = body(arch="nano", num_det_tokens=300, pos_dim=256)
    assert network.channels == tuple(48 * 2**i for i in range(4)) and network.depths == NANO["depths"]
    for parameter in (network.det_token, network.det_pos_embed, network.det_pos_linear[2][1].weight):
        assert 0.018 < parameter.std() < 0.022 and parameter.mean().abs() < 0.001
    assert 0.018 < network.last_merging.reduction.weight.std() < 0.022
    assert not network.det_pos_linear[0][0].bias.any()


def test_depths_for_layer_wise_decay():
    ids = body().layer_ids()
    assert ids["det_token"] == ids["patch_embed.proj.weight"] == 0
    assert ids["det_pos_linear.2.1.weight"] == ids["layers.2.blocks.1.norm1.weight"] == 4
    assert ids["last_merging.norm.weight"] == ids["layers.3.blocks.0.norm1.weight"] == 5


def test_weights_of_a_plain_swin(tmp_path):
    swin = Swin(ARCH, window_size=4, output_norm=False)
    official = {
        n.replace(".mlp.0.", ".mlp.fc1.").replace(".mlp.3.", ".mlp.fc2."): v
        for n, v in swin.state_dict().items()
    }
    torch.save(
        {"model": official | {"norm.weight": torch.ones(128), "head.bias": torch.ones(3)}},
        tmp_path / "swin.pth",
    )
    network = body(init_cfg=dict(type="Pretrained", checkpoint=str(tmp_path / "swin.pth")))
    tokens = network.det_token.clone()
    network.init_weights()
    assert torch.equal(network.layers[3].blocks[0].attn.qkv.weight, swin.layers[3].blocks[0].attn.qkv.weight)
    assert torch.equal(network.det_token, tokens)


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(num_det_tokens=0), "num_det_tokens=0"),
        (dict(cross_indices=(4,)), r"cross_indices=\(4,\), but the stages are 0..3"),
        (dict(version=2), "ReconfiguredSwin has no version"),
        (dict(arch="tini"), "no size 'tini'"),
    ],
)
def test_bad_arguments(changes, message):
    with pytest.raises(ConfigError, match=message):
        body(**changes)


def test_bad_images():
    with pytest.raises(DataError, match=r"takes images of shape \(B, 3, H, W\)"):
        body().encode(torch.zeros(1, 4, 64, 64))


def test_padding_of_a_batch(batch):
    images, samples = batch(contents=((64, 96), (40, 60)))
    padding = padding_of(images, samples)
    assert padding[0].sum() == 0 and (~padding[1]).sum() == 40 * 60
    assert padding_of(images, batch()[1]) is None and padding_of(images, None) is None
    assert resize_mask(padding, (8, 12))[1].sum() == 96 - 5 * 8
