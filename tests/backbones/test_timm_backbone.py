"""The backbone contract, for a dozen families that differ in padding, layout and size rules."""

from __future__ import annotations

import math

import pytest
import timm
import torch

from dense3d.backbones import TimmBackbone
from dense3d.engine.channels import fill_channels
from dense3d.errors import CheckpointError, ConfigError, DataError

FAMILIES = [
    "resnet18",
    "convnext_atto",
    "convnextv2_atto",
    "swin_tiny_patch4_window7_224",
    "swinv2_cr_tiny_ns_224",
    "vit_tiny_patch16_224",
    "efficientnet_b0",
    "mobilenetv3_small_050",
    "regnetx_002",
    "hrnet_w18_small",
    "pvt_v2_b0",
    "focalnet_tiny_srf",
    "vgg11",
    "mambaout_femto",
    "dla34",
    "edgenext_xx_small",
]


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("name", FAMILIES)
def test_contract_at_odd_sizes(name):
    backbone = TimmBackbone(name).eval()
    assert len(backbone.out_channels) == len(backbone.out_strides) > 0
    for height, width in ((32, 32), (65, 97), (96, 64)):
        with torch.no_grad():
            maps = backbone(torch.randn(2, 3, height, width))
        expected = [
            (2, c, math.ceil(height / s), math.ceil(width / s))
            for c, s in zip(backbone.out_channels, backbone.out_strides)
        ]
        assert [tuple(m.shape) for m in maps] == expected


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto", "swin_tiny_patch4_window7_224"])
def test_equals_timm_at_sizes_that_need_no_padding(name):
    backbone = TimmBackbone(name).eval()
    options = {"strict_img_size": False} if "swin" in name else {}
    peer = timm.create_model(name, features_only=True, pretrained=False, **options).eval()
    peer.load_state_dict(backbone.body.state_dict())
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        ours, theirs = backbone(images), peer(images)[-4:]
    for a, b in zip(ours, theirs):
        torch.testing.assert_close(a, b if b.shape[1] == a.shape[1] else b.permute(0, 3, 1, 2))


def test_strides_choose_maps_in_any_family():
    for name in ("resnet18", "convnext_atto", "efficientnet_b0"):
        assert TimmBackbone(name, out_strides=(8, 32)).out_strides == (8, 32)
    assert TimmBackbone("resnet18", out_indices=(0, 4)).out_strides == (2, 32)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(model_name="resnet19"), "did you mean 'resnet18'|did you mean 'resnet1"),
        (dict(model_name="resnet18", out_strides=(8, 64)), r"\[64\].*stride"),
        (dict(model_name="resnet18", out_indices=(7,)), r"0\.\.4"),
        (dict(model_name="levit_128s"), "bound to one input size"),
        (dict(model_name="resnet18", out_strides=(8,), out_indices=(1,)), "not both"),
    ],
)
def test_bad_arguments_are_explained(kwargs, message):
    with pytest.raises(ConfigError, match=message):
        TimmBackbone(**kwargs)


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto", "swin_tiny_patch4_window7_224"])
def test_frozen_stages_freeze_what_feeds_the_map_and_nothing_after(name):
    backbone = TimmBackbone(name, frozen_stages=1).train()
    maps = backbone(torch.randn(2, 3, 64, 64))
    assert not maps[0].requires_grad
    assert all(m.requires_grad for m in maps[1:])
    before = {n: b.clone() for n, b in backbone.named_buffers()}
    frozen = {n.rpartition(".")[0] for n, p in backbone.named_parameters() if not p.requires_grad}
    backbone(torch.randn(2, 3, 64, 64))
    for buffer_name, buffer in backbone.named_buffers():
        if "running" in buffer_name and buffer_name.rpartition(".")[0] in frozen:
            assert torch.equal(buffer, before[buffer_name]), buffer_name


@pytest.mark.parametrize("name", ["convnext_atto", "swin_tiny_patch4_window7_224"])
def test_frozen_stages_have_no_drop_path(name):
    backbone = TimmBackbone(name, frozen_stages=2, model_kwargs=dict(drop_path_rate=0.9)).train()
    images = torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        first, second = backbone(images), backbone(images)
    assert [torch.equal(a, b) for a, b in zip(first[:2], second[:2])] == [True, True]
    assert not torch.equal(first[3], second[3])
    assert not any(module.training for module in backbone.eval().modules())


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto", "swin_tiny_patch4_window7_224"])
def test_images_of_other_channel_counts(name):
    backbone = TimmBackbone(name, frozen_stages=1, model_kwargs=dict(in_chans=1)).eval()
    with torch.no_grad():
        maps = backbone(torch.randn(1, 1, 65, 97))
    assert [tuple(m.shape[-2:]) for m in maps] == [
        (math.ceil(65 / s), math.ceil(97 / s)) for s in backbone.out_strides
    ]
    with pytest.raises(
        DataError, match=r"\(B, 1, H, W\), but this batch is \(1, 3, 32, 32\): set model_kwargs"
    ):
        backbone(torch.zeros(1, 3, 32, 32))


def test_frozen_norms_keep_statistics_and_parameters():
    backbone = TimmBackbone("resnet18", freeze_norm=True).train()
    before = {n: b.clone() for n, b in backbone.named_buffers()}
    sum(m.sum() for m in backbone(torch.randn(2, 3, 64, 64))).backward()
    assert all(torch.equal(b, before[n]) for n, b in backbone.named_buffers())
    assert backbone.body.bn1.weight.grad is None
    assert backbone.body.conv1.weight.grad is not None


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto"])
def test_channels_last_changes_the_memory_format_only(name):
    plain, reordered = TimmBackbone(name).eval(), TimmBackbone(name, channels_last=True).eval()
    reordered.load_state_dict(plain.state_dict())
    images = torch.randn(2, 3, 65, 64)
    for a, b in zip(plain(images), reordered(images)):
        assert b.stride(1) == 1
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto", "vit_tiny_patch16_224"])
def test_checkpointing_changes_no_gradient(name):
    plain, checkpointed = TimmBackbone(name), TimmBackbone(name, with_cp=True)
    checkpointed.load_state_dict(plain.state_dict())
    images = torch.randn(2, 3, 64, 64)
    grads = []
    for backbone in (plain, checkpointed):
        backbone.train()
        sum(m.square().sum() for m in backbone(images)).backward()
        grads.append([p.grad for p in backbone.parameters() if p.grad is not None])
    assert len(grads[0]) == len(grads[1])
    for a, b in zip(*grads):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-3)


def test_classification_checkpoint_loads_without_its_head(tmp_path):
    for name in ("resnet18", "convnext_atto", "vit_tiny_patch16_224"):
        classifier = timm.create_model(name, pretrained=False, num_classes=7)
        path = tmp_path / f"{name}.pth"
        torch.save(classifier.state_dict(), path)
        backbone = TimmBackbone(name, init_cfg=dict(type="Pretrained", checkpoint=str(path)))
        backbone.init_weights()
        official = classifier.state_dict()
        for ours, value in backbone.body.state_dict().items():
            spellings = (ours, ours.replace("_", ".", 1), ours.removeprefix("model."))
            theirs = next(n for n in spellings if n in official)
            assert torch.equal(value, official[theirs]), ours


def test_heads_take_their_channels_from_the_backbone():
    cfg = dict(
        type="X",
        backbone=dict(type="TimmBackbone", model_name="resnet18", out_strides=(8, 16, 32)),
        neck=dict(in_channels="backbone"),
        decode_head=dict(in_channels="backbone", in_index=[0, 2]),
        auxiliary_head=[dict(in_channels="backbone", in_index=1)],
    )
    filled = fill_channels(cfg)
    assert filled["neck"]["in_channels"] == [128, 256, 512]
    assert filled["decode_head"]["in_channels"] == [128, 512]
    assert filled["auxiliary_head"][0]["in_channels"] == 256
    assert cfg["neck"]["in_channels"] == "backbone"


def test_channels_need_a_backbone_that_knows_them():
    cfg = dict(
        backbone=dict(type="mmdet.ResNet", depth=18, _scope_="mmdet"), neck=dict(in_channels="backbone")
    )
    with pytest.raises(ConfigError, match="ResNet does not"):
        fill_channels(cfg)


def test_weights_that_cannot_be_downloaded(monkeypatch):
    def refuse(*args, pretrained=False, **kwargs):
        if pretrained:
            raise ConnectionError("no route to host")
        raise AssertionError("asked for without weights")

    monkeypatch.setattr(timm, "create_model", refuse)
    with pytest.raises(CheckpointError, match=r"'resnet18' could not be downloaded.*pretrained=False"):
        TimmBackbone("resnet18", pretrained=True)
