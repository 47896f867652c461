"""ViT-ResNAS: its contract, its reduction, removed blocks, tables of other sizes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dense3d.backbones import ViTResNAS
from dense3d.backbones.vit_resnas import ARCHITECTURES
from dense3d.checkpoints import vit_resnas as converters
from dense3d.errors import CheckpointError, ConfigError
from dense3d.layers.spatial_reduction import Reduction
from tests.backbones import contract

ARCH = dict(dims=(16, 24, 32), blocks=(((2, 8, 32),), ((2, 8, 48),), ((3, 8, 64), (2, 8, 48))))


def build(pyramid: bool = False, **kwargs) -> ViTResNAS:
    torch.manual_seed(0)
    return ViTResNAS(ARCH, pretrain_size=112, pyramid=pyramid, **kwargs)


@pytest.mark.parametrize("pyramid", [False, True])
def test_contract(pyramid):
    indices = ((0, 1, 2, 3), (1,), (0, 3)) if pyramid else ((0, 1, 2), (1,))
    contract.check_batch(build(pyramid, distilled=True).eval())
    contract.check_gradients(lambda **kw: build(pyramid, **kw), out_indices=indices)
    contract.check_checkpointing(lambda **kw: build(pyramid, **kw))
    contract.check_bfloat16(build(pyramid).eval())
    contract.check_starts(build(pyramid))


def test_frozen_stages_and_depths():
    contract.check_frozen(build)
    backbone = build()
    ids = backbone.layer_ids()
    assert ids["tokens"] == ids["patch_embed.proj.weight"] == 0
    assert ids["reductions.0.norm.weight"] == ids["stages.1.0.norm1.weight"] == 2
    assert ids["stages.2.1.norm1.weight"] == backbone.num_layers == 4
    assert ids["norm2.weight"] == 5


@pytest.mark.parametrize("size", [(56, 112), (65, 97), (7, 5)])
def test_any_size(size):
    for pyramid, strides in ((False, (14, 28, 56)), (True, (4, 8, 16, 32))):
        backbone = build(pyramid).eval()
        assert backbone.out_strides == strides
        contract.check_sizes(backbone, *size)


def test_a_pyramid_sees_larger_images_and_repeats_its_first_map():
    native, pyramid = build(output_norm=False).eval(), build(True, output_norm=False).eval()
    pyramid.load_state_dict(native.state_dict())
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        larger = F.interpolate(images, size=(112, 168), mode="bilinear", align_corners=False)
        maps, expected = pyramid(images), native(larger)
        assert torch.equal(native.embed(images), pyramid.embed(images))
    for a, b in zip(maps[1:], expected):
        torch.testing.assert_close(a, b)
    torch.testing.assert_close(maps[0], F.interpolate(maps[1], scale_factor=2, mode="bilinear"))


def test_the_first_two_maps_of_a_pyramid_are_frozen_together():
    for frozen in range(5):
        backbone = build(True, frozen_stages=frozen)
        trained = [any(p.requires_grad for p in stage.parameters()) for stage in backbone.stages]
        assert trained == [frozen < 1, frozen < 3, frozen < 4]
        assert backbone.num_layers == 4
        assert max(backbone.layer_ids().values()) == 5


def test_the_reduction_is_that_of_its_definition():
    reduction = Reduction(4, 6, num_prefix=2, grid=(2, 3))
    for parameter in reduction.parameters():
        nn.init.normal_(parameter)
    tokens = torch.randn(1, 2 + 24, 4)
    found = reduction(tokens, (4, 6))[0]
    normed = reduction.norm(tokens[0])
    means = tokens[0, 2:].T.unflatten(1, (2, 2, 3, 2)).mean((2, 4))  # (4, 2, 3)
    patches = reduction.patch_reduce(normed[2:].T.unflatten(1, (4, 6))[None])[0]
    expected = patches.flatten(1).T + reduction.pos_embed[0] + F.pad(means.flatten(1).T, (0, 2))
    torch.testing.assert_close(found[2:], expected)
    torch.testing.assert_close(
        found[:2], reduction.token_transform(normed[:2]) + F.pad(tokens[0, :2], (0, 2))
    )


@pytest.mark.parametrize("distilled", [False, True])
def test_classification(distilled):
    backbone = build(distilled=distilled, output_norm=False).eval()
    head = backbone.class_head(5)
    with torch.no_grad():
        tokens = backbone.embed(torch.randn(2, 3, 112, 112))
        assert tokens.shape == (2, 1 + distilled + 4, 32)
        assert head(tokens).shape == (2, 5)


def test_the_released_sizes_have_the_published_parameters():
    published = {"tiny": 41.5, "small": 64.6, "medium": 97.3}
    for name, millions in published.items():
        with torch.device("meta"):
            backbone = ViTResNAS(name, output_norm=False)
            head, of_patches = backbone.class_head(1000), nn.Linear(backbone.channels[-1], 1000)
        count = sum(p.numel() for module in (backbone, head, of_patches) for p in module.parameters())
        assert abs(count / 1e6 - millions) <= 0.051
    with torch.device("meta"):
        assert ViTResNAS("reference-tiny", pyramid=False).depths == (4, 4, 4)


def test_every_released_block_is_of_its_stage():
    for sizes in ARCHITECTURES.values():
        assert len(sizes["dims"]) == len(sizes["blocks"]) == 3
        assert all(len(block) == 3 for stage in sizes["blocks"] for block in stage)


def test_removed_blocks_leave_gaps_in_the_official_numbers():
    official = {f"blocks.{i}.norm1.weight": torch.full((1,), float(i)) for i in (0, 3, 5, 6)}
    official |= {f"blocks.{i}.patch_reduce.weight": torch.full((1,), float(i)) for i in (2, 4)}
    converted = converters.convert(official)
    assert {name: int(value) for name, value in converted.items()} == {
        "stages.0.0.norm1.weight": 0,
        "reductions.0.patch_reduce.weight": 2,
        "stages.1.0.norm1.weight": 3,
        "reductions.1.patch_reduce.weight": 4,
        "stages.2.0.norm1.weight": 5,
        "stages.2.1.norm1.weight": 6,
    }
    with pytest.raises(CheckpointError, match="no official ViT-ResNAS checkpoint"):
        converters.convert({"cls_token": torch.ones(1)})


def test_tables_of_another_image_size_are_resized(tmp_path):
    state = ViTResNAS(ARCH, pretrain_size=224, output_norm=False).state_dict()
    torch.save(state, tmp_path / "224.pth")
    path = str(tmp_path / "224.pth")
    backbone = build(output_norm=False, init_cfg=dict(type="Pretrained", checkpoint=path))
    backbone.init_weights()
    assert torch.equal(backbone.pos_embed[:, :1], state["pos_embed"][:, :1])
    assert torch.equal(backbone.reductions[0].norm.weight, state["reductions.0.norm.weight"])
    assert torch.equal(backbone.stages[0][0].mlp.fc1.weight, state["stages.0.0.mlp.fc1.weight"])


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(arch="tinny"), "no size 'tinny'; did you mean 'tiny'"),
        (dict(arch=dict(dims=(8,))), "arch needs dims and blocks"),
        (dict(arch=dict(ARCH, depths=(1,))), "but has blocks, depths, dims"),
        (dict(arch=dict(ARCH, dims=(16, 24))), "for 3 stages of blocks: give one a stage"),
        (dict(arch=dict(ARCH, dims=(16, 24, 20))), "none smaller than the one before"),
        (dict(arch=dict(dims=(8,), blocks=(((2, 8),),))), "a block is"),
        (dict(arch=ARCH, pretrain_size=200), "pretrain_size=200 is no multiple of the stride 56"),
        (dict(arch=ARCH, pyramid=False, out_indices=(0, 3)), r"its stages are 0\.\.2"),
    ],
)
def test_bad_arguments_are_explained(kwargs, message):
    with pytest.raises(ConfigError, match=message):
        ViTResNAS(**kwargs)
