"""The backbone contract of the hierarchical families, and what is the same for all of them."""

from __future__ import annotations

import math

import pytest
import torch

from dense3d.backbones import (
    SVT,
    ConvNeXt,
    CoSwin,
    CrossFormer,
    FocalNet,
    HorNet,
    HyenaSwin,
    MetaFormer,
    PoolFormer,
    SpectFormer,
    Swin,
    UniFormer,
)
from dense3d.backbones.ppma import PPMA
from dense3d.backbones.rmt import RMT
from dense3d.backbones.s2aformer import S2AFormer
from dense3d.errors import ConfigError, DataError
from dense3d.registry import MODELS

SWIN = dict(embed_dim=16, depths=(2, 2, 2, 2), num_heads=(2, 2, 4, 4))
CONVNEXT = dict(dims=(8, 16, 24, 32), depths=(1, 1, 4, 1))
FOCAL = dict(embed_dim=8, depths=(1, 2, 1, 1))
CROSSFORMER = dict(embed_dim=16, depths=(1, 2, 4, 1), num_heads=(1, 2, 2, 4), group_size=3)
UNIFORMER = dict(dims=(8, 16, 32, 48), depths=(1, 1, 5, 1), head_dim=16)
METAFORMER = dict(dims=(8, 16, 32, 64), depths=(1, 1, 2, 1))
HORNET = dict(base_dim=16, depths=(1, 1, 2, 1))
SPECTFORMER = dict(embed_dims=(8, 12, 16, 24), depths=(1, 1, 2, 1), num_heads=(1, 2, 2, 3), stem_dim=8)
FAMILIES = {
    "swin": lambda **kw: Swin(SWIN, window_size=3, **kw),
    "swin_v2": lambda **kw: Swin(SWIN, version=2, window_size=4, **kw),
    "convnext": lambda **kw: ConvNeXt(CONVNEXT, **kw),
    "convnext_v2": lambda **kw: ConvNeXt(CONVNEXT, version=2, **kw),
    "focalnet": lambda **kw: FocalNet(FOCAL, **kw),
    "focalnet_large": lambda **kw: FocalNet(
        dict(FOCAL, overlapping_patches=True, post_norm=True, layer_scale=1e-4), **kw
    ),
    "coswin": lambda **kw: CoSwin(SWIN, window_size=3, **kw),
    "crossformer": lambda **kw: CrossFormer(CROSSFORMER, patch_sizes=(4, 8), **kw),
    "crossformer_pp": lambda **kw: CrossFormer(dict(CROSSFORMER, cooling=True), interval="adaptive", **kw),
    "poolformer": lambda **kw: PoolFormer(dict(METAFORMER, layer_scale=0.5), **kw),
    "metaformer": lambda **kw: MetaFormer(
        dict(METAFORMER, mixers=("pool", "conv", "attention", "random")), **kw
    ),
    "hornet": lambda **kw: HorNet(HORNET, layer_scale=0.1, **kw),
    "hornet_gf": lambda **kw: HorNet(dict(HORNET, filters=(None, None, (4, 3), (2, 2))), **kw),
    "spectformer": lambda **kw: SpectFormer(SPECTFORMER, pretrain_size=64, **kw),
    "svt": lambda **kw: SVT(SPECTFORMER, pretrain_size=64, **kw),
    "hyena_swin": lambda **kw: HyenaSwin(SWIN, pretrain_size=64, filter_options=dict(hidden_dim=8), **kw),
    "uniformer": lambda **kw: UniFormer(UNIFORMER, "hybrid", window_size=3, **kw),
    "rmt": lambda **kw: RMT(**RMT.tiny_variants[""], **kw),
    "s2aformer": lambda **kw: S2AFormer(**S2AFormer.tiny_variants[""], **kw),
    "ppma": lambda **kw: PPMA(**PPMA.tiny_variants[""], **kw),
}


@pytest.fixture(params=FAMILIES)
def family(request):
    torch.manual_seed(0)
    return FAMILIES[request.param]


@pytest.mark.parametrize(("height", "width"), [(32, 32), (65, 97), (33, 50), (7, 5)])
def test_maps_have_the_announced_channels_and_rounded_up_sizes(family, height, width):
    backbone = family().eval()
    with torch.no_grad():
        maps = backbone(torch.randn(2, 3, height, width))
    assert backbone.out_strides == (4, 8, 16, 32)
    assert [tuple(m.shape) for m in maps] == [
        (2, c, math.ceil(height / s), math.ceil(width / s))
        for c, s in zip(backbone.out_channels, backbone.out_strides)
    ]


def test_a_batch_is_its_images_one_by_one(family):
    backbone, images = family().eval(), torch.randn(3, 3, 45, 70)
    with torch.no_grad():
        together = backbone(images)
        alone = [backbone(image[None]) for image in images]
    for level, maps in enumerate(together):
        torch.testing.assert_close(maps, torch.cat([m[level] for m in alone]), rtol=1e-4, atol=1e-5)


def test_chosen_maps_are_those_of_the_whole_network(family):
    whole, part = family().eval(), family(out_indices=(0, 2)).eval()
    part.load_state_dict({n: v for n, v in whole.state_dict().items() if n in part.state_dict()})
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        every, chosen = whole(images), part(images)
    assert part.out_strides == (4, 16)
    for a, b in zip(chosen, (every[0], every[2])):
        assert torch.equal(a, b)


def test_every_trainable_parameter_gets_a_gradient(family):
    for indices in ((0, 1, 2, 3), (1,)):
        backbone = family(out_indices=indices).train()
        sum(m.square().sum() for m in backbone(torch.randn(2, 3, 64, 96))).backward()
        missing = [n for n, p in backbone.named_parameters() if p.requires_grad and p.grad is None]
        assert missing == []


def test_checkpointing_changes_no_gradient(family):
    grads = []
    for with_cp in (False, True):
        torch.manual_seed(0)
        backbone = family(with_cp=with_cp, drop_path_rate=0.3).train()
        torch.manual_seed(1)
        images = torch.randn(2, 3, 64, 64)
        sum(m.square().sum() for m in backbone(images)).backward()
        grads.append({n: p.grad for n, p in backbone.named_parameters()})
    for name, grad in grads[0].items():
        torch.testing.assert_close(grads[1][name], grad, rtol=1e-4, atol=1e-4, msg=name)


def test_checkpointing_recomputes_the_blocks(family):
    backbone = family(with_cp=True).train()
    calls = []
    backbone.blocks(1)[0].register_forward_pre_hook(lambda *_: calls.append(1))
    loss = sum(m.sum() for m in backbone(torch.randn(1, 3, 64, 64)))
    assert len(calls) == 1
    loss.backward()
    assert len(calls) == 2


def test_frozen_stages_are_frozen_and_later_ones_are_not(family):
    for frozen in range(5):
        backbone = family(frozen_stages=frozen, drop_path_rate=0.5).train()
        assert not any(p.requires_grad for m in backbone.stem_modules() for p in m.parameters())
        for index in range(4):
            blocks = backbone.blocks(index)
            assert all(p.requires_grad == (index >= frozen) for p in blocks.parameters()), (frozen, index)
            assert blocks.training == (index >= frozen)
        images = torch.randn(2, 3, 32, 32)
        maps, again = backbone(images), backbone(images)
        assert [m.requires_grad for m in maps] == [index >= frozen for index in range(4)]
        assert all(torch.equal(a, b) for a, b in zip(maps[:frozen], again[:frozen]))  # no drop path there


def test_evaluation_returns_the_backbone(family):
    backbone = family(frozen_stages=1)
    assert backbone.eval() is backbone
    assert not any(m.training for m in backbone.modules())


def test_drop_path_grows_linearly_to_the_given_rate(family):
    backbone = family(drop_path_rate=0.4)
    blocks = [block for index in range(4) for block in backbone.blocks(index)]
    rates = []
    for block in blocks:
        drop = getattr(block, "stochastic_depth", None) or getattr(block, "drop_path", None)
        drop = getattr(block, "drop_path2", None) if drop is None else drop
        named = (getattr(drop, name) for name in ("p", "drop_prob", "rate") if hasattr(drop, name))
        rates.append(next(named, 0.0))
    torch.testing.assert_close(torch.tensor(rates), torch.linspace(0, 0.4, len(blocks)))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(out_indices=(0, 4)), r"out_indices=\(0, 4\), but its stages are 0\.\.3"),
        (dict(out_indices=()), "must name stages in increasing order"),
        (dict(out_indices=(2, 1)), "must name stages in increasing order"),
        (dict(frozen_stages=5), r"frozen_stages=5, but it can be -1\.\.4"),
    ],
)
def test_stages_out_of_range_are_named(family, kwargs, message):
    with pytest.raises(ConfigError, match=message):
        family(**kwargs)


def test_images_of_other_channels_are_refused(family):
    with pytest.raises(
        DataError, match=r"images of shape \(B, 3, H, W\), but this batch is \(2, 4, 32, 32\)"
    ):
        family()(torch.zeros(2, 4, 32, 32))
    with pytest.raises(DataError, match=r"this batch is \(3, 32, 32\)"):
        family()(torch.zeros(3, 32, 32))
    assert (
        family(in_channels=4)(torch.zeros(2, 4, 32, 32))[0].shape[1:]
        == family()(torch.zeros(2, 3, 32, 32))[0].shape[1:]
    )


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Swin("tny"), "no size 'tny'; did you mean 'tiny'"),
        (lambda: Swin(dict(embed_dim=16, depths=(1, 1))), "needs embed_dim, depths and num_heads"),
        (lambda: Swin(dict(embed_dim=16, depths=(1, 1), num_heads=(2,))), "2 depths, but 1 num_heads"),
        (lambda: Swin(dict(embed_dim=16, depths=(1,), num_heads=(3,))), "3 heads of stage 0 do not divide"),
        (lambda: Swin(version=3), "version=3, but there are 1 and 2"),
        (lambda: ConvNeXt("smal"), "V1 has no size 'smal'; did you mean 'small'"),
        (lambda: ConvNeXt("atto"), r"V1 has no size 'atto'.*known: tiny"),
        (lambda: ConvNeXt(dict(dims=(8, 16), depths=(1, 1))), "has four stages, but arch has 2 dims"),
        (lambda: ConvNeXt(dict(dim=8)), "arch needs dims and depths, but has dim"),
        (
            lambda: ConvNeXt(CONVNEXT, output_norm="first"),
            "output_norm='first', but there are all, last, none",
        ),
        (lambda: ConvNeXt(version=3), "version=3"),
        (lambda: FocalNet("large_fl5"), "no size 'large_fl5'; did you mean 'large_fl"),
        (lambda: FocalNet(dict(embed_dim=8)), "arch needs embed_dim and depths"),
        (lambda: FocalNet(dict(FOCAL, focal_level=3)), "no key 'focal_level'; did you mean 'focal_levels'"),
    ],
)
def test_bad_architectures_are_explained(build, message):
    with pytest.raises(ConfigError, match=message):
        build()


def test_every_released_size_builds_by_name():
    from dense3d.backbones import convnext, focalnet, swin

    sizes = [(Swin, name, version) for name in swin.ARCHITECTURES for version in (1, 2)]
    sizes += [
        (ConvNeXt, name, version) for version, known in convnext.ARCHITECTURES.items() for name in known
    ]
    for family, name, version in sizes:
        with torch.device("meta"):
            backbone = family(name, version=version)
        assert len(backbone.out_channels) == 4, name
    for name in focalnet.ARCHITECTURES:
        with torch.device("meta"):
            assert FocalNet(name).out_strides == (4, 8, 16, 32)


def test_the_registry_builds_them():
    for cfg in (
        dict(type="Swin", arch=SWIN),
        dict(type="ConvNeXt", arch=CONVNEXT),
        dict(type="FocalNet", arch=FOCAL),
    ):
        assert type(MODELS.build(cfg)).__name__ == cfg["type"]
