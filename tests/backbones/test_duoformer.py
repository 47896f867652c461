"""DuoFormer: its contract, the order of its tokens, its classifier."""

from __future__ import annotations

import pytest
import torch

from dense3d.backbones import DuoFormer
from dense3d.checkpoints import duoformer as converters
from dense3d.errors import CheckpointError, ConfigError
from dense3d.layers.region_tokens import ChannelToken, region_tokens
from tests.backbones import contract

ARCH = dict(block="basic", layers=(1, 1, 1, 1), channels=(8, 16, 24, 32), embed_dim=32, depth=2, num_heads=2)


def build(**kwargs) -> DuoFormer:
    torch.manual_seed(0)
    return DuoFormer(ARCH, **kwargs)


@pytest.mark.parametrize("scale_token", ["random", "channel"])
@pytest.mark.parametrize("scales", [2, 3, 4])
def test_a_batch_is_its_images_one_by_one(scale_token, scales):
    contract.check_batch(build(scale_token=scale_token, scales=scales).eval())


def test_contract():
    contract.check_gradients(lambda **kw: build(scale_token="channel", **kw))
    contract.check_checkpointing(build)
    contract.check_frozen(lambda **kw: build(scale_token="channel", **kw))
    contract.check_bfloat16(build().eval())
    backbone = build(scale_token="channel")
    ids = backbone.layer_ids()
    assert ids["projections.3.weight"] == ids["scale_blocks.0.norm1.weight"] == 5
    assert ids["scale_blocks.1.norm1.weight"] == backbone.num_layers == 6
    assert backbone.no_weight_decay() <= set(ids)


@pytest.mark.parametrize("size", [(32, 32), (65, 97), (7, 5)])
def test_any_size(size):
    contract.check_sizes(build().eval(), *size)


def test_tokens_of_a_region_are_coarse_first_and_the_four_of_the_next_scale_column_by_column():
    rows, columns = 2, 3
    maps = [
        torch.arange(float(k * k * rows * columns)).view(1, 1, k * rows, k * columns) for k in (1, 2, 4, 8)
    ]
    tokens = region_tokens(maps)[0, ..., 0]
    assert tokens.shape == (6, 85)
    for row in range(rows):
        for column in range(columns):
            of_region = tokens[row * columns + column]
            cells = [
                m[0, 0].unflatten(0, (rows, -1))[row].unflatten(1, (columns, -1))[:, column] for m in maps
            ]
            expected = [cells[0], cells[1].T, cells[2], cells[3]]
            assert torch.equal(of_region, torch.cat([cell.flatten() for cell in expected]))


def test_attention_over_scales_stays_inside_a_region():
    backbone = build().eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        x = backbone.stem(images)
        for index in range(4):
            x = backbone.stage(index, x)
        maps = [torch.randn(1, c, 64 // s, 64 // s) for c, s in ((8, 4), (16, 8), (24, 16), (32, 32))]
        changed = [m.clone() for m in maps]
        changed[0][..., :8, :8] += 1
        difference = (backbone.regions(maps) - backbone.regions(changed)).abs().sum(1)[0]
    assert (difference > 0).tolist() == [[True, False], [False, False]]


def test_the_channel_token_sees_all_scales():
    token = ChannelToken((4, 6, 8, 10), 12).eval()
    maps = [torch.randn(1, c, 2 * k, 2 * k, requires_grad=True) for c, k in ((4, 8), (6, 4), (8, 2), (10, 1))]
    token(maps).square().sum().backward()
    assert all(m.grad.abs().sum() > 0 for m in maps)


def test_classification():
    backbone = build().eval()
    head = backbone.class_head(5)
    with torch.no_grad():
        regions = backbone.embed(torch.randn(2, 3, 96, 64))
        assert head(regions).shape == (2, 5)
        assert head.tokens(regions).shape == (2, 1 + 6, 32)
    assert torch.equal(head.positions((7, 7)), head.pos_embed)
    assert 0.8 * 0.036 < head.pos_embed.std() < 1.2 * 0.036


def test_the_released_sizes_build_by_name():
    with torch.device("meta"):
        assert DuoFormer("r50", scale_token="channel").out_channels == (256, 512, 1024, 768)
        assert DuoFormer("r18", scales=3).scale_positions.shape == (1, 1, 22, 768)


def test_an_official_classifier_goes_into_the_backbone_and_its_head():
    official = {
        "resnet_projector.0.weight": torch.ones(1),
        "resnet_projector.7.1.bn2.running_mean": torch.ones(1),
        "chann_proj1.conv2.bias": torch.ones(1),
        "chann_proj_all.nConvs.3.norm.weight": torch.ones(1),
        "projection.proj_heads2.weight": torch.ones(1),
        "vision_transformer.scaleBlocks.1.attn.qkv.bias": torch.ones(1),
        "vision_transformer.blocks.1.attn.qkv.bias": torch.ones(1),
        "vision_transformer.cls_token": torch.ones(1),
        "vision_transformer.fc_norm.weight": torch.ones(1),
        "vision_transformer.head.weight": torch.ones(1),
        "vision_transformer.pos_embed": torch.ones(1),
    }
    assert set(converters.convert(official)) == {
        "resnet.conv1.weight",
        "resnet.layer4.1.bn2.running_mean",
        "channel_token.reduce.0.1.bias",
        "channel_token.mix.3.1.weight",
        "projections.2.weight",
        "scale_blocks.1.attn.qkv.bias",
    }
    with torch.device("meta"):
        own = set(DuoFormer("r18", scale_token="channel").state_dict())
    assert set(converters.convert(official)) <= own
    assert set(converters.convert_head(official)) == {
        "blocks.1.qkv.bias",
        "cls_token",
        "head.weight",
        "pos_embed",
    }
    with pytest.raises(CheckpointError, match="no official DuoFormer checkpoint"):
        converters.convert({"blocks.0.norm1.weight": torch.ones(1)})


def test_a_resnet_gives_its_part(tmp_path):
    state = {n.removeprefix("resnet."): v for n, v in build().state_dict().items() if n.startswith("resnet.")}
    state = {name: torch.randn_like(value.float()).to(value.dtype) for name, value in state.items()}
    torch.save(state | {"fc.weight": torch.ones(5, 32)}, tmp_path / "resnet.pth")
    backbone = build(init_cfg=dict(type="Pretrained", checkpoint=str(tmp_path / "resnet.pth")))
    before = backbone.scale_positions.clone()
    backbone.init_weights()
    assert torch.equal(backbone.resnet.layer4[0].conv2.weight, state["layer4.0.conv2.weight"])
    assert torch.equal(backbone.scale_positions, before)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(arch="r51"), "no size 'r51'; did you mean 'r5"),
        (
            dict(arch=dict(layers=(1, 1, 1, 1))),
            "needs block, channels, depth, embed_dim, layers, num_heads",
        ),
        (dict(arch=dict(ARCH, block="wide")), "block='wide', but there are basic, bottleneck"),
        (dict(arch=dict(ARCH, layers=(1, 1))), "give four layers and four channels"),
        (dict(arch=ARCH, scales=5), "scales=5 and scale_token='random', but there are scales 2, 3, 4"),
        (dict(arch=ARCH, scale_token="mean"), "scale_token='mean'"),
    ],
)
def test_bad_arguments_are_explained(kwargs, message):
    with pytest.raises(ConfigError, match=message):
        DuoFormer(**kwargs)
