"""Every family of the registry, cut between its stages or refused by its name."""

from __future__ import annotations

import copy
import re

import pytest
import torch
from torch import nn

from dense3d.backbones import ConvNeXt, FocalNet, Swin, TimmBackbone
from dense3d.backbones.cutting import CutTimm, cut_backbone
from dense3d.backbones.staged import StagedBackbone
from dense3d.errors import ConfigError
from dense3d.registry import MODELS
from tests.compatibility import tiny_backbones

# hierarchical, but a stage reads more than the map before it, or has other strides
NO_CHAINS = {"Activator", "DuoFormer", "PyramidTNT", "ViTResNAS"}
ARCH = dict(dims=(8, 16, 24, 32), depths=(1, 1, 1, 1))


def small_backbones(*classes: type) -> dict[str, dict]:
    """Name of a variant -> config, without importing every other class."""
    return {
        f"{kind.__name__} ({variant})" if variant else kind.__name__: dict(
            copy.deepcopy(arguments), type=f"dense3d.{kind.__name__}"
        )
        for kind in classes
        for variant, arguments in kind.tiny_variants.items()
    }


HIERARCHICAL = small_backbones(ConvNeXt, FocalNet, Swin, TimmBackbone)


@pytest.mark.parametrize("name", HIERARCHICAL)
def test_the_parts_give_what_the_whole_gives(name):
    torch.manual_seed(0)
    backbone = MODELS.build(copy.deepcopy(HIERARCHICAL[name])).eval()
    cut = cut_backbone(backbone)
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        for whole, part in zip(backbone(images)[-4:], cut.features(images), strict=True):
            torch.testing.assert_close(part, whole, rtol=1e-4, atol=1e-5)
        half, x = cut.begin(images)
        assert half is None or half.shape == (2, cut.half_channels, 32, 48)
        for index, channels in enumerate(cut.channels):
            x = cut.stage(index, x)
            assert cut.to_map(x).shape == (2, channels, 16 >> index, 24 >> index)
            assert torch.equal(cut.from_map(cut.to_map(x)), x)


def test_every_other_family_of_the_registry_is_cut_or_refused_by_its_name():
    others = {name: config for name, config in tiny_backbones().items() if name not in HIERARCHICAL}
    assert len(others) > 5
    refused = set()
    for config in others.values():
        torch.manual_seed(0)
        backbone = MODELS.build(config)
        kind = type(backbone).__name__
        try:
            cut = cut_backbone(backbone)
        except ConfigError as error:
            assert re.match(rf"{kind} .*cannot be cut between (its )?stages", str(error)), error
            if isinstance(backbone, StagedBackbone):
                refused.add(kind)
            continue
        assert isinstance(backbone, StagedBackbone), kind
        assert cut.channels == backbone.channels
    assert refused == NO_CHAINS


@pytest.mark.parametrize("model", ["efficientnet_b0", "swin_tiny_patch4_window7_224"])
def test_other_networks_of_timm(model):
    small = dict(embed_dim=16, num_heads=(1, 2, 2, 4)) if model.startswith("swin") else {}
    cut = cut_backbone(TimmBackbone(model, out_strides=(4, 8, 16, 32), model_kwargs=small))
    assert isinstance(cut, CutTimm)
    assert cut.multiple % 32 == 0


def test_what_is_changed_between_stages_goes_on():
    torch.manual_seed(0)
    cut = cut_backbone(ConvNeXt(ARCH, output_norm="none"))
    _, x = cut.begin(torch.randn(1, 3, 64, 64))
    x = cut.stage(0, x)
    plain, changed = cut.stage(1, x), cut.stage(1, cut.from_map(cut.to_map(x) + torch.randn_like(x)))
    assert (plain - changed).abs().max() > 1e-2


def test_cutting_leaves_the_backbone_as_it_is():
    backbone = TimmBackbone("resnet18", model_kwargs=dict(channels=(8, 8, 8, 8)), frozen_stages=1)
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    modes = [module.training for module in backbone.modules()]
    cut_backbone(backbone)
    assert [module.training for module in backbone.modules()] == modes
    assert all(torch.equal(before[name], value) for name, value in backbone.state_dict().items())


def test_a_network_that_is_no_chain_is_refused():
    """Here the second stage reads what no map shows."""
    backbone = TimmBackbone("resnet18", model_kwargs=dict(channels=(8, 8, 8, 8)))

    class Tangled(nn.Module):
        def __init__(self, body: nn.Module) -> None:
            super().__init__()
            self.feature_info = body.feature_info
            for name, module in body.named_children():
                self.add_module(name, module)

        def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
            maps = []
            for name, module in self.named_children():
                x = module(x)
                if name in ("act1", "layer1", "layer2", "layer3", "layer4"):
                    maps.append(x)
                    x = x + 1
            return maps

    backbone.body = Tangled(backbone.body)
    with pytest.raises(ConfigError, match="TimmBackbone 'resnet18' cannot be cut between its stages"):
        cut_backbone(backbone)


def test_missing_strides_are_named():
    with pytest.raises(ConfigError, match=r"ConvNeXt gives maps of strides \(8, 16\)"):
        cut_backbone(ConvNeXt(ARCH, out_indices=(1, 2)))
