"""Options of the official constructors that no released model has, beside peers and formulas."""

from __future__ import annotations

import inspect
import math
import re

import pytest
import torch
from timm.models import focalnet as timm_focalnet
from torch import nn

from dense3d.adapters import ViTCoMer
from dense3d.adapters.interaction import ConvFeedForward
from dense3d.backbones import FocalNet, Swin, VisionTransformer
from dense3d.backbones.focalnet import ARCHITECTURES
from dense3d.errors import ConfigError
from dense3d.layers.attention import SelfAttention, WindowAttention
from dense3d.layers.rotary import AxialRope
from dense3d.layers.transformer_block import token_norm

FOCAL = dict(embed_dim=8, depths=(1, 2, 1, 1))
VIT = dict(embed_dim=32, depth=2, num_heads=2, patch_size=4, pretrain_size=32)
ROPE = dict(position="rope", rope_rescale=2.0)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def shaken(module: nn.Module) -> nn.Module:
    """Weights far from their start, so that every part of the network shows."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return module.eval()


# FocalNet -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("levels", "windows", "options", "of_timm"),
    [
        ((2, 3, 1, 4), (3, 5, 7, 3), {}, {}),
        ((3, 3, 2, 1), 5, dict(layer_scale=0.1, mlp_ratio=2.0), dict(layerscale_value=0.1, mlp_ratio=2.0)),
        (2, (9, 7, 5, 3), dict(post_norm=True), dict(use_post_norm=True)),
        (
            [1, 2, 2, 1],
            [3, 3, 5, 5],
            dict(overlapping_patches=True, modulation_norm=True, normalize_modulator=True),
            dict(use_overlap_down=True, use_post_norm_in_modulation=True, normalize_modulator=True),
        ),
    ],
)
def test_focalnets_levels_and_windows_are_timms_stage_by_stage(levels, windows, options, of_timm):
    ours = shaken(FocalNet(dict(FOCAL, focal_levels=levels, focal_window=windows, **options)))
    each = [value if isinstance(value, (tuple, list)) else (value,) * 4 for value in (levels, windows)]
    peer = timm_focalnet.FocalNet(
        **FOCAL, num_classes=0, focal_levels=each[0], focal_windows=each[1], **of_timm
    ).eval()
    body = {n.removeprefix("body."): v for n, v in ours.state_dict().items() if n.startswith("body.")}
    left = peer.load_state_dict(body, strict=False)
    assert left.unexpected_keys == []
    assert all(name.startswith(("norm.", "head.")) for name in left.missing_keys)
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        x = peer.stem(images)
        for stage, (layer, found) in enumerate(zip(peer.layers, ours(images))):
            x = layer(x)
            assert torch.equal(found, getattr(ours, f"norm{stage}")(x))


def test_released_focalnets_are_timms(monkeypatch):
    """Every argument of every released size, from timm's own registry."""
    names = dict(
        embed_dim="embed_dim",
        depths="depths",
        use_overlap_down="overlapping_patches",
        use_post_norm="post_norm",
        use_post_norm_in_modulation="modulation_norm",
        normalize_modulator="normalize_modulator",
        layerscale_value="layer_scale",
    )
    defaults = {n: p.default for n, p in inspect.signature(timm_focalnet.FocalNet).parameters.items()}
    monkeypatch.setattr(timm_focalnet, "_create_focalnet", lambda _name, pretrained, **kwargs: kwargs)
    for name, ours in ARCHITECTURES.items():
        theirs = defaults | getattr(timm_focalnet, f"focalnet_{name}")()
        for of_timm, of_ours in names.items():
            expected = theirs[of_timm]
            expected = tuple(expected) if isinstance(expected, list) else expected
            if of_timm == "normalize_modulator" and name in ("large_fl4", "xlarge_fl4"):
                expected = True  # in detection; timm has the classifiers
            assert ours.get(of_ours, defaults[of_timm]) == expected, (name, of_timm)
        assert list(theirs["focal_levels"]) == [ours["focal_levels"]] * 4, name
        assert list(theirs["focal_windows"]) == [ours.get("focal_window", 3)] * 4, name


def test_focalnets_levels_and_windows_are_checked():
    for arch, sentence in (
        (dict(FOCAL, focal_levels=(2, 2)), "focal_levels has 2 entries, but there are 4 stages"),
        (dict(FOCAL, focal_window=(3, 4, 3, 3)), r"focal_window=\(3, 4, 3, 3\): give odd numbers"),
        (dict(FOCAL, focal_levels=0), "focal_levels=0: give numbers of 1 or more"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            FocalNet(arch)


def test_focalnets_start_is_the_official_one():
    """Linear layers with a deviation of 0.02, convolutions as PyTorch starts them."""
    network = FocalNet(dict(embed_dim=64, depths=(1, 1), focal_window=5), out_indices=(0, 1))
    network.requires_grad_(False)
    modulation = network.body.layers[0].blocks[0].modulation
    for linear in (modulation.f, modulation.proj, network.body.layers[0].blocks[0].mlp.fc1):
        assert float(linear.weight.std()) == pytest.approx(0.02, rel=0.1)
        assert not bool(linear.bias.any())
    convolutions = [modulation.h, network.body.stem.proj, network.body.layers[1].downsample.proj]
    convolutions += [layer[0] for layer in modulation.focal_layers]
    for convolution in convolutions:
        bound = convolution.weight[0].numel() ** -0.5
        assert 0.95 * bound < float(convolution.weight.abs().max()) <= bound
        assert float(convolution.weight.std()) == pytest.approx(bound / math.sqrt(3), rel=0.1)


HALVES = {
    "focalnet": lambda: FocalNet(
        dict(FOCAL, focal_levels=(2, 3, 1, 4), modulation_norm=True, post_norm=True, layer_scale=0.5)
    ),
    "swin": lambda: Swin(dict(embed_dim=16, depths=(2, 2, 1, 1), num_heads=(2,) * 4), qk_scale=0.3),
    "vit-comer": lambda: ViTCoMer(
        dict(arch=dict(VIT, patch_size=16, layer_scale=0.5), prefix_tokens=False),
        stages=[(0, 0), (1, 1)],
        stem_width=8,
        num_heads=4,
        gamma_init=0.5,
        cnn_feed_forward=False,
    ),
}


@pytest.mark.parametrize("name", HALVES)
def test_autocast_is_near_single_precision(name):
    network, images = shaken(HALVES[name]()), torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        single = network(images)
        with torch.autocast("cpu", torch.bfloat16):
            half = network(images)
    for a, b in zip(single, half):
        assert bool(b.isfinite().all())
        assert float((b.float() - a).abs().mean() / a.abs().mean()) < 0.1


# Transformers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_root_mean_square_norm_in_every_precision(dtype):
    """The mean square is taken in float32: squares of 300 are beyond float16."""
    norm = token_norm("rms", 16, 1e-5).to(dtype)
    with torch.no_grad():
        norm.weight.copy_(torch.randn(16))
    for size in (1e-3, 1.0, 300.0):
        x = (size * torch.randn(3, 5, 16)).to(dtype)
        wide = x.double()
        expected = wide / (wide.square().mean(-1, keepdim=True) + 1e-5).sqrt() * norm.weight.double()
        tolerance = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 2e-3}[dtype]
        torch.testing.assert_close(norm(x).double(), expected, rtol=tolerance, atol=tolerance)
        assert norm(x).dtype == dtype


def test_norms_of_a_transformer_start_as_the_identity_of_normed_tokens():
    vit = VisionTransformer(dict(VIT, norm="rms", norm_eps=1e-5, untied_norms=True, num_registers=2, **ROPE))
    norms = [m for m in vit.modules() if isinstance(m, nn.RMSNorm)]
    assert len(norms) == 2 * VIT["depth"] + 2
    assert not any(isinstance(m, nn.LayerNorm) for m in vit.modules())
    assert {norm.eps for norm in norms} == {1e-5}
    assert all(bool((norm.weight == 1).all()) for norm in norms)
    assert set(vit.layer_ids()) == {name for name, _ in vit.named_parameters()}
    with pytest.raises(ConfigError, match="norm='batch' of a transformer: use 'layer' or 'rms'"):
        VisionTransformer(dict(VIT, norm="batch"))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("norm", ["layer", "rms"])
def test_half_precision_is_near_single_precision(dtype, norm):
    """A whole network whose weights are half: positions, norms and scales too."""
    arch = dict(VIT, norm=norm, num_registers=2, layer_scale=0.5, ffn="swiglu", untied_norms=True, **ROPE)
    vit, images = shaken(VisionTransformer(arch)), torch.randn(1, 3, 24, 40)
    with torch.no_grad():
        single = vit(images)[0]
        half = vit.to(dtype)(images.to(dtype))[0]
    assert half.dtype == dtype
    assert bool(half.isfinite().all())
    assert float((half.float() - single).abs().mean() / single.abs().mean()) < 0.06


def test_training_takes_every_new_option():
    arch = dict(VIT, norm="rms", num_registers=1, rope_base=None, rope_min_period=0.1, rope_max_period=20.0)
    arch |= dict(position="rope", rope_normalize="max", rope_shift=0.2, rope_jitter=1.5, rope_rescale=2.0)
    vit = VisionTransformer(arch, drop_path_rate=0.2).train()
    sum(m.square().mean() for m in vit(torch.randn(2, 3, 24, 40))).backward()
    missing = [n for n, p in vit.named_parameters() if p.requires_grad and p.grad is None]
    assert missing == []


def test_periods_are_geometric_between_their_limits():
    rope = AxialRope(32, base=None, min_period=0.5, max_period=40.0)
    expected = [0.5 * 80 ** (k / 7) for k in range(8)]
    torch.testing.assert_close(rope.periods, torch.tensor(expected))
    assert float(AxialRope(32, min_period=0.5, max_period=40.0).periods[-1]) == pytest.approx(40.0)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (dict(base=None), "needs a positive base, or min_period and max_period"),
        (dict(min_period=1.0), "has one of them only"),
        (dict(base=None, max_period=1.0), "has one of them only"),
        (dict(min_period=2.0, max_period=1.0), "must be positive and ascending"),
        (dict(min_period=0.0, max_period=1.0), "must be positive and ascending"),
        (dict(jitter=0.5), "jitter=0.5 of a rotary embedding is less than 1, the largest factor"),
        (dict(rescale=0.0), "rescale=0.0"),
        (dict(shift=-0.1), "shift=-0.1 .* less than 0, the largest shift"),
        (dict(normalize="mean"), "use 'separate', 'max' or 'min'"),
    ],
)
def test_positions_that_make_none_are_refused(options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        AxialRope(32, **options)


@pytest.mark.parametrize("normalize", ["separate", "max", "min"])
def test_coordinates_are_centred_where_the_sides_are_equal_and_keep_the_aspect_else(normalize):
    rope = AxialRope(8, normalize=normalize)
    square = rope.coordinates((4, 4)).view(4, 4, 2)
    torch.testing.assert_close(square[:, 0, 0], torch.tensor([-0.75, -0.25, 0.25, 0.75]))
    wide = rope.coordinates((2, 8)).view(2, 8, 2)
    steps = wide.diff(dim=0)[0, 0, 0], wide.diff(dim=1)[0, 0, 1]
    assert bool(steps[0] == steps[1]) == (normalize != "separate")
    assert float(steps[1]) == pytest.approx({"separate": 2 / 8, "max": 2 / 8, "min": 2 / 2}[normalize])


def test_augmented_positions_stay_within_their_limits():
    rope = AxialRope(8, shift=0.25, jitter=1.5, rescale=2.0).train()
    plain = rope.coordinates((3, 3))
    for _ in range(200):
        shift, jitter, rescale = rope._draw()
        assert float(shift.abs().max()) <= 0.25
        assert float(jitter.abs().max()) <= math.log(1.5)
        assert float(rescale.abs().max()) <= math.log(2.0)
        moved = rope.coordinates((3, 3), shift, jitter, rescale)
        torch.testing.assert_close(moved, (plain + shift) * jitter.exp() * rescale.exp())
    assert len({float(rope(grid=(1, 1))[0][0, 0]) for _ in range(5)}) == 5
    assert len({float(rope.eval()((1, 1))[0][0, 0]) for _ in range(5)}) == 1


@pytest.mark.parametrize("window", [None, 3])
def test_another_scale_of_the_products_is_one_of_the_queries(window):
    """``qk_scale`` s is the default scale with queries times ``s * sqrt(d)``."""
    kind = SelfAttention if window is None else WindowAttention
    extra = {} if window is None else dict(window_size=window)
    plain = shaken(kind(16, 2, **extra))
    scaled = kind(16, 2, qk_scale=0.9, **extra).eval()
    weights = plain.state_dict()
    scaled.load_state_dict(weights)
    factor = 0.9 * math.sqrt(8)
    with torch.no_grad():
        plain.qkv.weight[:16] *= factor
        plain.qkv.bias[:16] *= factor
        tokens = torch.randn(2, 1 + 20, 16)
        torch.testing.assert_close(plain(tokens, (4, 5), 1), scaled(tokens, (4, 5), 1))


def test_swins_scale_is_one_of_the_queries():
    sizes = dict(embed_dim=16, depths=(2, 2), num_heads=(2, 4))
    plain = shaken(Swin(sizes, window_size=3, out_indices=(0, 1)))
    scaled = Swin(sizes, window_size=3, out_indices=(0, 1), qk_scale=0.9).eval()
    scaled.load_state_dict(plain.state_dict())
    with torch.no_grad():
        for stage, heads in zip(plain.layers, sizes["num_heads"]):
            for block in stage.blocks:
                dim = block.attn.qkv.in_features
                block.attn.qkv.weight[:dim] *= 0.9 * math.sqrt(dim / heads)
                block.attn.qkv.bias[:dim] *= 0.9 * math.sqrt(dim / heads)
        images = torch.randn(1, 3, 40, 56)
        for a, b in zip(plain(images), scaled(images)):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    with pytest.raises(ConfigError, match=r"qk_scale=0\.9, but the attention of V2 learns its scale"):
        Swin(sizes, version=2, qk_scale=0.9, out_indices=(0, 1))


def test_vit_comer_without_feed_forward_networks_is_one_whose_networks_give_zero():
    vit = dict(arch=dict(name="deit_tiny_patch16", embed_dim=64, depth=4, num_heads=2), prefix_tokens=False)
    options = dict(stem_width=8, num_heads=4, gamma_init=0.5)
    bare = shaken(ViTCoMer(vit, cnn_feed_forward=False, **options))
    whole = ViTCoMer(vit, **options).eval()
    left = whole.load_state_dict(bare.state_dict(), strict=False)
    assert left.unexpected_keys == []
    assert all(re.search(r"to_cnn\.\d+\.(interaction\.)?ffn", name) for name in left.missing_keys)
    assert any("to_vit.ffn" in name for name in bare.state_dict())  # towards the ViT there is always one
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        for stage in whole.interactions:
            for module in stage.to_cnn.modules():
                if isinstance(module, ConvFeedForward):
                    module.fc2.weight.zero_()
                    module.fc2.bias.zero_()
        for a, b in zip(bare(images), whole(images)):
            torch.testing.assert_close(a, b)
