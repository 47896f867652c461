"""Hyena in plain transformers and in Swin: what the golden kits do not exercise."""

from __future__ import annotations

import pytest
import torch

from dense3d.adapters import SimplePyramid
from dense3d.backbones import HyenaSwin, HyenaViT
from dense3d.checkpoints import convert
from dense3d.checkpoints.hyena import convert_operator
from dense3d.errors import CheckpointError, ConfigError
from dense3d.layers.attention import SelfAttention
from dense3d.layers.hyena import HyenaOperator

ARCH = dict(embed_dim=24, depth=6, num_heads=2, pretrain_size=64)
SMALL = dict(hidden_dim=8)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize(
    ("method", "hyena"),
    [
        ("hyena2d", (0, 1, 2, 3, 4, 5)),
        ("hyena2dattn", (0, 1, 2, 3)),
        ("attnhyena2d", (4, 5)),
        ("onebyone", (0, 2, 4)),
        ("attention", ()),
    ],
)
def test_blocks_with_hyena(method, hyena):
    vit = HyenaViT(ARCH, method, filter_options=SMALL)
    assert tuple(i for i, b in enumerate(vit.blocks) if isinstance(b.attn, HyenaOperator)) == hyena
    assert all(type(b.attn) is SelfAttention for i, b in enumerate(vit.blocks) if i not in hyena)


def test_every_second_block_looks_the_other_way():
    assert [b.attn.direction for b in HyenaViT(ARCH, filter_options=SMALL).blocks] == ["seq", "standard"] * 3
    vit = HyenaViT(ARCH, direction="4dir", filter_options=SMALL)
    assert {b.attn.direction for b in vit.blocks} == {"4dir"}
    swin = HyenaSwin(
        dict(embed_dim=8, depths=(1, 3), num_heads=(1, 1)), out_indices=(0, 1), filter_options=SMALL
    )
    assert [b.attn.direction for b in swin.blocks(1)] == ["seq", "standard", "seq"]
    assert [swin.blocks(i)[0].attn.filter.side for i in (0, 1)] == [56, 28]


@pytest.mark.parametrize("direction", ["seq", "4dirp"])
@pytest.mark.parametrize(("height", "width"), [(64, 64), (65, 97), (33, 50)])
def test_any_size_and_batches(direction, height, width):
    vit = HyenaViT(ARCH, "onebyone", direction, out_indices=(0, 5), filter_options=SMALL).eval()
    images = torch.randn(2, 3, height, width)
    with torch.no_grad():
        maps = vit(images)
        alone = [vit(image[None]) for image in images]
        with torch.autocast("cpu", torch.bfloat16):
            rough = vit(images)
    for level, features in enumerate(maps):
        assert features.shape == (2, 24, -(-height // 16), -(-width // 16))
        torch.testing.assert_close(features, torch.cat([m[level] for m in alone]), rtol=1e-4, atol=1e-5)
        assert (rough[level].float() - features).abs().mean() < 0.05 * features.abs().mean()


def test_with_cp_changes_no_gradient():
    grads = []
    for with_cp in (False, True):
        torch.manual_seed(0)
        vit = HyenaViT(ARCH, with_cp=with_cp, drop_path_rate=0.2, filter_options=SMALL).train()
        vit(torch.randn(2, 3, 64, 64))[0].square().sum().backward()
        missing = [n for n, p in vit.named_parameters() if p.requires_grad and p.grad is None]
        assert missing == []
        grads.append({n: p.grad for n, p in vit.named_parameters()})
    for name, grad in grads[0].items():
        torch.testing.assert_close(grads[1][name], grad, rtol=1e-4, atol=1e-4, msg=name)


def test_initial_weights():
    attn = HyenaViT(dict(ARCH, embed_dim=96)).blocks[0].attn
    assert 0.019 < attn.in_proj.weight.std() < 0.021 and not attn.in_proj.bias.any()
    hidden = attn.filter.networks[0][1]
    assert 0.018 < hidden.weight.std() < 0.022 and not hidden.bias.any()
    assert 0.8 < attn.filter.bias.std() < 1.2
    assert attn.short_filter.weight.abs().max() <= 1 / 3  # as PyTorch starts convolutions


@pytest.mark.parametrize(
    "vit",
    [
        dict(type="HyenaViT", arch=ARCH, method="onebyone", filter_options=SMALL),
        dict(type="PlainSpectFormer", arch=ARCH, spectral_blocks=2),
    ],
    ids=["HyenaViT", "PlainSpectFormer"],
)
def test_adapters_take_plain_networks(vit):
    adapter = SimplePyramid(vit=vit, out_channels=16).eval()
    with torch.no_grad():
        maps = adapter(torch.randn(1, 3, 65, 97))
    assert [tuple(m.shape[1:]) for m in maps] == [(16, 17, 25), (16, 9, 13), (16, 5, 7), (16, 3, 4)]


def test_the_classifier_reads_the_first_patch():
    head, tokens = HyenaViT(ARCH, filter_options=SMALL).class_head(5), torch.randn(2, 16, 24)
    with torch.no_grad():
        torch.testing.assert_close(head(tokens), head.head(head.norm(tokens[:, 0])))


def test_official_operators_of_a_higher_order_convert():
    """Names and shapes of an operator of order 3, written by hand from the official layout."""
    layer = HyenaOperator(4, 5, order=3, hidden_dim=8, separable=False, window="learn")
    own = layer.state_dict()
    official = {n: own[n] for n in own if not n.startswith("filter.")}
    official["filter_fn.bias"] = own["filter.bias"].flatten()
    official["filter_fn.pos_emb.z"] = own["filter.positions"][None]
    official["filter_fn.pos_emb.t"] = torch.linspace(0, 1, 5).view(1, 5, 1)
    for number in range(4):
        for kind in ("weight", "bias")[: 2 if number < 3 else 1]:
            official[f"filter_fn.implicit_filter.{2 * number}.{kind}"] = own[
                f"filter.networks.0.{number}.{kind}"
            ]
    for number in (1, 3, 5):
        official[f"filter_fn.implicit_filter.{number}.freq"] = own["filter.frequency"][None]
    # columns first: the order of the names is not that of the rows
    official["filter_fn.modulation.Ydeltas"] = own["filter.decays"][1].view(1, 1, -1)
    official["filter_fn.modulation.Xdeltas"] = own["filter.decays"][0].view(1, 1, -1) * 2
    official["filter_fn.modulation.shift"] = own["filter.shift"][None]
    converted = convert_operator(official)
    own["filter.decays"][0] *= 2
    assert set(converted) == set(own)
    for name, value in own.items():
        assert torch.equal(converted[name], value), name
    official["filter_fn.implicit_filter.3.freq"] = torch.zeros(1, 8)
    with pytest.raises(CheckpointError, match="differs from the frequency of another layer"):
        convert_operator(official)


def test_official_free_kernels_that_nothing_reads_are_left_out():
    layer = HyenaOperator(4, 5, order=2, free_filter=True)
    official = {n: v for n, v in layer.state_dict().items() if not n.startswith("filter.")}
    official |= {"filter": torch.randn(2, 4, 5, 5), "bias": torch.randn(2, 4)}
    layer.load_state_dict(convert_operator(official))
    assert torch.equal(layer.filter.weight, official["filter"][:1])


def test_official_networks_load(tmp_path):
    source = HyenaViT(ARCH, "attention").eval()
    state = source.state_dict() | {"head.weight": torch.ones(3, 24), "head.bias": torch.ones(3)}
    torch.save({"model": state}, tmp_path / "hyena.pth")
    loaded = convert("hyena", state)
    assert all(torch.equal(loaded[n], v) for n, v in source.state_dict().items())
    with pytest.raises(CheckpointError, match="no official HyenaND checkpoint: 1 unexpected name"):
        convert("hyena", {"blocks.0.attn.rel_pos": torch.zeros(1)})


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: HyenaViT(ARCH, "hyena"), "method='hyena'; did you mean 'hyena2d'"),
        (lambda: HyenaViT(dict(ARCH, class_token=True)), "has no class token or registers"),
        (lambda: HyenaViT("deit_tny_patch16"), "did you mean 'deit_tiny_patch16'"),
        (lambda: HyenaSwin("tny"), "no size 'tny'; did you mean 'tiny'"),
        (lambda: HyenaSwin(direction="both"), "direction='both' of Hyena"),
    ],
)
def test_bad_arguments_are_explained(build, message):
    with pytest.raises(ConfigError, match=message):
        build()
