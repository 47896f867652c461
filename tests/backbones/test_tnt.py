"""TNT and PyramidTNT: words that stay in their patch, timm as a peer, tables of any grid, the start."""

from __future__ import annotations

import math

import pytest
import timm.models.tnt as timm_tnt
import torch

from dense3d.backbones import TNT, PyramidTNT
from dense3d.checkpoints import convert, convert_head
from dense3d.errors import CheckpointError, ConfigError
from dense3d.layers.squeeze_excite import TokenGate
from dense3d.layers.words_and_sentences import map_of_words, words_of_map

ARCH = dict(embed_dim=32, depth=3, num_heads=4, pretrain_size=64, inner_dim=8, inner_heads=2)
PYRAMID = dict(
    depths=(1, 7, 1, 1),
    outer_dims=(8, 16, 24, 32),
    inner_dims=(2, 2, 4, 4),
    outer_heads=(1, 2, 2, 2),
    inner_heads=(1, 1, 2, 2),
)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def pyramid(**kwargs) -> PyramidTNT:
    return PyramidTNT(PYRAMID, pretrain_size=64, **kwargs)


def test_timm_gives_the_same_logits():
    peer = timm_tnt.TNT(
        img_size=64, embed_dim=32, inner_dim=8, depth=3, num_heads_inner=2, num_heads_outer=4, num_classes=5
    ).eval()
    with torch.no_grad():
        for parameter in peer.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    vit = TNT(ARCH).eval()
    vit.load_state_dict(convert("tnt", peer.state_dict()))
    head = vit.class_head(5).eval()
    head.load_state_dict(convert_head("tnt", peer.state_dict()))
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(head(vit.encode(images)), peer(images), rtol=1e-4, atol=1e-4)


def test_words_see_their_own_patch_alone():
    vit = TNT(ARCH).eval()
    image = torch.randn(1, 3, 32, 48)
    other = image.clone()
    other[:, :, :16, 16:32] += 1  # the second patch
    with torch.no_grad():
        changed = (vit.patch_embed(image)[0] != vit.patch_embed(other)[0]).flatten(1).any(1)
    assert changed.tolist() == [False, True, False, False, False, False]


def test_released_sizes_have_the_published_number_of_parameters():
    for name, millions in (("small", 23.8), ("base", 65.6)):
        with torch.device("meta"):
            vit = TNT(name)
            count = sum(p.numel() for m in (vit, vit.class_head(1000)) for p in m.parameters())
        unused = 196 * vit.embed_dims  # what the official code stores and never reads
        count += unused - 2 * vit.embed_dims  # the norm is in both
        assert count / 1e6 == pytest.approx(millions, abs=0.11), name


def test_the_start_is_the_official_one():
    vit = TNT(dict(ARCH, embed_dim=256, excite=True))
    for name, parameter in vit.named_parameters():
        if name in ("cls_token", "pos_embed", "word_pos") or (
            parameter.ndim == 2 and "conv" not in name and parameter.numel() > 500
        ):
            assert parameter.detach().std().item() == pytest.approx(0.02, rel=0.2), name


def test_a_gate_of_zero_adds_nothing():
    gate = TokenGate(8, 2)
    for layer in (gate.fc[1], gate.fc[3]):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    assert not gate(torch.randn(2, 5, 8)).any()


def test_older_files_of_timm_are_refused():
    state = {"patch_pos": torch.ones(1), "blocks.0.norm1_proj.weight": torch.ones(1)}
    with pytest.raises(CheckpointError, match="legacy"):
        convert("tnt", state)
    with pytest.raises(CheckpointError, match="it lacks"):
        convert("tnt", {"head.bias": torch.ones(1)})
    with pytest.raises(CheckpointError, match="lacks outer_pos"):
        convert("pyramid-tnt", {"head.bias": torch.ones(1)})


@pytest.mark.parametrize(("height", "width"), [(32, 32), (65, 97), (64, 64), (7, 5)])
def test_the_pyramid_at_any_size(height, width):
    model = pyramid(excite=True, qkv_bias=True).eval()
    with torch.no_grad():
        maps = model(torch.randn(2, 3, height, width))
    assert model.out_strides == (8, 16, 32, 64)
    assert [tuple(m.shape) for m in maps] == [
        (2, c, math.ceil(height / s), math.ceil(width / s))
        for c, s in zip(model.out_channels, model.out_strides)
    ]


def test_batched_pyramids_are_single_ones_and_half_precision_is_close():
    model, images = pyramid().eval(), torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        together, alone = model(images), [model(image[None]) for image in images]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = model(images)
    for level, maps in enumerate(together):
        torch.testing.assert_close(maps, torch.cat([m[level] for m in alone]), rtol=1e-4, atol=1e-4)
        assert (half[level].float() - maps).abs().mean() < 0.1


def test_pyramids_train_with_and_without_checkpointing():
    results = []
    for with_cp in (False, True):
        torch.manual_seed(0)
        model = pyramid(with_cp=with_cp, drop_path_rate=0.3).train()
        torch.manual_seed(1)
        sum(m.square().sum() for m in model(torch.randn(2, 3, 64, 64))).backward()
        assert [n for n, p in model.named_parameters() if p.grad is None] == []
        results.append({n: p.grad for n, p in model.named_parameters()})
    for name, gradient in results[0].items():
        torch.testing.assert_close(results[1][name], gradient, rtol=1e-4, atol=1e-4, msg=name)


def test_pyramids_freeze_tables_with_their_stages():
    model = pyramid(frozen_stages=2).train()
    frozen = {n for n, p in model.named_parameters() if not p.requires_grad}
    assert {"inner_pos", "outer_pos", "stages.0.relative_pos", "stages.1.relative_pos"} <= frozen
    assert not any(n.startswith(("stages.2", "stages.3")) for n in frozen)
    ids = model.layer_ids()
    assert ids["outer_pos"] == 0 and ids["stages.1.relative_pos"] == 2 and ids["norm3.weight"] == 11
    part = pyramid(out_indices=(1,))
    assert not part.stages[2].relative_pos.requires_grad
    part(torch.randn(1, 3, 64, 64))[0].sum().backward()
    assert [n for n, p in part.named_parameters() if p.requires_grad and p.grad is None] == []


def test_tables_of_relative_positions_fit_other_grids():
    stage = pyramid().stages[1]  # keys of half the grid
    assert stage.relative_bias((4, 4)) is stage.relative_pos
    with torch.no_grad():
        stage.relative_pos.copy_(torch.arange(2.0)[None, :, None, None].expand_as(stage.relative_pos))
        resized = stage.relative_bias((6, 8))
    assert resized.shape == (1, 2, 48, 12)
    torch.testing.assert_close(resized, torch.arange(2.0)[None, :, None, None].expand_as(resized))


def test_only_first_blocks_of_a_stage_have_words():
    assert [[b.has_inner for b in stage.blocks] for stage in pyramid().stages] == [
        [True],
        [True, True] + [False] * 5,
        [True],
        [True],
    ]


def test_words_go_to_maps_and_back():
    words = torch.randn(2, 3, 8, 12)
    assert torch.equal(map_of_words(words_of_map(words), (2, 3)), words)
    assert torch.equal(words_of_map(words)[1].flatten(), words[0, :, :4, 4:8].permute(1, 2, 0).flatten())


def test_word_merges_keep_to_their_sentences():
    merge = pyramid().word_merges[0]
    words = torch.randn(4 * 4, 16, 2)
    other = words.clone()
    other[0] += torch.randn(16, 2)
    with torch.no_grad():
        changed = (merge(words, (4, 4)) != merge(other, (4, 4))).flatten(1).any(1)
    assert changed.tolist() == [True, False, False, False]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(arch="smal"), "no PyramidTNT is called 'smal'.*small"),
        (dict(arch=dict(PYRAMID, depth=3)), "has no 'depth'.*depths"),
        (dict(arch=dict(depths=(1, 1, 1, 1))), "lacks 'outer_dims'"),
        (dict(arch=dict(PYRAMID, depths=(1, 1))), "has 4 stages"),
        (dict(arch=dict(PYRAMID, outer_heads=(3, 2, 2, 2))), "8 channels cannot be shared by 3 heads"),
        (dict(arch=PYRAMID, pretrain_size=16), "give 32 pixels or more"),
    ],
)
def test_bad_pyramids_are_explained(arguments, message):
    with pytest.raises(ConfigError, match=message):
        PyramidTNT(**arguments)


def test_a_pyramid_classifies():
    model = pyramid().eval()
    head = model.class_head(5).eval()
    with torch.no_grad():
        x = model.stem(torch.ones(1, 3, 64, 64))
        for index in range(4):
            x = model.stage(index, x)
        assert head(model.to_map(x)).shape == (1, 5)
