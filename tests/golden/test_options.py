"""A kit's config: whatever nobody reads is refused by name. Its notes: grids and modules that they state."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dense3d.errors import DataError
from tests.golden import open_kit
from tests.golden.kit import GoldenKit
from tests.golden.notes import stated_block, stated_grid, stated_numbers
from tests.golden.options import Options, square

# kits that the adapter of another one opens too
REPEATED = {
    "croco-pretrain-cosine",
    "dinov2",
    "kmax-deeplab-r50",
    "mask2former-swin-t",
    "monodino-detr-base",
    "relation-detr",
    "relation-detr-train",
    "vit-comer-seg",
}
NAMES = sorted({folder.name for folder in (Path(__file__).parent / "kits").iterdir()} - REPEATED)


@pytest.mark.parametrize("name", NAMES)
def test_every_adapter_refuses_an_argument_that_it_does_not_read(name, golden_dir):
    kit = GoldenKit(golden_dir / name)
    kit.meta["config"] = dict(kit.meta.get("config") or {}, colour="blue")
    with pytest.raises(DataError, match=f"{name}: the golden adapter does not know .* 'colour'"):
        open_kit(kit)


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("swin", dict(ape=True), "ape=True .* parameters are those of ape=False"),
        ("swin", dict(norm_layer="RMSNorm"), "norm_layer='RMSNorm' .* supported are None"),
        ("beit", dict(hybrid_backbone="resnet50"), "hybrid_backbone='resnet50'"),
        ("croco-pretrain", dict(norm_layer="RMSNorm"), "norm_layer='RMSNorm' .* supported are None"),
        ("croco-pretrain", dict(depth=3), "does not know the config argument 'depth'"),
        ("dinov2-reg", dict(ffn_layer="identity"), "ffn_layer='identity' .* supported are mlp, swiglu"),
        ("dinov2-reg", dict(img_size=[518, 224]), r"img_size=\[518, 224\] .* images are square"),
        ("dinov3-swiglu", dict(norm_layer=["rmsnorm"]), r"norm_layer=\['rmsnorm'\]"),
        ("monodetr", dict(two_stage=True), "two_stage=True .* supported are False"),
        ("monodetr", dict(position_embedding="learned"), "position_embedding='learned'"),
        ("relation-detr-focalnet", dict(depths=[1, 1, 6, 1]), r"depths=\[1, 1, 6, 1\] .* those of depths"),
        ("relation-detr-focalnet", dict(arch="focalnet_nano"), "arch='nano' .* released are tiny_srf"),
        ("relation-detr-swin", dict(num_heads=[1, 1, 1, 1]), "num_heads"),
        ("relation-detr-dinopp", dict(n_points=3), "n_points=3 .* parameters are those of n_points=4"),
        (
            "relation-detr-dinopp",
            dict(backbone="convnext_l"),
            "backbone='convnext_l' .* supported are focalnet",
        ),
        ("ntf-features", dict(model=dict(img_size=[64], colour=1)), "config argument 'colour'"),
        ("ntf-similarity", dict(reduction="sum"), "reduction='sum'"),
        ("ntf-bilateral", dict(grid_defaults=dict(sigma_time=1)), "config argument 'sigma_time'"),
        ("kitti-eval", dict(recall_points=11), "recall_points=11 .* supported are 41"),
        ("vit-comer-beit", dict(use_shared_rel_pos_bias=True), "use_shared_rel_pos_bias=True"),
        ("votenet", dict(sampling="random"), "sampling='random' .* drawn at random is not compared"),
        ("votenet", dict(num_heading_bin=1), "dataset='sunrgbd' .* supported are scannet"),
        ("threedetr", dict(enc_type="maskedv2"), "enc_type='maskedv2' .* vanilla and masked"),
        ("threedetr", dict(position_embedding="sine"), "position_embedding='sine' .* supported are fourier"),
        ("threedetr", dict(criterion=dict(loss_cardinality_weight=1)), "argument 'loss_cardinality_weight'"),
        ("vit-comer", dict(version="newest"), "version='newest' .* supported are new, old"),
    ],
)
def test_values_that_are_not_built_are_refused_by_name(golden_dir, name, change, sentence):
    kit = GoldenKit(golden_dir / name)
    kit.meta["config"] = kit.meta["config"] | change
    with pytest.raises(DataError, match=sentence):
        open_kit(kit)


def test_a_config_that_is_no_object_is_a_damaged_kit(golden_dir, tmp_path):
    meta = json.loads((golden_dir / "swin" / "kit.json").read_text())
    (tmp_path / "kit.json").write_text(json.dumps(meta | {"config": ["embed_dim"]}))
    shutil.copyfile(golden_dir / "swin" / "tensors.npz", tmp_path / "tensors.npz")
    with pytest.raises(DataError, match="'config' that is no object of arguments"):
        GoldenKit(tmp_path)


def test_options():
    options = Options({"depth": 4, "drop": 0.1, "ape": True, "mode": "LID", "heads": [1, 2]}, "kit")
    assert options.left == ["ape", "depth", "drop", "heads", "mode"]
    assert options.take("depth", 12) == 4
    assert options.take("width", 96) == 96
    options.only("mode", "LID")
    assert options.agree("heads", (1, 2)) == (1, 2)
    assert Options({"mlp_ratio": 2.6667}, "kit").ratio("mlp_ratio", 24, 64) == 2.6667
    assert Options({}, "kit").ratio("mlp_ratio", 24, 64) == 64 / 24
    with pytest.raises(DataError, match=r"mlp_ratio=4 .* parameters are of 64 channels from 24"):
        Options({"mlp_ratio": 4}, "kit").ratio("mlp_ratio", 24, 64)
    options.neutral("drop", "attn_drop")
    with pytest.raises(DataError, match="kit: the golden adapter does not know the config argument 'ape'"):
        options.refuse_rest()
    with pytest.raises(DataError, match="the config of kit lacks 'layers'"):
        options.take("layers")
    assert options.choose("ape", {True: "table", False: None}) == "table"
    options.refuse_rest()
    assert square(Options({"img_size": 64}, "kit"), "img_size", 224) == 64


def noted(*notes: str, kit_notes: str = "") -> GoldenKit:
    kit = GoldenKit.__new__(GoldenKit)
    kit.folder = Path("kit")
    names = ("modules", "small_inputs", "other")
    checks = [dict(name=name, note=note) for name, note in zip(names, notes)]
    kit.meta = {"checks": checks, "notes": kit_notes}
    return kit


def test_grids_stand_in_the_note_of_the_check_or_of_another():
    kit = noted("tokens x on a 6x10 grid", "as modules, 1e-3", "a 5 x 12 grid")
    modules, small, other = kit.checks
    assert stated_grid(kit, modules, 60) == (6, 10)
    assert stated_grid(kit, small, 60) == (6, 10)  # of the check that it names
    assert stated_grid(kit, other, 60) == (5, 12)
    with pytest.raises(DataError, match="no note says on which grid the 61 tokens of the check 'other' lie"):
        stated_grid(kit, other, 61)
    kit = noted("a 6x10 grid", "on inputs of size 1e-3", "a 5x12 grid, sizes 3.6x10")
    with pytest.raises(DataError, match="the check 'small_inputs' may lie on 5x12 or 6x10; say in its note"):
        stated_grid(kit, kit.checks[1], 60)
    kit = noted("", "", "", kit_notes="all on a grid of 4 x 15 tokens")
    assert stated_grid(kit, kit.checks[0], 60) == (4, 15)


def test_blocks_stand_in_notes_and_names():
    kit = noted("blocks.2(x) and decoder_blocks.1(y)", "as modules", "nothing")
    modules, small, other = kit.checks
    assert stated_block(kit, modules) == 2
    assert stated_block(kit, modules, "decoder_blocks") == 1
    assert stated_block(kit, small) == 2
    assert stated_block(kit, other) == 0
    assert stated_block(kit, dict(other, name="block3")) == 3
    assert stated_block(kit, dict(other, name="block3", note="blocks.1 of x")) == 1
    with pytest.raises(DataError, match=r"'modules' is of blocks\.2, but there are 2"):
        stated_block(kit, modules, count=2)
    kit = noted("a: blocks.4(x), windowed; b: blocks.1(x)", "", "")
    assert stated_numbers(kit, kit.checks[0], r"blocks\.(\d+)", "b") == [1]
    assert stated_numbers(kit, kit.checks[0], r"blocks\.(\d+)") == [4, 1]
    # another check says it of an output of the same name
    assert stated_numbers(kit, kit.checks[1], r"blocks\.(\d+)", "b") == [1]
    assert stated_numbers(kit, kit.checks[1], r"blocks\.(\d+)") == []
