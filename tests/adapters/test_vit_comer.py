"""ViT-CoMer: properties that hold beside the numbers of the kits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dense3d.adapters import ViTCoMer
from dense3d.adapters.interaction import (
    PyramidAttention,
    add_to_middle,
    join_pyramid,
    pyramid_shapes,
    split_pyramid,
)
from dense3d.engine.optim import LayerDecayOptimWrapperConstructor
from dense3d.errors import ConfigError
from tests.golden.kit import GoldenKit
from tests.golden.vit_comer import _build, _official_ids

ARCH = dict(name="deit_tiny_patch16", embed_dim=64, depth=4, num_heads=2)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def build(**kwargs) -> ViTCoMer:
    vit = dict(arch=ARCH, prefix_tokens=False) | kwargs.pop("vit", {})
    return ViTCoMer(vit, stem_width=8, num_heads=4, **kwargs).eval()


def test_the_transformer_starts_untouched():
    """gamma is 0: the tokens are those of the transformer alone."""
    model, images = build(), torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        _, outputs, grid = model.interact(images)
        tokens, _ = model.vit.embed(images)
        assert torch.equal(outputs[-1][0], model.vit.run_blocks(tokens, grid))


def test_the_pyramid_reaches_the_transformer_when_gamma_is_not_zero():
    with torch.no_grad():
        model, images = build(gamma_init=0.5), torch.randn(1, 3, 64, 96)
        tokens, grid = model.vit.embed(images)
        assert not torch.allclose(model.interact(images)[1][-1][0], model.vit.run_blocks(tokens, grid))


def test_prefix_tokens_run_along_and_stay_out_of_the_exchange():
    model = build(vit=dict(prefix_tokens=True))
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        _, outputs, grid = model.interact(images)
        tokens, _ = model.vit.embed(images)
        assert outputs[-1][0].shape == (1, 24, 64)
        assert torch.equal(outputs[-1][0], model.vit.run_blocks(tokens, grid)[:, 1:])


@pytest.mark.parametrize("stagewise", [False, True])
def test_which_tokens_reach_which_map(stagewise):
    model = build(stagewise=stagewise)
    grid = (4, 6)
    c1, c = torch.zeros(1, 64, 16, 24), torch.zeros(1, 21 * 6, 64)
    with torch.no_grad():
        torch.nn.init.zeros_(model.up.bias)
        patches = [torch.full((1, 24, 64), float(k)) for k in range(1, 5)]
        maps = model.merge(c1, c, patches, grid)
    means = [m.mean().item() for m in maps]
    assert means == pytest.approx([1, 2, 3, 4] if stagewise else [4, 4, 4, 4], rel=1e-4)


def test_without_vit_features_the_maps_are_the_pyramid():
    model = build(add_vit_feature=False)
    c = torch.randn(1, 21 * 6, 64)
    with torch.no_grad():
        maps = model.merge(torch.zeros(1, 64, 16, 24), c, [torch.randn(1, 24, 64)], (4, 6))
    torch.testing.assert_close(maps[2], split_pyramid(c, (4, 6))[1] / (1 + 1e-5) ** 0.5)


def test_switched_off_directions_have_no_parameters():
    model = build(
        cnn_to_vit=[True, False, True, False],
        vit_to_cnn=[False, True, True, False],
        cnn_interaction=[True, False, True, True],
        extra_interactions=1,
    )
    stages = list(model.interactions)
    assert [s.to_vit is not None for s in stages] == [True, False, True, False]
    assert [s.mrfp is not None for s in stages] == [True, False, True, False]
    assert [len(s.to_cnn) for s in stages] == [0, 1, 1, 1]
    assert stages[1].to_cnn[0].interaction is None
    with torch.no_grad():
        assert len(model(torch.randn(1, 3, 64, 64))) == 4


def test_pyramid_tokens_are_row_major_levels():
    c = torch.arange(21 * 6.0).view(1, -1, 1)
    maps = split_pyramid(c, (4, 6))
    assert [tuple(m.shape[-2:]) for m in maps] == pyramid_shapes((4, 6)) == [(8, 12), (4, 6), (2, 3)]
    assert maps[1][0, 0, 1, 2] == 96 + 6 + 2
    assert torch.equal(join_pyramid(maps), c)
    added = add_to_middle(c, torch.ones(1, 24, 1)) - c
    assert added.flatten().nonzero().flatten().tolist() == list(range(96, 120))


def test_attention_that_looks_at_its_own_cell_gives_the_own_level_back():
    """No offsets, all weight on the own level: identity up to the projections."""
    attention = PyramidAttention(8, 2, 1, 1.0)
    with torch.no_grad():
        for linear in (attention.value_proj, attention.output_proj):
            linear.weight.copy_(torch.eye(8))
        torch.nn.init.zeros_(attention.sampling_offsets.bias)
        attention.attention_weights.bias.copy_(torch.tensor([0.0, 50.0, 0.0] * 2))
    grid = (4, 6)
    c = torch.randn(1, 21 * 6, 8)
    out = split_pyramid(attention(torch.randn(1, 21 * 6, 8), c, grid), grid)
    middle = split_pyramid(c, grid)[1]
    torch.testing.assert_close(out[1], middle)
    fine = F.grid_sample(middle, cell_grid(8, 12), align_corners=False)  # zero outside
    torch.testing.assert_close(out[0], fine)


def cell_grid(height: int, width: int) -> torch.Tensor:
    y, x = ((torch.arange(n) + 0.5) / n * 2 - 1 for n in (height, width))
    return torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1)[None]


def test_drop_path_of_the_added_parts_is_that_of_the_last_block():
    model = build(vit=dict(drop_path_rate=0.3))
    rates = {m.rate for m in model.interactions.modules() if hasattr(m, "rate")}
    assert rates == {0.3}


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(stages=[(0, 1), (3, 3)]), r"with 4 blocks.*starts where the one before it ends"),
        (dict(stages=[(0, 4)]), "with 4 blocks"),
        (dict(stages=[(0, 0), (1, 1)]), "leave out those from 2 on: end the last stage at 3"),
        (dict(stages=[]), "leave out those from 0 on"),
        (dict(vit=dict(arch=dict(ARCH, num_heads=8)), value_ratio=0.3), "4 heads .* values of 19 channels"),
        (dict(stages=[(0, 1), (2, 3)], stagewise=True), "each of the 4 maps, not 2"),
        (dict(cnn_to_vit=[True]), "cnn_to_vit has 1 entries.*4 stages"),
    ],
)
def test_bad_arguments_are_explained(kwargs, message):
    with pytest.raises(ConfigError, match=message):
        build(**kwargs)


@pytest.mark.parametrize(
    ("arch", "options", "millions"),
    [
        (dict(name="deit_tiny_patch16", pretrain_size=592), {}, 8.96),
        (dict(name="deit_small_patch16", pretrain_size=592), {}, 30.46),
        (dict(name="deit_base_patch16", pretrain_size=592), dict(num_heads=12, value_ratio=0.5), 109.05),
        (dict(name="deit_tiny_patch16"), dict(mrfp_ratio=6.0, stagewise=True), 10.62),
        (dict(name="deit_small_patch16"), dict(mrfp_ratio=1.5, stagewise=True), 31.28),
        (
            dict(name="deit_base_patch16"),
            dict(num_heads=12, value_ratio=0.5, mrfp_ratio=1.0, stagewise=True),
            110.60,
        ),
    ],
)
def test_parameters_as_counted_in_the_official_code(arch, options, millions):
    with torch.device("meta"):
        model = ViTCoMer(dict(arch=dict(**arch, layer_scale=1.0), prefix_tokens=False), **options)
    count = sum(p.numel() for p in model.parameters()) / 1e6
    assert count == pytest.approx(millions, abs=0.006)


def test_our_optimiser_gives_every_parameter_the_official_rate_and_decay(golden_dir):
    kit = GoldenKit(golden_dir / "vit-comer")
    model = _build(kit)
    inputs, stored = kit.inputs("layer_decay"), kit.outputs("layer_decay")
    optimizer = dict(type="AdamW", lr=float(inputs["lr"]), weight_decay=float(inputs["weight_decay"]))
    constructor = LayerDecayOptimWrapperConstructor(
        dict(optimizer=optimizer), dict(decay_rate=float(inputs["layer_decay_rate"]))
    )
    groups = constructor(torch.nn.ModuleDict({"backbone": model})).optimizer.param_groups
    ours = {id(p): (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    official = sorted(zip(stored["lr"].tolist(), stored["weight_decay"].tolist()))
    found = sorted((float(np.float32(lr)), float(np.float32(decay))) for lr, decay in ours.values())
    np.testing.assert_allclose(found, official, rtol=1e-6)
    assert len(_official_ids(kit, model)) == len(official)
