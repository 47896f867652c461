"""One key moves a data set; one data set moves with its metric; synthetic data are made where read."""

from __future__ import annotations

from pathlib import Path

import pytest

from dense3d.apis import setup
from dense3d.config import find_faults, load_config
from dense3d.config.moving import SPLITS, refuse_left_behind
from dense3d.errors import ConfigError

PATHS = {
    "dino/dino_r50_8xb2-12e_coco": "annotations/instances_val2017.json",
    "kmax_deeplab/kmax_r50_32xb2-150k_coco": "annotations/panoptic_val2017.json",
    "monodetr/monodetr_r50_1xb16-195e_kitti": "training/label_2",
}


def texts(node: object) -> list[str]:
    if isinstance(node, (dict, list, tuple)):
        return [
            text for value in (node.values() if isinstance(node, dict) else node) for text in texts(value)
        ]
    return [node] if isinstance(node, str) else []


def write(folder: Path, text: str) -> Path:
    (folder / "config.py").write_text(text)
    return folder / "config.py"


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("by", ["option", "file"])
def test_one_key_moves_loaders_and_metrics(tmp_path: Path, name: str, by: str) -> None:
    text = f"_base_ = 'dense3d::{name}.py'\n" + ("data_root = '/disk/x/'\n" if by == "file" else "")
    cfg = load_config(write(tmp_path, text), {"data_root": "/disk/x"} if by == "option" else None)
    for split in ("train", "val", "test"):
        assert cfg[f"{split}_dataloader"].dataset.data_root.rstrip("/") == "/disk/x"
    for split in ("val", "test"):
        assert f"/disk/x/{PATHS[name]}" in texts(cfg[f"{split}_evaluator"])
        assert not [text for text in texts(cfg[f"{split}_evaluator"]) if text.startswith("data/")]
    assert find_faults(cfg) == []


def test_a_file_that_uses_its_data_root_itself_moves_nothing_else(tmp_path: Path) -> None:
    text = "_base_ = 'dense3d::dino/dino_r50_8xb2-12e_coco.py'\ndata_root = '/disk/x/'\n"
    text += "train_dataloader = dict(dataset=dict(data_root=data_root))\n"
    cfg = load_config(write(tmp_path, text))
    assert cfg.train_dataloader.dataset.data_root == "/disk/x/"
    assert cfg.val_dataloader.dataset.data_root == "data/coco/"


def test_one_data_set_moves_with_its_metric(tmp_path: Path) -> None:
    path = write(tmp_path, "_base_ = 'dense3d::dino/dino_r50_8xb2-12e_coco.py'\n")
    cfg = load_config(path, {"val_dataloader.dataset.data_root": "/disk/y", "data_root": str(tmp_path)})
    assert cfg.val_evaluator.ann_file == "/disk/y/annotations/instances_val2017.json"
    assert cfg.test_evaluator.ann_file == f"{tmp_path}/annotations/instances_val2017.json"


def test_others_that_stay_where_nothing_is_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path, "_base_ = 'dense3d::dino/dino_r50_8xb2-12e_coco.py'\n")
    cfg = load_config(path, {"train_dataloader.dataset.data_root": "/disk/x"})
    refuse_left_behind(cfg, ("train",))
    sentence = r"val_dataloader and test_dataloader still read .*=/disk/x moves all"
    with pytest.raises(ConfigError, match=sentence):
        refuse_left_behind(cfg, SPLITS)


def test_no_one_root_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no one data_root; no data set has one"):
        load_config(write(tmp_path, "model = dict()\n"), {"data_root": "/disk/x"})


@pytest.mark.parametrize(
    ("root", "splits", "made"),
    [
        ("/disk/own", ("train", "val"), 0),
        ("data/synthetic/coco_160x128/", ("train", "val"), 1),
        ("data/synthetic/coco_160x128", ("test",), 1),
    ],
)
def test_synthetic_data_are_made_only_where_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str, splits: tuple[str, ...], made: int
) -> None:
    calls = []
    monkeypatch.setattr("dense3d.datasets.synthetic.ensure_dataset", lambda **recipe: calls.append(recipe))
    text = "_base_ = 'dense3d::_base_/datasets/synthetic_coco.py'\n"
    setup.make_synthetic_data(load_config(write(tmp_path, text), {"data_root": root}), splits)
    assert len(calls) == made


def test_only_the_data_of_the_command_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr("dense3d.datasets.synthetic.ensure_dataset", lambda **recipe: calls.append(recipe))
    path = write(tmp_path, "_base_ = 'dense3d::_base_/datasets/synthetic_coco.py'\n")
    cfg = load_config(path, {"test_dataloader.dataset.data_root": str(tmp_path)})
    setup.make_synthetic_data(cfg, ("test",))
    assert calls == []


def test_arguments_that_stay_beside_a_new_type_are_explained(tmp_path: Path) -> None:
    text = "_base_ = 'mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py'\n"
    text += "model = dict(backbone=dict({}type='dense3d.TimmBackbone', model_name='resnet18'))\n"
    (fault,) = find_faults(load_config(write(tmp_path, text.format(""))))
    assert "config.py:2: TimmBackbone at model.backbone takes the place of another type" in fault
    assert "'depth', 'num_stages'" in fault and "_delete_=True" in fault
    assert find_faults(load_config(write(tmp_path, text.format("_delete_=True, ")))) == []
