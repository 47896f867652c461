"""Layer-wise decay of the learning rate, by closed forms."""

from __future__ import annotations

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

from dense3d.backbones import ConvNeXt, FocalNet, Swin, TimmBackbone
from dense3d.engine.optim import LayerDecayOptimWrapperConstructor
from dense3d.errors import ConfigError

SWIN = dict(embed_dim=8, depths=(1, 2), num_heads=(1, 2))


class Model(nn.Module):
    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(4, 2)


def rates(model: nn.Module, **paramwise_cfg) -> dict[str, tuple[float, float]]:
    """Learning rate and weight decay of every optimised parameter, of 1 and 0.1."""
    constructor = LayerDecayOptimWrapperConstructor(
        dict(type="OptimWrapper", optimizer=dict(type="AdamW", lr=1.0, weight_decay=0.1)), paramwise_cfg
    )
    groups = constructor(model).optimizer.param_groups
    found = {id(p): (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    assert len(found) == sum(len(g["params"]) for g in groups)
    return {n: found[id(p)] for n, p in model.named_parameters() if id(p) in found}


def test_each_block_is_one_power_further_from_the_head():
    model = Model(Swin(SWIN, out_indices=(0, 1)))
    found = rates(model, decay_rate=0.5)
    assert set(found) == {name for name, _ in model.named_parameters()}
    expected = {
        "backbone.patch_embed.proj.weight": (0.5**4, 0.1),
        "backbone.patch_embed.proj.bias": (0.5**4, 0.0),
        "backbone.layers.0.blocks.0.attn.qkv.weight": (0.5**3, 0.1),
        "backbone.layers.0.downsample.reduction.weight": (0.5**3, 0.1),
        "backbone.layers.1.blocks.0.norm1.weight": (0.5**2, 0.0),
        "backbone.layers.1.blocks.1.mlp.0.weight": (0.5**1, 0.1),
        "backbone.layers.1.blocks.1.attn.relative_position_bias_table": (0.5**1, 0.0),
        "backbone.norm1.weight": (1.0, 0.0),
        "head.weight": (1.0, 0.1),
        "head.bias": (1.0, 0.0),
    }
    assert {name: found[name] for name in expected} == expected


def test_a_rate_of_one_is_plain_training():
    for backbone in (Swin(SWIN, out_indices=(0, 1)), TimmBackbone("resnet18")):
        assert {lr for lr, _ in rates(Model(backbone), decay_rate=1).values()} == {1.0}


def test_frozen_parameters_are_not_optimised():
    model = Model(Swin(SWIN, out_indices=(0, 1), frozen_stages=1))
    found = rates(model, decay_rate=0.5)
    assert set(found) == {name for name, p in model.named_parameters() if p.requires_grad}
    assert not any(name.startswith("backbone.layers.0") for name in found)


@pytest.mark.parametrize(("blocks", "num_layers"), [(6, 5), (9, 6), (27, 12)])
def test_convnext_counts_three_blocks_of_its_third_stage_as_one(blocks, num_layers):
    backbone = ConvNeXt(dict(dims=(4, 4, 4, 4), depths=(1, 1, blocks, 1)))
    found = rates(Model(backbone), decay_rate=0.5)

    def exponent(name: str) -> int:
        return int(-torch.tensor(found[f"backbone.{name}"][0]).log2())

    assert backbone.num_layers == num_layers
    assert exponent("body.stem.0.weight") == num_layers + 1
    assert exponent("body.stages.0.blocks.0.gamma") == num_layers
    assert exponent("body.stages.1.downsample.1.weight") == num_layers - 1
    assert exponent("body.stages.2.downsample.1.weight") == num_layers - 2
    for block in range(blocks):
        assert exponent(f"body.stages.2.blocks.{block}.conv_dw.weight") == num_layers - 2 - block // 3
    assert exponent("body.stages.3.downsample.0.bias") == 1
    assert exponent("body.stages.3.blocks.0.mlp.fc1.weight") == 1
    assert exponent("norm0.weight") == 0


def test_stage_wise_decay_puts_all_down_sampling_at_the_stem():
    backbone = ConvNeXt(dict(dims=(4, 4, 4, 4), depths=(1, 1, 1, 1)))
    found = rates(Model(backbone), decay_rate=0.5, decay_type="stage_wise", num_layers=12)
    for index in range(4):
        assert found[f"backbone.body.stages.{index}.blocks.0.mlp.fc1.weight"] == (0.5 ** (12 - index), 0.1)
    for index in (1, 2, 3):
        assert found[f"backbone.body.stages.{index}.downsample.1.weight"] == (0.5**13, 0.1)
    assert found["backbone.norm2.bias"] == (1.0, 0.0)


def test_timm_networks_decay_by_timms_own_grouping():
    import timm
    from timm.optim import param_groups_layer_decay

    for name in ("vit_tiny_patch16_224", "resnet18", "swin_tiny_patch4_window7_224"):
        whole = timm.create_model(name, pretrained=False)
        expected = {}
        kept = getattr(whole, "no_weight_decay", set)()
        names = {id(p): n for n, p in whole.named_parameters()}
        for group in param_groups_layer_decay(whole, 0.1, kept, layer_decay=0.5):
            expected |= {names[id(p)]: (group["lr_scale"], group["weight_decay"]) for p in group["params"]}
        for ours, found in rates(Model(TimmBackbone(name)), decay_rate=0.5).items():
            if ours.startswith("backbone."):
                ours = ours.removeprefix("backbone.body.").removeprefix("model.")
                theirs = ours if ours in expected else ours.replace("_", ".", 1)
                assert found == expected[theirs], (name, theirs)


def test_families_give_a_depth_to_every_parameter():
    arch = dict(embed_dim=8, depths=(1, 2, 1))
    focal = FocalNet(arch, out_indices=(0, 1, 2))
    for backbone in (focal, Swin(SWIN, out_indices=(0, 1)), TimmBackbone("convnext_atto")):
        ids = backbone.layer_ids()
        assert set(ids) == {name for name, _ in backbone.named_parameters()}
        assert set(range(backbone.num_layers + 1)) <= set(ids.values()) <= set(range(backbone.num_layers + 2))
    ids = focal.layer_ids()
    assert ids["body.layers.1.downsample.proj.weight"] == ids["body.layers.0.blocks.0.mlp.fc1.weight"] == 1
    assert ids["body.layers.2.blocks.0.modulation.f.weight"] == focal.num_layers == 4


def test_the_optimiser_can_be_named_in_a_config():
    model = Model(Swin(SWIN, out_indices=(0, 1)))
    cfg = dict(
        type="OptimWrapper",
        optimizer=dict(type="SGD", lr=1.0),
        constructor="dense3d.LayerDecayOptimWrapperConstructor",
        paramwise_cfg=dict(decay_rate=0.5),
    )
    groups = build_optim_wrapper(model, cfg).optimizer.param_groups
    assert [g["lr"] for g in groups] == sorted(g["lr"] for g in groups)
    assert {g["weight_decay"] for g in groups} == {0}  # SGD's default, where the config asks for none


@pytest.mark.parametrize(
    ("paramwise_cfg", "message"),
    [
        (dict(decay_rte=0.9), "no paramwise_cfg.decay_rte; did you mean 'decay_rate'"),
        (dict(), "needs paramwise_cfg.decay_rate"),
        (dict(decay_rate=1.5), r"decay_rate in \(0, 1\], not 1.5"),
        (dict(decay_rate=0.9, decay_type="block_wise"), "but there are layer_wise and stage_wise"),
        (dict(decay_rate=0.9, num_layers=12), "Swin counts its layers itself"),
    ],
)
def test_bad_settings_are_explained(paramwise_cfg, message):
    with pytest.raises(ConfigError, match=message):
        rates(Model(Swin(SWIN, out_indices=(0, 1))), **paramwise_cfg)


def test_a_backbone_without_depths_is_named():
    with pytest.raises(ConfigError, match=r"no part of Model has the method layer_ids\(\)"):
        rates(Model(nn.Conv2d(3, 4, 1)), decay_rate=0.9)
    with pytest.raises(ConfigError, match=r"stage_ids\(\)"):
        rates(Model(TimmBackbone("resnet18")), decay_rate=0.9, decay_type="stage_wise")
    with pytest.raises(ConfigError, match=r"needs optimizer\.lr"):
        LayerDecayOptimWrapperConstructor(dict(optimizer=dict(type="SGD")), dict(decay_rate=0.9))
