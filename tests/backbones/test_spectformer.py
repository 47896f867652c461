"""SpectFormer, hierarchical and plain, and SVT: what their golden kits do not exercise."""

from __future__ import annotations

import math
import re

import pytest
import torch
from torch import nn

from dense3d.backbones import SVT, PlainSpectFormer, SpectFormer
from dense3d.backbones.spectformer import ARCHITECTURES, MapAttention, SpectralGate
from dense3d.backbones.spectformer_plain import ARCHITECTURES as PLAIN
from dense3d.backbones.spectformer_plain import SpectralBlock
from dense3d.checkpoints import convert
from dense3d.checkpoints.spectformer import convert_head
from dense3d.errors import CheckpointError, ConfigError
from dense3d.layers.scattering import ScatteringMixer

ARCH = dict(embed_dims=(8, 12, 16, 24), depths=(1, 2, 1, 1), num_heads=(1, 2, 2, 3), stem_dim=8)
ARCH["mlp_ratios"] = (2, 2, 2, 2)
TINY = dict(embed_dim=24, depth=3, num_heads=2, pretrain_size=64)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize(
    ("family", "spectral", "kind"), [(SpectFormer, 2, SpectralGate), (SVT, 1, ScatteringMixer)]
)
def test_the_first_stages_are_spectral(family, spectral, kind):
    backbone = family(ARCH, pretrain_size=64)
    for index in range(4):
        expected = kind if index < spectral else MapAttention
        assert all(type(block.attn) is expected for block in backbone.blocks(index))


def test_filters_are_of_the_maps_of_pretraining():
    backbone = SpectFormer("small")
    assert backbone.blocks(0)[0].attn.weight.shape == (64, 56, 29, 2)
    assert backbone.blocks(1)[0].attn.weight.shape == (128, 28, 15, 2)
    assert SVT("large").blocks(0)[0].attn.low.shape == (96, 56, 56)


def test_norms_between_stages_are_on_the_way():
    backbone = SpectFormer(ARCH, pretrain_size=64).eval()
    with torch.no_grad():
        maps = backbone(torch.randn(1, 3, 64, 64))
        for features in maps:
            assert features.mean(1).abs().max() < 1e-4
            torch.testing.assert_close(
                features.var(1, unbiased=False), torch.ones(1, *features.shape[2:]), rtol=1e-2, atol=1e-2
            )
        backbone.stages[0].norm.weight.mul_(2.0)
        assert (backbone(torch.ones(1, 3, 64, 64))[3] - maps[3]).abs().max() > 1e-3


def test_depths_of_norms_between_stages():
    ids = SpectFormer(ARCH, pretrain_size=64).layer_ids()
    expected = {
        "patch_embed.0.weight": 0,
        "stages.0.blocks.0.attn.weight": 1,
        "stages.0.norm.weight": 1,
        "stages.1.downsample.proj.weight": 2,
        "stages.1.blocks.1.norm1.weight": 3,
        "stages.1.norm.bias": 3,
        "stages.3.blocks.0.mlp.conv.weight": 5,
        "norm3.weight": 6,
    }
    assert {name: ids[name] for name in expected} == expected


@pytest.mark.parametrize("family", [SpectFormer, SVT])
def test_norms_between_stages_are_frozen_with_their_stage(family):
    backbone = family(ARCH, pretrain_size=64, frozen_stages=2)
    assert [s.norm.weight.requires_grad for s in backbone.stages[:3]] == [False, False, True]
    part = family(ARCH, pretrain_size=64, out_indices=(0, 1))
    assert [s.norm.weight.requires_grad for s in part.stages[:3]] == [True, True, False]
    assert not hasattr(part, "norm3")


@pytest.mark.parametrize("family", [SpectFormer, SVT])
def test_initial_weights(family):
    backbone = family(dict(ARCH, embed_dims=(64, 64, 64, 64), num_heads=(1, 1, 1, 1)))
    stem, downsampling = backbone.patch_embed[0].weight, backbone.stages[1].downsample.proj.weight
    assert abs(stem.std() / math.sqrt(2 / (49 * 8)) - 1) < 0.1
    assert abs(downsampling.std() / math.sqrt(2 / (9 * 64)) - 1) < 0.1
    depthwise = backbone.blocks(3)[0].mlp.conv.weight
    assert abs(depthwise.std() / math.sqrt(2 / 9) - 1) < 0.1
    assert 0.019 < backbone.blocks(3)[0].attn.qkv.weight.std() < 0.021
    for name, parameter in backbone.blocks(0)[0].attn.named_parameters():
        if parameter.numel() > 1000:
            assert 0.018 < parameter.std() < 0.022, name


def test_the_classifier_adds_half_of_the_best_pixel():
    head, x = SpectFormer(ARCH).class_head(7), torch.randn(2, 24, 3, 2)
    with torch.no_grad():
        tokens = head.norm(head.attend(x.flatten(2).transpose(1, 2)))
        expected = head.head(tokens[:, 0]) + 0.5 * head.aux_head(tokens[:, 1:]).max(dim=1).values
        torch.testing.assert_close(head(x), expected)
        plain = SpectFormer(ARCH, token_labels=False).class_head(7)
        plain.load_state_dict({n: v for n, v in head.state_dict().items() if not n.startswith("aux")})
        torch.testing.assert_close(plain(x), head.head(tokens[:, 0]))


@pytest.mark.parametrize("family", [SpectFormer, SVT])
def test_half_precision_is_close(family):
    backbone, images = family(ARCH, pretrain_size=64).eval(), torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        exact = backbone(images)
        with torch.autocast("cpu", torch.bfloat16):
            rough = backbone(images)
    for a, b in zip(exact, rough):
        assert b.isfinite().all()
        assert (a - b.float()).abs().mean() < 0.05 * a.abs().mean()


OFFICIAL = (
    (r"mlp\.conv", "mlp.dwconv.dwconv"),
    (r"attn\.low", "attn.complex_weight_ll"),
    (r"attn\.high\.weight", "attn.complex_weight_lh_"),
    (r"attn\.high\.bias", "attn.complex_weight_lh_b"),
    (r"attn\.weight", "attn.complex_weight"),
    (r"^stages\.(\d)\.blocks", r"block\1"),
    (r"^stages\.(\d)\.downsample", r"patch_embed\1"),
    (r"^stages\.(\d)\.norm", r"norm\1"),
    (r"^patch_embed\.9", "patch_embed0"),
    (r"^patch_embed\.", "patch_embed0.conv."),
    (r"^head\.block", "post_network.0"),
    (r"^head\.norm", "norm3"),
    (r"^head\.((?:aux_)?head)", r"\1"),
    (r"^(patch_embed|block|norm)(\d)", lambda match: f"{match[1]}{int(match[2]) + 1}"),
)


def official_state(backbone: SpectFormer, head: nn.Module) -> dict[str, torch.Tensor]:
    """Names and shapes of the official classifier with the weights of ours, written by hand."""
    state = {}
    ours = backbone.state_dict() | {f"head.{name}": value for name, value in head.state_dict().items()}
    for name, value in ours.items():
        for pattern, theirs in OFFICIAL:
            name = re.sub(pattern, theirs, name)
        if name.endswith("complex_weight"):
            value = value.permute(1, 2, 0, 3)
        if "attn.qkv" in name:
            query, rest = value.split([len(value) // 3, 2 * len(value) // 3])
            state[name.replace("qkv", "q")], state[name.replace("qkv", "kv")] = query, rest
        else:
            state[name] = value
    return state


@pytest.mark.parametrize(("family", "system"), [(SpectFormer, "spectformer"), (SVT, "svt")])
def test_official_classifiers_load(family, system, tmp_path):
    source = family(ARCH, pretrain_size=64).eval()
    head = source.class_head(5).eval()
    state = official_state(source, head)
    state["block1.0.attn.xfm.h0o"] = torch.zeros(1, 1, 13, 1)
    torch.save({"model": state}, tmp_path / "official.pth")
    init_cfg = dict(type="Pretrained", checkpoint=str(tmp_path / "official.pth"))
    target = family(ARCH, pretrain_size=64, init_cfg=init_cfg)
    target.init_weights()
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        for a, b in zip(source(image), target.eval()(image)):
            assert torch.equal(a, b)
    other = source.class_head(5)
    other.load_state_dict(convert_head(state))
    assert torch.equal(other.aux_head.weight, head.aux_head.weight)
    assert convert_head({n: v for n, v in state.items() if "head" not in n}) == {}
    with pytest.raises(CheckpointError, match="no official SpectFormer checkpoint: 1 unexpected name"):
        convert(system, {"block3.0.attn.rel_pos": torch.zeros(1)})


def test_a_plain_spectral_block_has_one_residual():
    backbone = PlainSpectFormer(TINY, spectral_blocks=2).eval()
    assert [isinstance(block, SpectralBlock) for block in backbone.blocks] == [True, True, False]
    block, x = backbone.blocks[0], torch.randn(2, 16, 24)
    with torch.no_grad():
        filtered = block.filter(block.norm1(x).view(2, 4, 4, 24)).view(2, 16, 24)
        torch.testing.assert_close(block(x, (4, 4)), x + block.mlp(block.norm2(filtered)))


def test_a_plain_classifier_normalises_before_the_mean():
    head, tokens = PlainSpectFormer(TINY, spectral_blocks=1).class_head(5), torch.randn(2, 16, 24)
    with torch.no_grad():
        torch.testing.assert_close(head(tokens), head.head(head.norm(tokens).mean(1)))


@pytest.mark.parametrize(("height", "width"), [(32, 32), (65, 97), (33, 50)])
def test_a_plain_network_takes_any_size_and_batches(height, width):
    backbone = PlainSpectFormer(TINY, spectral_blocks=2, out_indices=(0, 2)).eval()
    images = torch.randn(2, 3, height, width)
    with torch.no_grad():
        maps = backbone(images)
        alone = [backbone(image[None]) for image in images]
        with torch.autocast("cpu", torch.bfloat16):
            rough = backbone(images)
    for level, features in enumerate(maps):
        assert features.shape == (2, 24, -(-height // 16), -(-width // 16))
        torch.testing.assert_close(features, torch.cat([m[level] for m in alone]), rtol=1e-4, atol=1e-5)
        assert (rough[level].float() - features).abs().mean() < 0.05 * features.abs().mean()


def test_drop_path_and_frozen_blocks_of_a_plain_network():
    backbone = PlainSpectFormer(TINY, spectral_blocks=2, drop_path_rate=0.5, frozen_stages=1).train()
    assert [block.drop_path.rate for block in backbone.blocks] == [0.0, 0.25, 0.5]
    assert not any(p.requires_grad for p in backbone.blocks[0].parameters())
    assert not backbone.blocks[0].training and backbone.blocks[1].training
    assert backbone.layer_ids()["blocks.1.filter.weight"] == 2


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: SpectFormer("smal"), "SpectFormer has no size 'smal'; did you mean 'small'"),
        (lambda: SVT("smal"), "SVT has no size 'smal'; did you mean 'small'"),
        (lambda: SpectFormer(dict(ARCH, embed_dim=3)), "no key 'embed_dim'; did you mean 'embed_dims'"),
        (lambda: SpectFormer(dict(depths=(1, 1, 1, 1))), "arch lacks embed_dims, num_heads, stem_dim"),
        (lambda: SpectFormer(dict(ARCH, depths=(1, 1))), "has four stages, but arch has 2 depths"),
        (lambda: SpectFormer(dict(ARCH, num_heads=(1, 1, 3, 3))), "16 channels cannot be shared by 3 heads"),
        (lambda: SVT(dict(ARCH, embed_dims=(6, 12, 16, 24))), "6 channels cannot be shared by 4 groups"),
        (lambda: PlainSpectFormer("xs"), "PlainSpectFormer has no size 'xs'"),
        (lambda: PlainSpectFormer(TINY, spectral_blocks=4), "spectral_blocks=4, but there are 3 blocks"),
        (lambda: PlainSpectFormer(dict(TINY, class_token=True)), "its architecture has no class token"),
    ],
)
def test_bad_architectures_are_explained(build, message):
    with pytest.raises(ConfigError, match=message):
        build()


@pytest.mark.parametrize(
    ("family", "name", "millions"),
    [
        *((SpectFormer, "small", 22.2), (SpectFormer, "base", 33.1), (SpectFormer, "large", 54.7)),
        *((SVT, "small", 22.1), (SVT, "base", 32.9), (SVT, "large", 54.6)),
        *((PlainSpectFormer, "tiny", 9.2), (PlainSpectFormer, "xsmall", 20.0)),
        *((PlainSpectFormer, "small", 32.4), (PlainSpectFormer, "base", 57.2)),
    ],
)
def test_parameters_as_published(family, name, millions):
    assert name in (PLAIN if family is PlainSpectFormer else ARCHITECTURES)
    with torch.device("meta"):
        backbone = family(name)
        parts = (backbone, backbone.class_head(1000))
    last = 2 * parts[0].out_channels[-1]  # the norm of the maps is the classifier's
    count = (sum(p.numel() for part in parts for p in part.parameters()) - last) / 1e6
    assert round(count, 1) == pytest.approx(millions, abs=0.11)
