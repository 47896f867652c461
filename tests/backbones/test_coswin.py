"""CoSwin: Swin as a peer, and what its golden kit does not exercise."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dense3d.backbones import CoSwin, Swin
from dense3d.checkpoints import convert
from dense3d.errors import CheckpointError, ConfigError

ARCH = dict(embed_dim=16, depths=(2, 2, 2), num_heads=(2, 2, 4))


def test_without_influence_it_is_swin():
    torch.manual_seed(0)
    coswin = CoSwin(ARCH).eval()
    swin = Swin(ARCH, window_size=4, mlp_ratio=2.0, shift_small_maps=False, out_indices=(0, 1, 2)).eval()
    own = {n: v for n, v in coswin.state_dict().items() if "local" not in n and "influence" not in n}
    swin.load_state_dict(own)
    image = torch.randn(2, 3, 64, 80)
    with torch.no_grad():
        assert (coswin(image)[0] - swin(image)[0]).abs().max() > 1e-3
        for name, parameter in coswin.named_parameters():
            if name.endswith("influence"):
                parameter.fill_(-torch.inf)
        for a, b in zip(coswin(image), swin(image)):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_the_branch_sees_the_map_whole_and_without_norm():
    torch.manual_seed(0)
    block = CoSwin(ARCH).blocks(0)[1].eval()
    x = 3 + torch.randn(2, 6, 5, 16)  # no whole windows of 4
    with torch.no_grad():
        nn.init.zeros_(block.attn.proj.weight)
        nn.init.zeros_(block.mlp[3].weight)
        convs = block.local.conv2(torch.relu(block.local.conv1(x.permute(0, 3, 1, 2))))
        expected = x + torch.sigmoid(torch.tensor(0.5)) * convs.permute(0, 2, 3, 1)
        torch.testing.assert_close(block(x), expected, rtol=1e-4, atol=1e-5)
    assert block.local.conv1.weight.shape == (17, 16, 3, 3)


def test_published_network():
    with torch.device("meta"):
        backbone = CoSwin(patch_size=2)
        backbone.drop_output_norms()
        head = backbone.class_head(10)
    assert backbone.out_strides == (2, 4, 8) and head.norm.eps == 1e-5
    count = sum(p.numel() for part in (backbone, head) for p in part.parameters()) / 1e6
    assert round(count, 1) == 23.5
    assert CoSwin(dict(ARCH, depths=(1, 1, 1))).blocks(0)[0].influence.item() == 0.5


def test_windows_of_each_stage():
    backbone = CoSwin(ARCH, window_size=(4, 4, 2))
    assert [len(backbone.blocks(i)[0].attn.relative_position_bias_table) for i in range(3)] == [49, 49, 9]
    with pytest.raises(ConfigError, match="2 window sizes, but 3 stages"):
        CoSwin(ARCH, window_size=(4, 4))


def test_half_precision_is_close():
    torch.manual_seed(0)
    backbone, images = CoSwin(ARCH).eval(), torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        exact = backbone(images)
        with torch.autocast("cpu", torch.bfloat16):
            rough = backbone(images)
    for a, b in zip(exact, rough):
        assert b.isfinite().all()
        assert (a - b.float()).abs().mean() < 0.05 * a.abs().mean()


def test_files_of_the_authors(tmp_path):
    torch.manual_seed(0)
    source = CoSwin(ARCH, output_norm=False)
    official = {"norm.weight": torch.ones(64), "head.bias": torch.ones(10)}
    for name, value in source.state_dict().items():
        name = name.replace("influence", "convInfluenceWeight").replace("local.conv1", "conv.conv.0")
        name = (
            name.replace("local.conv2", "conv.conv.2").replace("mlp.0", "mlp.fc1").replace("mlp.3", "mlp.fc2")
        )
        official[name] = value
    official["layers.0.blocks.1.attn_mask"] = torch.zeros(4, 16, 16)
    official["layers.0.blocks.1.attn.relative_position_index"] = torch.zeros(16, 16)
    torch.save({"model_state_dict": official}, tmp_path / "coswin.pth")
    target = CoSwin(ARCH, init_cfg=dict(type="Pretrained", checkpoint=str(tmp_path / "coswin.pth")))
    target.init_weights()
    for name, value in source.state_dict().items():
        assert torch.equal(target.state_dict()[name], value)
    table = convert("coswin", {"absolute_pos_embed": torch.arange(8.0).view(1, 4, 2)})["absolute_pos_embed"]
    assert table.shape == (1, 2, 2, 2) and table[0, :, 0, 1].tolist() == [2, 3]
    with pytest.raises(CheckpointError, match="no official CoSwin checkpoint: 1 unexpected name"):
        convert("coswin", {"layers.0.blocks.0.gamma": torch.ones(1)})


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: CoSwin("publised"), "no size 'publised'; did you mean 'published'"),
        (lambda: CoSwin(dict(embed_dim=16, depths=(1,))), "needs embed_dim, depths and num_heads"),
        (lambda: CoSwin(ARCH, version=2), "built on Swin V1 without version"),
    ],
)
def test_bad_arguments_are_explained(build, message):
    with pytest.raises(ConfigError, match=message):
        build()
