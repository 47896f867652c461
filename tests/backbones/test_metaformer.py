"""PoolFormer and the MetaFormer baselines: timm as a peer, and what the golden kits do not exercise."""

from __future__ import annotations

import pytest
import torch
from timm.models import metaformer as timm_metaformer
from torch import nn

from dense3d.backbones import MetaFormer, PoolFormer, poolformer
from dense3d.backbones import metaformer as baselines
from dense3d.checkpoints import convert
from dense3d.checkpoints.metaformer import convert_head
from dense3d.errors import CheckpointError, ConfigError

SIZES = dict(dims=(8, 16, 32, 64), depths=(1, 1, 2, 1))
NORMS = {"channel": timm_metaformer.LayerNorm2dNoBias, "group": timm_metaformer.GroupNorm1NoBias}
MIXERS = {
    "pool": timm_metaformer.Pooling,
    "conv": timm_metaformer.SepConv,
    "attention": timm_metaformer.Attention,
    "identity": nn.Identity,
}


def randomised(network: nn.Module) -> nn.Module:
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network.eval()


@pytest.mark.parametrize("kind", ["caformer", "convformer", "poolformerv2", "identityformer"])
def test_baselines_are_those_of_timm(kind):
    torch.manual_seed(0)
    mixers, norm, hidden, _ = baselines._KINDS[kind]
    peer = timm_metaformer.MetaFormer(
        depths=SIZES["depths"],
        dims=SIZES["dims"],
        token_mixers=[MIXERS[name] for name in mixers],
        norm_layers=[
            timm_metaformer.LayerNormNoBias if name == "attention" else NORMS[norm] for name in mixers
        ],
        use_mlp_head=hidden,
        num_classes=5,
    )
    if hidden:  # the official norm of the hidden layer has 1e-5
        peer.head.fc.norm.eps = 1e-5
    state = randomised(peer).state_dict()
    model = MetaFormer(dict(SIZES, mixers=mixers, norm=norm, mlp_head=hidden)).eval()
    model.load_state_dict(convert("metaformer", state))
    head = model.class_head(5).eval()
    head.load_state_dict(convert_head(state))
    image = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        maps = model(image)
        _, theirs = peer.forward_intermediates(image)
        for a, b in zip(maps, theirs):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(head(maps[-1]), peer(image), rtol=1e-4, atol=1e-5)


def test_poolformer_has_timms_trunk_and_its_own_head():
    torch.manual_seed(0)
    peer = timm_metaformer.MetaFormer(
        depths=SIZES["depths"],
        dims=SIZES["dims"],
        downsample_norm=None,
        mlp_act=nn.GELU,
        mlp_bias=True,
        norm_layers=timm_metaformer.GroupNorm1,
        layer_scale_init_values=0.3,
        res_scale_init_values=None,
        use_mlp_head=False,
        num_classes=5,
    )
    state = randomised(peer).state_dict()
    model = PoolFormer(SIZES, output_norm=False).eval()
    model.load_state_dict(convert("poolformer", state))
    head = model.class_head(5).eval()
    head.load_state_dict(convert_head(state))
    image = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        maps = model(image)
        for a, b in zip(maps, peer.forward_intermediates(image)[1]):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
        logits = head(maps[-1])
        normed = nn.functional.group_norm(maps[-1], 1, head.norm.weight, head.norm.bias, 1e-5)
        torch.testing.assert_close(logits, head.head(normed.mean((2, 3))))
        assert (logits - peer(image)).abs().max() > 1e-3


def test_the_group_norm_sees_the_whole_image_and_no_other():
    torch.manual_seed(0)
    image = torch.randn(1, 3, 64, 64)
    padded = nn.functional.pad(image, (0, 64))
    with torch.no_grad():
        for norm, changed in (("group", True), ("channel", False)):
            model = PoolFormer(dict(SIZES, layer_scale=1.0), norm=norm).eval()
            alone, beside = model(image)[0], model(padded)[0][..., :16]
            assert bool((alone - beside)[..., :8].abs().max() > 1e-3) == changed
            together = model(torch.cat([image, torch.randn(1, 3, 64, 64)]))[0][:1]
            torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-5)


def test_initial_weights():
    torch.manual_seed(0)
    pool = PoolFormer(dict(dims=(64, 64, 64, 64), depths=(1, 1, 1, 1), layer_scale=1e-6))
    block = pool.blocks(0)[0]
    assert (block.layer_scale1.scale == 1e-6).all() and (block.layer_scale2.scale == 1e-6).all()
    assert 0.019 < block.mlp.fc1.weight.std() < 0.021 and not block.mlp.fc1.bias.any()
    meta = MetaFormer(
        dict(dims=(64, 64, 64, 64), depths=(1, 1, 1, 1), mixers=("conv", "conv", "attention", "pool"))
    )
    for weight in (meta.stages[0].embed.conv.weight, meta.blocks(1)[0].mlp.fc2.weight):
        assert 0.019 < weight.std() < 0.021
    assert not meta.stages[0].embed.conv.bias.any() and meta.blocks(0)[0].mlp.fc1.bias is None
    assert isinstance(meta.blocks(1)[0].res_scale1, nn.Identity)
    assert (meta.blocks(2)[0].res_scale1.scale == 1).all()
    act = meta.blocks(0)[0].mlp.act
    assert act.scale.item() == 1 and act.bias.item() == 0


def test_half_precision_is_close():
    torch.manual_seed(0)
    mixers = ("pool", "conv", "attention", "random")
    images = torch.randn(2, 3, 64, 96)
    for model in (PoolFormer(SIZES), MetaFormer(dict(SIZES, mixers=mixers, norm="group"))):
        model.eval()
        with torch.no_grad():
            exact = model(images)
            with torch.autocast("cpu", torch.bfloat16):
                rough = model(images)
        for a, b in zip(exact, rough):
            assert b.isfinite().all()
            assert (a - b.float()).abs().mean() < 0.05 * a.abs().mean()


def test_files_of_dense_models(tmp_path):
    """Output norms are numbered by their place; those of RetinaNet lack the first."""
    torch.manual_seed(0)
    state = {"network.0.0.norm1.weight": torch.ones(8), "network.5.proj.bias": torch.ones(64)}
    state |= {"norm2.weight": torch.ones(16), "norm6.bias": torch.ones(64), "head.bias": torch.ones(5)}
    assert set(convert("poolformer", state)) == {
        "stages.0.blocks.0.norm1.weight",
        "stages.3.embed.bias",
        "norm1.weight",
        "norm3.bias",
    }
    with pytest.raises(CheckpointError, match="no official MetaFormer checkpoint: 1 unexpected name"):
        convert("metaformer", {"stages.0.0.token_mixer.qkv.bias": torch.ones(3)})
    source = PoolFormer(SIZES)
    weights = {name: value for name, value in source.state_dict().items() if not name.startswith("norm0")}
    torch.save({"state_dict": weights}, tmp_path / "retinanet.pth")
    target = PoolFormer(SIZES, init_cfg=dict(type="Pretrained", checkpoint=str(tmp_path / "retinanet.pth")))
    target.init_weights()
    assert torch.equal(target.stages[3].embed.weight, source.stages[3].embed.weight)
    assert (target.norm0.weight == 1).all()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: PoolFormer("s11"), "PoolFormer has no size 's11'; did you mean 's12'"),
        (lambda: PoolFormer(dict(SIZES, layerscale=1)), "no key 'layerscale'; did you mean 'layer_scale'"),
        (lambda: PoolFormer(dict(dims=(8,) * 4)), "PoolFormer: arch needs dims and depths, but has dims"),
        (lambda: PoolFormer(dict(dims=(8, 8), depths=(1, 1))), "has four stages, but arch has 2 dims"),
        (lambda: PoolFormer(SIZES, pool_size=2), "pool_size=2, but only odd squares"),
        (lambda: PoolFormer(SIZES, norm="batch"), "norm='batch', but there are group, channel"),
        (lambda: MetaFormer("caformer_s19"), "no size 'caformer_s19'; did you mean 'caformer_s18'"),
        (lambda: MetaFormer(SIZES), "arch needs mixers"),
        (lambda: MetaFormer(dict(SIZES, mixers=("pol",) * 4)), "no mixer 'pol'; did you mean 'pool'"),
        (lambda: MetaFormer(dict(SIZES, mixers=("pool",) * 4, norm="layer")), "norm='layer', but there are"),
    ],
)
def test_bad_architectures_are_explained(build, message):
    with pytest.raises(ConfigError, match=message):
        build()


@pytest.mark.parametrize(
    ("family", "name", "millions"),
    [
        (PoolFormer, "s12", 12),
        (PoolFormer, "s36", 31),
        (PoolFormer, "m48", 73),
        (MetaFormer, "caformer_s18", 26),
        (MetaFormer, "caformer_b36", 99),
    ],
)
def test_parameters_as_published(family, name, millions):
    known = poolformer.ARCHITECTURES if family is PoolFormer else baselines.ARCHITECTURES
    with torch.device("meta"):
        backbone = family(known[name])
        parts = (backbone, backbone.class_head(1000))
    count = sum(p.numel() for part in parts for p in part.parameters()) / 1e6
    assert round(count) == millions
