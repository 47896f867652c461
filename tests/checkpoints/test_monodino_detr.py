"""Official MonoDETR, MonoDINO-DETR and Depth Anything V2 checkpoints."""

from __future__ import annotations

import pytest
import torch

from dense3d.checkpoints import convert
from dense3d.errors import CheckpointError
from dense3d.layers.dpt import DPTHead
from tests.golden.kit import GoldenKit

KITS = ("monodetr", "monodino-detr", "monodino-detr-base")


def official(golden_dir, kit: str) -> dict[str, torch.Tensor]:
    """Names and shapes of the official checkpoint, every tensor with values of its own."""
    params = GoldenKit(golden_dir / kit).meta["params"]
    return {name: torch.full(shape, float(i)) for i, (name, shape, _) in enumerate(params)}


@pytest.mark.parametrize("kit", KITS)
def test_what_is_held_twice_is_left_out(golden_dir, kit):
    state = official(golden_dir, kit)
    doubles = {
        f"depthaware_transformer.decoder.{name.replace('dim_embed_3d', 'dim_embed')}": value
        for name, value in state.items()
        if name.startswith(("bbox_embed.", "dim_embed_3d."))
    }
    doubles |= {
        name.replace("backbone.0.", "backbone."): value
        for name, value in state.items()
        if name.startswith("backbone.0.backbone.")
    }
    assert (
        convert(kit.removesuffix("-base"), state | doubles).keys()
        == convert(kit.removesuffix("-base"), state).keys()
    )


@pytest.mark.parametrize("kit", KITS)
def test_the_class_row_of_car(golden_dir, kit):
    state = official(golden_dir, kit)
    state["class_embed.0.weight"] = torch.arange(state["class_embed.0.weight"].shape[0])[:, None].float()
    system = kit.removesuffix("-base")
    assert convert(f"{system}-car", state)["heads.0.classes.weight"].tolist() == [[1.0]]
    assert len(convert(system, state)["heads.0.classes.weight"]) >= 3


def test_depth_anything_fills_backbone_and_depth_head(golden_dir, tmp_path):
    state = official(golden_dir, "monodino-detr")
    released = {
        name.replace("backbone.0.backbone.", "pretrained.").replace(
            "backbone.0.dpt_head.", "depth_head."
        ): value
        for name, value in state.items()
        if name.startswith("backbone.0.")
    }
    converted = convert("depth-anything-v2", released)
    whole = convert("monodino-detr", state)
    assert converted.keys() == {n for n in whole if n.startswith(("backbone.", "depth_head."))}
    torch.save({"state_dict": converted}, tmp_path / "depth.pth")
    head = DPTHead([384] * 4, init_cfg=dict(type="Pretrained", checkpoint=str(tmp_path / "depth.pth")))
    head.init_weights()
    torch.testing.assert_close(head.neck.weight, whole["depth_head.neck.weight"])
    torch.testing.assert_close(head.laterals[3].weight, state["backbone.0.dpt_head.scratch.layer4_rn.weight"])


def test_other_files_are_refused(golden_dir):
    with pytest.raises(CheckpointError, match="level_embed"):
        convert("monodetr", {"conv1.weight": torch.ones(1)})
    with pytest.raises(CheckpointError, match=r"pretrained\.\*"):
        convert("depth-anything-v2", {"model.weight": torch.ones(1)})
    with pytest.raises(CheckpointError, match="odd"):
        convert("monodetr", official(golden_dir, "monodetr") | {"odd.weight": torch.ones(1)})
