"""Official Point-MAE checkpoints: names, prefixes, the transformer of any task's file into any network."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path

import pytest
import torch

from dense3d.apis import convert_checkpoint
from dense3d.checkpoints import convert
from dense3d.engine import load_into
from dense3d.errors import CheckpointError
from dense3d.pointcloud import PartSegmenter, PointClassifier, PointTransformer
from dense3d.pretraining import PointMAE
from tests.golden.kit import seeded_array

KITS = Path(__file__).resolve().parents[1] / "golden" / "kits"

DEPTH = 3  # blocks that are left of the kits' twelve, and four of the decoder
BACKBONE = dict(depth=DEPTH)
MODELS = {
    "point-mae": ("point-mae-pretrain", lambda: PointMAE(BACKBONE, dict(depth=DEPTH))),
    "point-mae-classify": ("point-mae-classify", lambda: PointClassifier(BACKBONE, 40)),
    "point-mae-partseg": (
        "point-mae-partseg",
        lambda: PartSegmenter(BACKBONE, 50, num_categories=16, fetch_blocks=(0, 1, 2)),
    ),
}


@lru_cache
def official(kit: str) -> dict[str, torch.Tensor]:
    """The official checkpoint of a kit, without all blocks but the first ones."""
    params = json.loads((KITS / kit / "kit.json").read_text())["params"]
    return {
        name: torch.from_numpy(seeded_array(name, tuple(shape), dtype))
        for name, shape, dtype in params
        if (block := re.search(r"blocks\.(\d+)\.", name)) is None or int(block[1]) < DEPTH
    }


@pytest.mark.parametrize("system", MODELS)
def test_every_name_is_accounted_for(system):
    kit, build = MODELS[system]
    state, model = official(kit), build()
    parallel = {f"module.{name}": value for name, value in state.items()}
    for given in (state, {"base_model": parallel, "epoch": 3}, {"model_state_dict": state}):
        assert not load_into(model, convert(system, given))
    with pytest.raises(CheckpointError, match=r"unexpected names: extra\.weight"):
        convert(system, state | {"extra.weight": torch.ones(1)})
    with pytest.raises(CheckpointError, match=r"no official .* no name like .*first_conv"):
        convert(system, {name: value for name, value in state.items() if "first_conv.0" not in name})


@pytest.mark.parametrize("system", MODELS)
def test_the_transformer_of_any_file_starts_a_network(tmp_path, system):
    state, file = official(MODELS[system][0]), tmp_path / "weights.pth"
    torch.save({"base_model": {f"module.{name}": value for name, value in state.items()}}, file)
    convert_checkpoint(system, file, tmp_path / "ours.pth")
    prefix = "MAE_encoder." if system == "point-mae" else ""
    kernel = state[f"{prefix}encoder.second_conv.3.weight"].squeeze(2)
    for place, class_token in ((file, False), (tmp_path / "ours.pth", True)):
        init = dict(type="Pretrained", checkpoint=str(place))
        network = PointTransformer(**BACKBONE, class_token=class_token, init_cfg=init)
        network.init_weights()
        assert torch.equal(network.patch_embed.linear4.weight, kernel)
        assert torch.equal(network.blocks[0].mlp.fc2.bias, state[f"{prefix}blocks.blocks.0.mlp.fc2.bias"])
        if class_token and system == "point-mae-classify":
            assert torch.equal(network.cls_token, state["cls_token"])


def test_a_classifier_takes_the_pre_trained_transformer_and_keeps_its_head(tmp_path):
    file = tmp_path / "weights.pth"
    torch.save(official("point-mae-pretrain"), file)
    model = PointClassifier(dict(BACKBONE, init_cfg=dict(type="Pretrained", checkpoint=str(file))), 40)
    head = model.head.classify.weight.clone()
    model.init_weights()
    assert torch.equal(model.head.classify.weight, head)
    assert torch.equal(model.backbone.norm.bias, official("point-mae-pretrain")["MAE_encoder.norm.bias"])


def test_other_files_and_sizes_are_one_sentence(tmp_path):
    file = tmp_path / "weights.pth"
    torch.save({"state_dict": {"conv.weight": torch.ones(1)}}, file)
    init = dict(type="Pretrained", checkpoint=str(file))
    with pytest.raises(CheckpointError, match="holds no point transformer"):
        PointTransformer(init_cfg=init).init_weights()
    torch.save(official("point-mae-pretrain"), file)
    with pytest.raises(CheckpointError, match="norm"):
        PointTransformer(embed_dim=192, depth=DEPTH, num_heads=3, init_cfg=init).init_weights()
