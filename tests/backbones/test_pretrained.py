"""Official checkpoints into hierarchical backbones through ``init_cfg``."""

from __future__ import annotations

import logging

import pytest
import torch
import torchvision
from mmengine.logging import MMLogger

from dense3d.backbones import ConvNeXt, Swin
from dense3d.backbones.swin import resize_bias_table
from dense3d.errors import CheckpointError

SIZES = dict(embed_dim=16, depths=(1, 2), num_heads=(2, 2))


def official_classifier(window: int, prefix: str = "") -> dict[str, torch.Tensor]:
    """A classification checkpoint in Microsoft's layout, with other values than a new backbone's."""
    state = Swin(SIZES, window_size=window, output_norm=False, out_indices=(0, 1)).state_dict()
    official = {
        n.replace(".mlp.0.", ".mlp.fc1.").replace(".mlp.3.", ".mlp.fc2."): v for n, v in state.items()
    }
    official |= {
        "norm.weight": torch.ones(32),
        "norm.bias": torch.ones(32),
        "head.weight": torch.ones(10, 32),
    }
    return {prefix + name: torch.randn_like(value) for name, value in official.items()}


def load(path, state: dict, **kwargs) -> Swin:
    torch.save(state, path)
    backbone = Swin(
        SIZES, out_indices=(0, 1), init_cfg=dict(type="Pretrained", checkpoint=str(path)), **kwargs
    )
    backbone.init_weights()
    return backbone


def test_a_classification_checkpoint_leaves_output_norms_at_one_and_zero(tmp_path):
    official = official_classifier(5)
    backbone = load(tmp_path / "a.pth", {"model": official}, window_size=5)
    assert torch.equal(
        backbone.layers[1].blocks[1].mlp[3].weight, official["layers.1.blocks.1.mlp.fc2.weight"]
    )
    assert torch.equal(backbone.norm1.weight, torch.ones(32))
    assert torch.equal(backbone.norm1.bias, torch.zeros(32))


def test_a_detector_checkpoint_gives_its_backbone_with_norms(tmp_path):
    official = {n: v for n, v in official_classifier(5).items() if not n.startswith(("norm", "head"))}
    official |= {f"norm{i}.{kind}": torch.randn(16 * 2**i) for i in (0, 1) for kind in ("weight", "bias")}
    detector = {f"backbone.{name}": value for name, value in official.items()} | {
        "bbox_head.fc": torch.ones(1)
    }
    backbone = load(tmp_path / "a.pth", {"state_dict": detector}, window_size=5)
    assert torch.equal(backbone.norm1.weight, official["norm1.weight"])


def test_tables_of_another_window_are_resized_and_that_is_said(tmp_path):
    official = official_classifier(4)
    messages = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    MMLogger.get_instance("tables").addHandler(handler)
    backbone = load(tmp_path / "a.pth", official, window_size=3)
    name = "layers.1.blocks.0.attn.relative_position_bias_table"
    torch.testing.assert_close(backbone.get_parameter(name).detach(), resize_bias_table(official[name], 25))
    assert any("3 position tables" in m and "resized to window 3" in m for m in messages)


def test_our_own_and_torchvisions_checkpoints_load(tmp_path):
    own = Swin(SIZES, window_size=5, out_indices=(0, 1)).state_dict()
    own = {name: torch.randn_like(value) for name, value in own.items()}
    backbone = load(tmp_path / "own.pth", {"state_dict": own}, window_size=5)
    assert all(torch.equal(v, own[n]) for n, v in backbone.state_dict().items())
    official = torchvision.models.swin_t().state_dict()
    torch.save(official, tmp_path / "tv.pth")
    tiny = Swin("tiny", init_cfg=dict(type="Pretrained", checkpoint=str(tmp_path / "tv.pth")))
    tiny.init_weights()
    assert torch.equal(tiny.layers[2].downsample.reduction.weight, official["features.6.reduction.weight"])


def test_convnext_reads_dinov3_and_keeps_its_last_norm(tmp_path):
    dims = (4, 8, 12, 16)
    source = ConvNeXt(dict(dims=dims, depths=(1, 1, 1, 1)), output_norm="last")
    state = {}
    for name, value in source.state_dict().items():
        name = name.removeprefix("body.").replace("stem.", "downsample_layers.0.").replace(".blocks.", ".")
        if ".downsample." in name:
            name = name.replace(".downsample.", ".").replace("stages.", "downsample_layers.")
        name = name.replace("conv_dw", "dwconv").replace("mlp.fc", "pwconv").replace("norm3", "norm")
        state[name] = torch.randn_like(value)
    state |= {"norms.3.weight": state["norm.weight"], "norms.3.bias": state["norm.bias"]}
    torch.save(state, tmp_path / "a.pth")
    for output_norm in ("last", "all", "none"):
        backbone = ConvNeXt(
            dict(dims=dims, depths=(1, 1, 1, 1)),
            output_norm=output_norm,
            init_cfg=dict(type="Pretrained", checkpoint=str(tmp_path / "a.pth")),
        )
        backbone.init_weights()
        assert torch.equal(backbone.body.stages[2].blocks[0].gamma, state["stages.2.0.gamma"])
        if output_norm != "none":
            assert torch.equal(backbone.norm3.weight, state["norm.weight"])


def test_checkpoints_of_another_size_or_network_are_explained(tmp_path):
    other = {n: v.repeat_interleave(2, 0) for n, v in official_classifier(5).items()}
    with pytest.raises(CheckpointError, match=r"patch_embed\.proj\.weight.*\[32, 3, 4, 4\].*\[16, 3, 4, 4\]"):
        load(tmp_path / "a.pth", other, window_size=5)
    with pytest.raises(
        CheckpointError, match=r"b\.pth fits no known layout \(swin, .*unexpected names: conv1"
    ):
        load(tmp_path / "b.pth", {"conv1.weight": torch.ones(1)}, window_size=5)
    with pytest.raises(CheckpointError, match="missing from the checkpoint"):
        part = {n: v for n, v in official_classifier(5).items() if not n.startswith("layers.1")}
        load(tmp_path / "c.pth", part, window_size=5)
