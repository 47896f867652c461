"""CrossFormer and CrossFormer++: what their golden kits do not exercise."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dense3d.backbones import CrossFormer
from dense3d.backbones.crossformer import ARCHITECTURES
from dense3d.checkpoints import convert
from dense3d.checkpoints.crossformer import convert_head
from dense3d.errors import CheckpointError, ConfigError

ARCH = dict(embed_dim=16, depths=(2, 2, 4, 1), num_heads=(1, 2, 2, 4), group_size=2)


def test_a_small_image_leaves_no_trace():
    """The official block keeps the kind of attention that a small map had."""
    torch.manual_seed(0)
    backbone = CrossFormer(ARCH, group_size=4).eval()
    large, small = torch.randn(1, 3, 192, 160), torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        before = backbone(large)
        backbone(small)
        after = backbone(large)
    assert all(torch.equal(a, b) for a, b in zip(before, after))


def test_adaptive_groups_reach_over_the_map():
    torch.manual_seed(0)
    adaptive = CrossFormer(ARCH, interval="adaptive").eval()
    fixed = CrossFormer(ARCH, interval=(8, 4, 2, 1)).eval()
    fixed.load_state_dict(adaptive.state_dict())
    with torch.no_grad():
        image, other = torch.randn(1, 3, 64, 64), torch.randn(1, 3, 64, 128)  # the map 16 x 16, 16 / 2 = 8
        assert all(torch.equal(a, b) for a, b in zip(adaptive(image), fixed(image)))
        assert (adaptive(other)[0] - fixed(other)[0]).abs().max() > 1e-3


def test_far_groups_join_distant_tokens_and_near_ones_do_not():
    torch.manual_seed(0)
    near, far = CrossFormer(ARCH).blocks(0)
    x = torch.randn(1, 32, 32, 16, requires_grad=True)
    for block, expected in ((near, {0, 1}), (far, {0, 8})):
        x.grad = None
        block.attend(x)[0, 0, 0].sum().backward()
        rows, columns = x.grad[0].abs().sum(-1).nonzero().t().tolist()
        assert set(rows) == set(columns) == expected


def test_cooling_layers_stand_after_every_third_block_but_the_last():
    for depth, expected in ((1, []), (3, []), (4, [2]), (7, [2, 5]), (18, [2, 5, 8, 11, 14])):
        backbone = CrossFormer(dict(ARCH, depths=(1, 1, depth, 1), cooling=True))
        assert [i for i, block in enumerate(backbone.blocks(2)) if block.cooling is not None] == expected


def test_channels_of_the_kernels():
    backbone = CrossFormer(
        dict(ARCH, embed_dim=32), patch_sizes=(4, 8, 16), merge_sizes=((2,), (2, 4, 8), (2, 4))
    )
    assert [conv.out_channels for conv in backbone.patch_embed.proj.convs] == [16, 8, 8]
    widths = [[c.out_channels for c in backbone.downsampling(i).reduction.convs] for i in (1, 2, 3)]
    assert widths == [[64], [64, 32, 32], [128, 128]]
    assert [tuple(m.shape[1:]) for m in backbone(torch.zeros(1, 3, 64, 32))] == [
        (32, 16, 8),
        (64, 8, 4),
        (128, 4, 2),
        (256, 2, 1),
    ]


def test_initial_weights():
    torch.manual_seed(0)
    backbone = CrossFormer(dict(ARCH, embed_dim=64))
    block = backbone.blocks(3)[0]
    for linear in (block.attn.qkv, block.attn.proj, block.mlp.fc1, block.mlp.fc2):
        assert 0.019 < linear.weight.std() < 0.021 and not linear.bias.any()
    head = backbone.class_head(50)
    assert isinstance(head.norm, nn.LayerNorm) and head.norm.eps == 1e-5
    assert 0.019 < head.head.weight.std() < 0.021 and not head.head.bias.any()


def test_half_precision_is_close():
    torch.manual_seed(0)
    backbone = CrossFormer(dict(ARCH, cooling=True), group_size=3).eval()
    images = torch.randn(2, 3, 70, 96)
    with torch.no_grad():
        exact = backbone(images)
        with torch.autocast("cpu", torch.bfloat16):
            rough = backbone(images)
    for a, b in zip(exact, rough):
        assert b.isfinite().all()
        assert (a - b.float()).abs().mean() < 0.05 * a.abs().mean()


def test_files_with_tables_of_older_code_load_and_others_are_refused():
    tail = {"norm.weight": torch.ones(4), "head.bias": torch.ones(2)}
    block = "layers.0.blocks.0."
    state = {
        f"{block}attn.pos.pos2.2.weight": torch.ones(1, 1),
        f"{block}attn.biases": torch.ones(9, 2),
        f"{block}attn.relative_position_index": torch.ones(4, 4),
        f"{block}attn_mask": torch.ones(1),
    }
    assert list(convert("crossformer", state | tail)) == [f"{block}attn.position.mlp.6.weight"]
    assert convert_head(state | tail) == tail
    with pytest.raises(CheckpointError, match="no official CrossFormer checkpoint: 1 unexpected name"):
        convert("crossformer", {"layers.0.blocks.0.attn.logit_scale": torch.ones(1)})


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: CrossFormer("pp_smal"), "no size 'pp_smal'; did you mean 'pp_small'"),
        (lambda: CrossFormer(dict(ARCH, intervals=3)), "no key 'intervals'; did you mean 'interval'"),
        (
            lambda: CrossFormer(dict(embed_dim=16)),
            "arch needs embed_dim, depths, num_heads, but has embed_dim",
        ),
        (lambda: CrossFormer(ARCH, group_size=(7, 7)), r"4 stages, but group_size=\(7, 7\)"),
        (lambda: CrossFormer(ARCH, interval="adaptiv"), "interval='adaptiv': give one for each"),
        (lambda: CrossFormer(ARCH, merge_sizes=((2,),)), "merges 3 times, but merge_sizes has 1"),
        (lambda: CrossFormer(dict(ARCH, num_heads=(3, 2, 2, 4))), "3 heads of stage 0 do not divide its 16"),
        (lambda: CrossFormer(dict(ARCH, embed_dim=8)), "embed_dim=8, but 16 or more"),
    ],
)
def test_bad_architectures_are_explained(build, message):
    with pytest.raises(ConfigError, match=message):
        build()


@pytest.mark.parametrize(
    ("name", "millions"),
    [("tiny", 27.8), ("small", 30.7), ("base", 52.0), ("large", 92.0), ("pp_small", 23.3), ("pp_huge", 96)],
)
def test_parameters_as_published(name, millions):
    with torch.device("meta"):
        backbone = CrossFormer(ARCHITECTURES[name])
        parts = (backbone, backbone.class_head(1000))
    count = sum(p.numel() for part in parts for p in part.parameters()) / 1e6
    assert abs(count - millions) < 0.02 * millions
