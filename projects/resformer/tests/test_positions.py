"""Positions of the image's size in any plain transformer: ResFormer's own, at new sizes, or refused."""

from __future__ import annotations

import pytest
import torch

from dense3d.backbones import ResFormer, VisionTransformer
from dense3d.backbones.plain import PlainBackbone
from dense3d.backbones.variants import tiny_backbones
from dense3d.classification import ImageClassifier
from dense3d.errors import ConfigError
from dense3d.registry import MODELS
from projects.resformer.positions import with_image_positions

REFUSED = ("IARed2", "ResFormer")
ARCH = dict(embed_dim=32, depth=2, num_heads=4)


def plain() -> list[str]:
    """Small variants of all plain transformers that can have the positions."""
    known = {name: one for name, one in MODELS.import_all().items() if isinstance(one, type)}
    own = {name for name, one in known.items() if issubclass(one, PlainBackbone)} - set(REFUSED)
    return [name for name, one in tiny_backbones().items() if one["type"].rpartition(".")[2] in own]


def test_a_deit_with_them_is_resformer_at_any_size():
    torch.manual_seed(0)
    peer = ResFormer(ARCH).eval()
    for parameter in peer.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    deit = with_image_positions(VisionTransformer(dict(ARCH, pretrain_size=64))).eval()
    deit.load_state_dict(peer.state_dict())
    assert deit.no_weight_decay() == peer.no_weight_decay()
    with torch.no_grad():
        for size in ((64, 64), (32, 112), (150, 70)):
            images = torch.randn(1, 3, *size)
            torch.testing.assert_close(deit(images)[0], peer(images)[0])


def test_every_plain_transformer_takes_them_and_all_of_it_learns():
    names = plain()
    assert {"TNT", "ConViT"} <= set(names) and len(names) > 8
    for name in names:
        torch.manual_seed(0)
        vit = dict(type="dense3d.GlobalLocalPositions", vit=tiny_backbones()[name])
        model = ImageClassifier(vit, 5).train()
        model(torch.randn(2, 3, 64, 64)).square().sum().backward()
        idle = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
        assert idle == [], name
        local = [n for n, p in model.named_parameters() if ".get_v." in n]
        assert local, name
        assert "pos_embed.embed_layer.weight" in model.backbone.no_weight_decay(), name
        with torch.no_grad():
            for n, parameter in model.named_parameters():
                if n.endswith(".gamma"):
                    parameter.fill_(1.0)
            before = model.eval()(torch.ones(1, 3, 64, 96))
            for n, parameter in model.named_parameters():
                if ".get_v." in n:
                    parameter.fill_(0.5)
            after = model(torch.ones(1, 3, 64, 96))
        assert before.shape == (1, 5) and before.isfinite().all(), name
        assert (after - before).abs().max() > 1e-6, name


def test_frozen_stages_hold_for_them():
    vit = with_image_positions(VisionTransformer(dict(ARCH, pretrain_size=64), frozen_stages=1))
    learning = {name for name, parameter in vit.named_parameters() if parameter.requires_grad}
    assert "pos_embed.embed_layer.weight" not in learning and "blocks.0.attn.get_v.weight" not in learning
    assert "blocks.1.attn.get_v.weight" in learning


@pytest.mark.parametrize(
    ("vit", "message"),
    [
        ("Swin (V1)", "for plain vision transformers, and Swin is none: take VisionTransformer"),
        ("IARed2", "IARed2 drops patches"),
        ("ResFormer", "a ResFormer has them by itself"),
        (dict(type="VisionTransformer", arch=dict(ARCH, embed_dim=30, num_heads=2)), "give a multiple of 4"),
    ],
)
def test_others_are_refused_by_name(vit, message):
    config = tiny_backbones()[vit] if isinstance(vit, str) else vit
    with pytest.raises(ConfigError, match=message):
        MODELS.build(dict(type="dense3d.GlobalLocalPositions", vit=config))
