"""HorNet: what its golden kits do not exercise."""

from __future__ import annotations

import re

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dense3d.backbones import HorNet
from dense3d.backbones.hornet import ARCHITECTURES
from dense3d.checkpoints import convert
from dense3d.checkpoints.hornet import convert_head
from dense3d.errors import CheckpointError, ConfigError
from dense3d.layers.gated_convolution import GatedConv, GlobalLocalFilter

ARCH = dict(base_dim=16, depths=(1, 1, 2, 1))
GF = dict(ARCH, filters=(None, None, (4, 3), (2, 2)))


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("order", [1, 2, 4])
def test_gated_convolution_is_the_recursion_of_the_paper(order):
    layer, x = GatedConv(16, order, scale=0.5), torch.randn(2, 5, 6, 16)
    with torch.no_grad():
        widths = [16 // 2 ** (order - 1 - k) for k in range(order)]
        first, rest = layer.proj_in(x).split([widths[0], 32 - widths[0]], dim=-1)
        weight, bias = layer.filter.weight, layer.filter.bias
        rest = F.conv2d(rest.permute(0, 3, 1, 2), weight, bias, padding=3, groups=len(weight)) / 2
        factors = rest.permute(0, 2, 3, 1).split(widths, dim=-1)
        y = first * factors[0]
        for k in range(order - 1):
            y = (y @ layer.steps[k].weight.T + layer.steps[k].bias) * factors[k + 1]
        torch.testing.assert_close(layer(x), layer.proj_out(y), rtol=1e-4, atol=1e-6)


def test_the_halves_of_a_global_local_filter_come_out_interleaved():
    layer, x = GlobalLocalFilter(4, (4, 3)), torch.randn(1, 4, 4, 4)
    layer.post_norm = nn.Identity()
    with torch.no_grad():
        normed = layer.pre_norm(x)
        y = layer(x)
        torch.testing.assert_close(y[:, 0::2], layer.local(normed[:, :2]))
        torch.testing.assert_close(y[:, 1::2], layer.spectral(normed[:, 2:]))


def test_initial_weights():
    for kind in ("normal", "uniform"):
        backbone = HorNet(dict(base_dim=64, depths=(1, 1, 1, 1)), initialisation=kind)
        attention = backbone.blocks(3)[0].attn
        matrix, filters = attention.proj_in.weight, attention.filter.weight
        assert not attention.proj_in.bias.any() and not attention.filter.bias.any()
        if kind == "normal":
            assert 0.019 < matrix.std() < 0.021 and 0.019 < filters.std() < 0.021
        else:
            assert abs(matrix.std() - (2 / (512 + 1024)) ** 0.5) < 0.002
        assert (backbone.blocks(0)[0].ls1.gamma == 1e-6).all()
    spectrum = HorNet("tiny_gf").blocks(2)[0].attn.filter.spectral.weight
    assert spectrum.shape == (240, 14, 8, 2)  # half of 480 filtered channels
    assert 0.019 < spectrum.std() < 0.021


def test_no_layer_scale():
    assert not any("ls1" in name for name in HorNet(ARCH, layer_scale=0.0).state_dict())


@pytest.mark.parametrize("arch", [ARCH, GF], ids=["7x7", "gf"])
def test_half_precision_is_close(arch):
    backbone, images = HorNet(arch, layer_scale=1.0).eval(), torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        exact = backbone(images)
        with torch.autocast("cpu", torch.bfloat16):
            rough = backbone(images)
    for a, b in zip(exact, rough):
        assert b.isfinite().all()
        assert (a - b.float()).abs().mean() < 0.05 * a.abs().mean()


def test_depths_count_as_in_the_official_detectors():
    backbone = HorNet(dict(base_dim=8, depths=(2, 3, 18, 2), orders=(2, 2, 2, 2)))
    ids = backbone.layer_ids(12)
    assert backbone.num_layers == 12 and ids == backbone.layer_ids()
    expected = {
        "patch_embed.0.weight": 0,
        "stages.0.blocks.1.norm1.weight": 1,
        "stages.1.downsample.1.weight": 2,
        "stages.1.blocks.0.norm1.weight": 2,
        "stages.2.downsample.0.weight": 3,
        "stages.2.blocks.17.norm1.weight": 11,
        "stages.3.downsample.1.weight": 12,
        "stages.3.blocks.0.norm1.weight": 12,
        "norm3.weight": 13,
    }
    assert {name: ids[name] for name in expected} == expected
    stagewise = backbone.stage_ids(6)
    assert stagewise["stages.3.downsample.1.weight"] == 0
    assert stagewise["stages.3.blocks.0.norm1.weight"] == 4 and stagewise["norm0.weight"] == 7


def official_state(backbone: HorNet) -> dict[str, torch.Tensor]:
    """Names and shapes of the official classifier with the weights of ours, written by hand."""
    rules = (
        (r"patch_embed\.", "downsample_layers.0."),
        (r"stages\.(\d)\.downsample\.", r"downsample_layers.\1."),
        (r"stages\.(\d)\.blocks\.(\d+)\.", r"stages.\1.\2."),
        (r"ls([12])\.gamma", r"gamma\1"),
        (r"mlp\.fc([12])", r"pwconv\1"),
        (r"attn\.filter\.local", "gnconv.dwconv.dw"),
        (r"attn\.filter\.spectral\.weight", "gnconv.dwconv.complex_weight"),
        (r"attn\.filter", "gnconv.dwconv"),
        (r"attn\.steps", "gnconv.pws"),
        (r"attn", "gnconv"),
    )
    state = {}
    for name, value in backbone.state_dict().items():
        if re.match(r"norm\d", name):
            continue
        is_projection = re.search(r"(proj_in|proj_out|steps\.\d)\.weight", name)
        for pattern, theirs in rules:
            name = re.sub(pattern, theirs, name)
        state[name] = value[..., None, None] if is_projection else value
    last = backbone.channels[-1]
    state |= {"norm.weight": torch.rand(last), "norm.bias": torch.rand(last)}
    return state | {"head.weight": torch.rand(5, last), "head.bias": torch.rand(5)}


@pytest.mark.parametrize("arch", [ARCH, GF], ids=["7x7", "gf"])
def test_official_classifiers_load(arch, tmp_path):
    source = HorNet(arch).eval()
    state = official_state(source)
    torch.save({"model": state}, tmp_path / "hornet.pth")
    target = HorNet(arch, init_cfg=dict(type="Pretrained", checkpoint=str(tmp_path / "hornet.pth")))
    target.init_weights()
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        for a, b in zip(source(image), target.eval()(image)):
            assert torch.equal(a, b)
    head = source.class_head(5)
    head.load_state_dict(convert_head(state))
    with torch.no_grad():
        x = torch.randn(2, 128, 3, 2)
        normed = F.layer_norm(x.mean((2, 3)), (128,), state["norm.weight"], state["norm.bias"], 1e-6)
        torch.testing.assert_close(head(x), normed @ state["head.weight"].T + state["head.bias"])


def test_filters_of_another_size_are_resized(tmp_path):
    state = official_state(HorNet(GF))
    torch.save({"model": state}, tmp_path / "hornet.pth")
    arch = dict(GF, filters=(None, None, (7, 5), (3, 2)))
    target = HorNet(arch, init_cfg=dict(type="Pretrained", checkpoint=str(tmp_path / "hornet.pth")))
    target.init_weights()
    small = state["stages.2.0.gnconv.dwconv.complex_weight"]
    large = target.blocks(2)[0].attn.filter.spectral.weight
    assert large.shape[1:3] == (7, 5)
    torch.testing.assert_close(large[:, ::2, ::2], small)


def test_other_checkpoints_are_refused():
    with pytest.raises(CheckpointError, match="no official HorNet checkpoint: 1 unexpected name"):
        convert("hornet", {"stages.0.0.gnconv.rel_pos": torch.zeros(1)})


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: HorNet("tiny_fg"), "no size 'tiny_fg'; did you mean 'tiny_gf"),
        (lambda: HorNet(dict(ARCH, order=3)), "no key 'order'; did you mean 'orders'"),
        (lambda: HorNet(dict(depths=(1, 1, 1, 1))), "arch needs base_dim"),
        (lambda: HorNet(dict(base_dim=16, depths=(1, 1))), "has four stages, but arch has 2 depths"),
        (
            lambda: HorNet(dict(base_dim=10, orders=(3, 3, 3, 3))),
            "10 channels cannot be halved 2 times: .* a multiple of 4",
        ),
        (lambda: HorNet(ARCH, initialisation="unifrm"), "initialisation='unifrm'; did you mean 'uniform'"),
    ],
)
def test_bad_architectures_are_explained(build, message):
    with pytest.raises(ConfigError, match=message):
        build()


@pytest.mark.parametrize(
    ("name", "classes", "millions"),
    [
        *(("tiny", 1000, 22), ("tiny_gf", 1000, 23), ("small", 1000, 50), ("small_gf", 1000, 50)),
        *(("base", 1000, 87), ("base_gf", 1000, 88), ("large", 10450, 209), ("large_gf", 10450, 211)),
    ],
)
def test_parameters_as_published(name, classes, millions):
    with torch.device("meta"):
        backbone = HorNet(ARCHITECTURES[name], output_norm=False)
        parts = (backbone, backbone.class_head(classes))
    count = sum(p.numel() for part in parts for p in part.parameters()) / 1e6
    assert abs(count - millions) < 0.025 * millions
