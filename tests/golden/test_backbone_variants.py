"""Golden adapters of backbones on kits of other options than the committed ones have, with seeded weights."""

from __future__ import annotations

import re

import numpy as np
import pytest

from dense3d.errors import DataError
from tests.golden import UnknownCheckError, open_kit


def check_of(kit, name: str, outputs: list[str]) -> dict:
    return next(dict(check, outputs=outputs) for check in kit.checks if check["name"] == name)


def replace_params(meta: dict, pattern: str, shapes: dict[str, list[int]]) -> None:
    """Parameters of names that fit leave, others come."""
    left = [entry for entry in meta["params"] if not re.match(pattern, entry[0])]
    meta["params"] = left + [[name, shape, "float32"] for name, shape in shapes.items()]


@pytest.mark.parametrize(("name", "check"), [("rmt", "features.even"), ("ppma", "features")])
def test_maps_have_the_numbers_of_their_stages_or_those_of_their_order(name, check, edited, golden_dir):
    kit = edited(name, lambda meta: meta["config"].update(out_indices=[1, 3]))
    run, image = open_kit(kit), kit.inputs(check)
    by_stage = run(check_of(kit, check, ["f2", "f4"]), image)
    by_order = run(check_of(kit, check, ["f1", "f2"]), image)
    assert by_stage["f2"].shape != by_stage["f4"].shape
    np.testing.assert_array_equal(by_order["f1"], by_stage["f2"])
    np.testing.assert_array_equal(by_order["f2"], by_stage["f4"])


def test_parameters_show_which_blocks_have_hyena(edited):
    attention = {"qkv.weight": [576, 192], "qkv.bias": [576], "proj.weight": [192, 192], "proj.bias": [192]}

    def change(meta: dict) -> None:
        meta["config"]["method"] = "hyena2dattn"
        replace_params(meta, r"blocks\.1\.attn\.", {f"blocks.1.attn.{n}": s for n, s in attention.items()})

    kit = edited("hyena-nd-vit", change)
    run = open_kit(kit)
    last = check_of(kit, "block.last", ["y"])
    tokens = kit.inputs("block.last")["tokens"]
    found = run(last, {"tokens": tokens})["y"]
    # attention has no order of tokens, which Hyena has
    np.testing.assert_allclose(run(last, {"tokens": tokens[:, ::-1]})["y"][:, ::-1], found, atol=1e-5)


def test_vidt_without_a_neck_takes_a_config_with_all_arguments(edited):
    heads = {"class_embed": 92, "bbox_embed": 4}
    shapes = {
        f"{head}.layers.{i}.{leaf}": [width, 256][: 2 if leaf == "weight" else 1]
        for head, last in heads.items()
        for i, width in enumerate((256, 256, last))
        for leaf in ("weight", "bias")
    }
    unused = (
        r"(transformer|input_proj|query_pos_proj|class_embed|bbox_embed|backbone\.layers\.3\.downsample)\."
    )
    kit = edited("vidt", lambda meta: replace_params(meta, unused, shapes))
    run = open_kit(kit)
    inputs = kit.inputs("detector")
    found = run(check_of(kit, "detector", ["pred_logits", "pred_boxes"]), inputs)
    check = check_of(kit, "postprocess", ["scores0", "labels0", "boxes0"])
    result = run(check, found | {"sizes": np.array([[40, 50]] * len(inputs["image"]))})
    assert result["labels0"].max() < 91
    corners = result["boxes0"].reshape(-1, 2, 2)
    np.testing.assert_allclose(corners.mean(1), found["pred_boxes"][0, :, :2] * [50, 40], rtol=1e-4)
    np.testing.assert_allclose(
        corners[:, 1] - corners[:, 0], found["pred_boxes"][0, :, 2:] * [50, 40], rtol=1e-3
    )
    with pytest.raises(UnknownCheckError, match="no rule for the check 'loss'"):
        run(check_of(kit, "loss", ["loss_ce"]), kit.inputs("loss"))
    kit.meta["config"]["plus"] = True
    with pytest.raises(DataError, match="plus=True"):
        open_kit(kit)


@pytest.mark.parametrize("names", [["logits", "logits_dist"], ["first", "other"]])
def test_both_classifiers_of_a_distilled_vit_resnas(names, edited):
    def change(meta: dict) -> None:
        meta["config"]["distill_token"] = True
        shapes = {"tokens": [1, 2, 64], "pos_embed": [1, 66, 64], "dst_head.weight": [10, 256]}
        replace_params(meta, r"(tokens|pos_embed)$", shapes | {"dst_head.bias": [10]})

    kit = edited("vit-resnas", change)
    found = open_kit(kit)(check_of(kit, "logits", names), kit.inputs("logits"))
    assert [found[name].shape[1] for name in names] == [10, 10]
    assert np.abs(found[names[0]] - found[names[1]]).max() > 0.1
