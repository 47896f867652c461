"""Converters of Swin, FocalNet and ConvNeXt, against the forward passes and converters of other libraries."""

from __future__ import annotations

import itertools
import re

import pytest
import timm
import torch
from timm.models import convnext as timm_convnext
from timm.models import focalnet as timm_focalnet
from timm.models.swin_transformer import SwinTransformer as TimmSwin
from timm.models.swin_transformer_v2 import SwinTransformerV2 as TimmSwinV2

from dense3d.backbones import ConvNeXt, FocalNet, Swin
from dense3d.checkpoints import convert
from dense3d.errors import CheckpointError

SWIN = dict(embed_dim=16, depths=(2, 2, 2), num_heads=(2, 2, 4))
CONVNEXT = dict(dims=(8, 16, 24, 32), depths=(1, 2, 1, 1))


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def shaken(network: torch.nn.Module) -> torch.nn.Module:
    """The network with no weight at its initial value."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    network.eval()  # mmdet's returns nothing
    return network


@pytest.mark.parametrize("version", [1, 2])
def test_timm_swin_computes_the_same_where_windows_fill_the_map(version):
    options = dict(img_size=64, window_size=2, num_classes=0, **SWIN)
    peer = TimmSwin(**options, always_partition=True) if version == 1 else TimmSwinV2(**options)
    shaken(peer)
    ours = Swin(SWIN, version, window_size=2, output_norm=False, out_indices=(0, 1, 2)).eval()
    ours.load_state_dict(convert("swin-timm", peer.state_dict()))
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        for a, b in zip(ours(images), peer.forward_intermediates(images, intermediates_only=True)):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)


def test_mmdet_swin_computes_the_same_at_odd_sizes():
    from mmdet.models.backbones.swin import SwinTransformer

    heads = dict(embed_dims=16, depths=(2, 2, 2), num_heads=(2, 2, 4), strides=(4, 2, 2), window_size=3)
    peer = shaken(SwinTransformer(**heads, out_indices=(0, 1, 2), drop_path_rate=0.0))
    ours = Swin(SWIN, window_size=3, out_indices=(0, 1, 2)).eval()
    ours.load_state_dict(convert("swin-mmdet", peer.state_dict()))
    images = torch.randn(2, 3, 75, 50)
    with torch.no_grad():
        for a, b in zip(ours(images), peer(images)):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_official_swin_v2_joins_biases_and_drops_what_follows_from_the_window():
    state = Swin(SWIN, 2, 4, output_norm=False, out_indices=(0, 1, 2)).state_dict()
    official = {"norm.weight": torch.ones(64), "head.weight": torch.ones(5, 64), "head.bias": torch.ones(5)}
    for name, value in state.items():
        if name.endswith("qkv.bias"):
            query, _, content = value.normal_().chunk(3)
            stem = name.removesuffix("qkv.bias")
            official |= {f"{stem}q_bias": query, f"{stem}v_bias": content}
            official |= {
                f"{stem}relative_coords_table": torch.ones(1),
                f"{stem}relative_position_index": torch.ones(1),
            }
            value.copy_(torch.cat([query, 0 * query, content]))
        else:
            official[name.replace(".mlp.0.", ".mlp.fc1.").replace(".mlp.3.", ".mlp.fc2.")] = value
    official["layers.0.blocks.1.attn_mask"] = torch.ones(1)
    converted = convert("swin", official)
    assert set(converted) == set(state)
    assert all(torch.equal(converted[name], state[name]) for name in state)


def test_timm_and_official_convnext_v2_agree_with_timms_own_converter():
    peer = timm_convnext.ConvNeXt(num_classes=5, use_grn=True, ls_init_value=None, **CONVNEXT)
    shaken(peer)
    ours = ConvNeXt(CONVNEXT, version=2, output_norm="none").eval()
    ours.load_state_dict(convert("convnext", peer.state_dict()))
    official = official_convnext(ours)
    of_timm = timm_convnext.checkpoint_filter_fn(dict(official), peer)
    for name, value in convert("convnext", official).items():
        assert torch.equal(value, of_timm[name.removeprefix("body.")]), name
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        expected = peer.forward_intermediates(images, intermediates_only=True)
        for a, b in zip(ours(images), expected):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def official_convnext(backbone: ConvNeXt) -> dict[str, torch.Tensor]:
    """Weights under Meta's names and shapes."""
    official = {"norm.weight": torch.ones(32), "head.weight": torch.ones(5, 32)}
    for name, value in backbone.state_dict().items():
        name = name.removeprefix("body.").replace("stem.", "downsample_layers.0.").replace(".blocks.", ".")
        if ".downsample." in name:
            name = name.replace(".downsample.", ".").replace("stages.", "downsample_layers.")
        name = name.replace("conv_dw", "dwconv").replace("mlp.fc", "pwconv")
        if ".mlp.grn." in name:
            value = value[None, None, None]
            name = name.replace("mlp.grn.weight", "grn.gamma").replace("mlp.grn.bias", "grn.beta")
        official[name] = value
    return official


def normed_last(path, state: dict[str, torch.Tensor]) -> ConvNeXt:
    """Our network with DINOv3's norm after the last map, started from a file with these weights."""
    torch.save(state, path)
    init_cfg = dict(type="Pretrained", checkpoint=str(path))
    backbone = ConvNeXt(CONVNEXT, output_norm="last", init_cfg=init_cfg).eval()
    backbone.init_weights()
    return backbone


def test_dinov3_convnext_of_timm_computes_the_same_through_its_final_norm(tmp_path):
    peer = shaken(timm_convnext.ConvNeXt(num_classes=0, **CONVNEXT))  # as timm's convnext_*.dinov3_*
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        expected = peer.forward_intermediates(images, intermediates_only=True)
        expected[-1] = peer.head.norm(expected[-1])
        found = normed_last(tmp_path / "timm.pth", peer.state_dict())(images)
    for a, b in zip(found, expected):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("prefix", ["", "dinov3_convnext.", "model."])
def test_dinov3_convnext_of_transformers(tmp_path, prefix):
    source = shaken(ConvNeXt(CONVNEXT, output_norm="last"))
    theirs = {}
    for name, value in official_convnext(source).items():
        if name.startswith(("norm.", "head.")):
            continue
        name = name.replace("norm3.", "norm.")
        for official, other in (  # as the conversion script of transformers renames Meta's files
            (r"dwconv", "depthwise_conv"),
            (r"pwconv", "pointwise_conv"),
            (r"norm", "layer_norm"),
            (r"stages\.(\d+)\.(\d+)", r"stages.\1.layers.\2"),
            (r"downsample_layers\.(\d+)\.(\d+)", r"stages.\1.downsample_layers.\2"),
        ):
            name = re.sub(official, other, name)
        theirs[prefix + name] = value
    assert f"{prefix}stages.0.downsample_layers.1.weight" in theirs
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        found = normed_last(tmp_path / "model.pth", theirs)(images)
        torch.testing.assert_close(found, source(images), rtol=0, atol=0)


def test_dinov3_convnext_without_its_final_norm_is_refused(tmp_path):
    state = timm_convnext.ConvNeXt(num_classes=0, **CONVNEXT).state_dict()
    headless = {name: value for name, value in state.items() if not name.startswith("head.")}
    with pytest.raises(CheckpointError, match=r"cut\.pth has no final norm for norm3\.weight, norm3\.bias"):
        normed_last(tmp_path / "cut.pth", headless)


def test_sparse_convnext_has_columns_before_rows():
    full, depthwise = torch.randn(4, 3, 5), torch.randn(49, 6)
    sparse = {
        "encoder.downsample_layers.1.0.ln.weight": torch.ones(3),
        "encoder.downsample_layers.1.1.kernel": full,
        "encoder.downsample_layers.1.1.bias": torch.ones(1, 5),
        "encoder.stages.0.0.dwconv.kernel": depthwise,
        "encoder.stages.0.0.pwconv1.linear.weight": torch.ones(24, 6),
        "encoder.stages.0.0.grn.gamma": torch.ones(1, 24),
        "mask_token": torch.ones(1, 8, 1, 1),
        "decoder.0.grn.gamma": torch.ones(1),
        "proj.weight": torch.ones(1),
        "pred.bias": torch.ones(1),
    }
    converted = convert("convnext", sparse)
    shapes = {name: tuple(value.shape) for name, value in converted.items()}
    assert shapes == {
        "body.stages.1.downsample.0.weight": (3,),
        "body.stages.1.downsample.1.weight": (5, 3, 2, 2),
        "body.stages.1.downsample.1.bias": (5,),
        "body.stages.0.blocks.0.conv_dw.weight": (6, 1, 7, 7),
        "body.stages.0.blocks.0.mlp.fc1.weight": (24, 6),
        "body.stages.0.blocks.0.mlp.grn.weight": (24,),
    }
    for row, column in itertools.product(range(2), range(2)):
        weight = converted["body.stages.1.downsample.1.weight"][:, :, row, column]
        assert torch.equal(weight, full[2 * column + row].t())
    for row, column in itertools.product(range(7), range(7)):
        weight = converted["body.stages.0.blocks.0.conv_dw.weight"][:, 0, row, column]
        assert torch.equal(weight, depthwise[7 * column + row])


@pytest.mark.parametrize("large", [False, True])
def test_focalnet_agrees_with_timms_own_converter(large):
    arch = dict(embed_dim=8, depths=(1, 1, 2, 1), focal_levels=3)
    if large:
        arch |= dict(overlapping_patches=True, post_norm=True, modulation_norm=True, layer_scale=1e-4)
    ours = shaken(FocalNet(arch))
    state = {n: v for n, v in ours.state_dict().items() if n.startswith("body.")}
    official = {}
    for name, value in state.items():
        name = name.removeprefix("body.").replace("stem.", "patch_embed.").replace("_post.", ".")
        name = name.replace("ls1.gamma", "gamma_1").replace("ls2.gamma", "gamma_2")
        name = name.replace("modulation.norm.", "modulation.ln.")
        if ".downsample." in name:
            name = f"layers.{int(name[7]) - 1}{name[8:]}"
        linear = value.dim() == 4 and any(k in name for k in ("modulation.f.", "modulation.proj.", "mlp."))
        official[name] = value[:, :, 0, 0] if linear else value
    converted = convert("focalnet", official | {"head.weight": torch.ones(1), "norm.bias": torch.ones(1)})
    assert set(converted) == set(state)
    assert all(torch.equal(converted[name], state[name]) for name in state)
    peer = timm_focalnet.FocalNet(
        embed_dim=8,
        depths=(1, 1, 2, 1),
        focal_levels=(3,) * 4,
        use_overlap_down=large,
        use_post_norm=large,
        use_post_norm_in_modulation=large,
        layerscale_value=1e-4 if large else None,
    )
    of_timm = timm_focalnet.checkpoint_filter_fn(dict(official), peer)
    assert set(of_timm) == {name.removeprefix("body.") for name in converted}
    assert all(torch.equal(converted[f"body.{name}"], value) for name, value in of_timm.items())
    again = convert("focalnet", peer.state_dict())
    assert set(again) == set(state)


@pytest.mark.parametrize(
    "system", ["swin", "swin-timm", "swin-torchvision", "swin-mmdet", "convnext", "focalnet"]
)
def test_foreign_names_are_listed(system):
    with pytest.raises(CheckpointError, match=r"1 unexpected names: layer1\.0\.conv1\.weight"):
        convert(system, {"layer1.0.conv1.weight": torch.ones(1)})


@pytest.mark.parametrize(
    ("name", "system", "build"),
    [
        ("focalnet_tiny_srf", "focalnet", lambda: FocalNet("tiny_srf")),
        ("swin_tiny_patch4_window7_224", "swin-timm", lambda: Swin("tiny")),
        ("convnextv2_tiny", "convnext", lambda: ConvNeXt("tiny", version=2)),
    ],
)
def test_features_only_networks_of_timm_convert_but_for_output_norms(name, system, build):
    with torch.device("meta"):
        body, ours = timm.create_model(name, features_only=True, pretrained=False), build()
    converted = convert(system, body.state_dict())
    norms = {n for n in ours.state_dict() if n.startswith("norm")}
    assert set(ours.state_dict()) - set(converted) == norms
    assert set(converted) <= set(ours.state_dict())
