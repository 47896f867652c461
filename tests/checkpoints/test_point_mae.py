"""Official Point-MAE checkpoints: names, prefixes, the transformer of any task's file into any network."""

from __future__ import annotations

import pytest
import torch

from dense3d.apis import convert_checkpoint
from dense3d.checkpoints import convert
from dense3d.engine import load_into
from dense3d.errors import CheckpointError
from dense3d.pointcloud import PartSegmenter, PointClassifier, PointTransformer
from dense3d.pretraining import PointMAE
from tests.golden.kit import GoldenKit

MODELS = {
    "point-mae": ("point-mae-pretrain", lambda: PointMAE({})),
    "point-mae-classify": ("point-mae-classify", lambda: PointClassifier({}, 40)),
    "point-mae-partseg": ("point-mae-partseg", lambda: PartSegmenter({}, 50, num_categories=16)),
}


def official(golden_dir, kit: str) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(value) for name, value in GoldenKit(golden_dir / kit).state_dict().items()}


@pytest.mark.parametrize("system", MODELS)
def test_every_name_is_accounted_for(golden_dir, system):
    kit, build = MODELS[system]
    state, model = official(golden_dir, kit), build()
    parallel = {f"module.{name}": value for name, value in state.items()}
    for given in (state, {"base_model": parallel, "epoch": 3}, {"model_state_dict": state}):
        assert not load_into(model, convert(system, given))
    with pytest.raises(CheckpointError, match=r"unexpected names: extra\.weight"):
        convert(system, state | {"extra.weight": torch.ones(1)})
    without = {name: value for name, value in state.items() if not name.endswith("pos_embed.0.weight")}
    without = {name: value for name, value in without.items() if "norm1" not in name}
    with pytest.raises(CheckpointError, match="no official"):
        convert(system, {name: v for name, v in without.items() if "first_conv.0" not in name})


@pytest.mark.parametrize("system", MODELS)
@pytest.mark.parametrize("converted", [False, True])
def test_the_transformer_of_any_file_starts_a_network(golden_dir, tmp_path, system, converted):
    kit, _ = MODELS[system]
    state, file = official(golden_dir, kit), tmp_path / "weights.pth"
    torch.save({"base_model": {f"module.{name}": value for name, value in state.items()}}, file)
    if converted:
        convert_checkpoint(system, file, tmp_path / "ours.pth")
        file = tmp_path / "ours.pth"
    init = dict(type="Pretrained", checkpoint=str(file))
    for class_token in (False, True):
        network = PointTransformer(class_token=class_token, init_cfg=init)
        network.init_weights()
        prefix = "MAE_encoder." if system == "point-mae" else ""
        kernel = state[f"{prefix}encoder.second_conv.3.weight"].squeeze(2)
        assert torch.equal(network.patch_embed.linear4.weight, kernel)
        assert torch.equal(network.blocks[11].mlp.fc2.bias, state[f"{prefix}blocks.blocks.11.mlp.fc2.bias"])
        if class_token and system == "point-mae-classify":
            assert torch.equal(network.cls_token, state["cls_token"])


def test_a_classifier_takes_the_pre_trained_transformer_and_keeps_its_head(golden_dir, tmp_path):
    file = tmp_path / "weights.pth"
    torch.save(official(golden_dir, "point-mae-pretrain"), file)
    model = PointClassifier(dict(init_cfg=dict(type="Pretrained", checkpoint=str(file))), 40)
    head = model.head.classify.weight.clone()
    model.init_weights()
    assert torch.equal(model.head.classify.weight, head)
    expected = official(golden_dir, "point-mae-pretrain")["MAE_encoder.norm.bias"]
    assert torch.equal(model.backbone.norm.bias, expected)


def test_other_files_and_sizes_are_one_sentence(golden_dir, tmp_path):
    file = tmp_path / "weights.pth"
    torch.save({"state_dict": {"conv.weight": torch.ones(1)}}, file)
    init = dict(type="Pretrained", checkpoint=str(file))
    with pytest.raises(CheckpointError, match="holds no point transformer"):
        PointTransformer(init_cfg=init).init_weights()
    torch.save(official(golden_dir, "point-mae-pretrain"), file)
    with pytest.raises(CheckpointError, match="norm"):
        PointTransformer(embed_dim=192, num_heads=3, init_cfg=init).init_weights()
