"""Categories in predictions.json are numbered as the data set numbers them."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import dense3d
from dense3d.apis import infer
from dense3d.apis.category_ids import category_ids_of
from dense3d.config import load_config

NAME = "dino_r18_synthetic-coco"
CLASSES = ("box", "sphere", "cylinder", "cone", "torus", "cross")
IDS = [3, 7, 18, 19, 40, 41]


@pytest.fixture(scope="module")
def weights():
    torch.manual_seed(0)
    model = dense3d.build_model(NAME)
    for parameter in model.bbox_head.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model.state_dict()


def predicted(weights, meta: dict, config: Path, folder: Path):
    torch.save(dict(state_dict=weights, meta=dict(dataset_meta=meta)), folder / "model.pth")
    random = np.random.default_rng(0).integers(0, 256, (8, 10, 3), dtype=np.uint8)
    cv2.imwrite(str(folder / "a.png"), cv2.resize(random, (160, 128)))
    report = infer(config, folder / "model.pth", folder / "a.png", folder / "out", 0.0, device="cpu")
    entries = json.loads(report.results.read_text())
    assert len({entry["category_name"] for entry in entries}) > 1
    return {entry["category_name"]: entry["category_id"] for entry in entries}, report


@pytest.fixture
def config(tmp_path, repository) -> Path:
    """A config whose annotation file, which is not there yet, is data/val.json."""
    path = tmp_path / "config.py"
    base = str(repository / "configs/synthetic/dino_r18_synthetic-coco.py")
    path.write_text(
        f"_base_ = {base!r}\n"
        f"val = dict(dataset=dict(data_root={str(tmp_path / 'data')!r}, ann_file='val.json'))\n"
        "train_dataloader = val\nval_dataloader = val\ntest_dataloader = val\n"
        f"val_evaluator = dict(ann_file={str(tmp_path / 'data/val.json')!r})\n"
        "test_evaluator = val_evaluator\n"
    )
    (tmp_path / "data").mkdir()
    return path


def write_annotations(config: Path, categories: list[dict]) -> None:
    document = dict(images=[], annotations=[], categories=categories)
    (config.parent / "data/val.json").write_text(json.dumps(document))


def test_the_checkpoint_knows_them(weights, config, tmp_path):
    write_annotations(config, [dict(id=90 + i, name=name) for i, name in enumerate(CLASSES)])
    found, report = predicted(weights, dict(classes=CLASSES, category_ids=IDS), config, tmp_path)
    assert found.items() <= dict(zip(CLASSES, IDS)).items()
    assert not report.notes


def test_an_older_checkpoint_takes_them_from_the_annotations_by_name(weights, config, tmp_path):
    categories = [dict(id=number, name=name) for name, number in zip(CLASSES, IDS)]
    write_annotations(config, [dict(id=1, name="other"), *reversed(categories)])
    found, report = predicted(weights, dict(classes=CLASSES), config, tmp_path)
    assert found.items() <= dict(zip(CLASSES, IDS)).items()
    assert not report.notes


@pytest.mark.parametrize(
    "categories", [None, [dict(id=5, name="box")], [dict(id=i, name="box") for i in (1, 2)]]
)
def test_what_nobody_knows_is_said_aloud(weights, config, tmp_path, categories):
    if categories is not None:
        write_annotations(config, categories)
    with pytest.warns(UserWarning, match="does not say what category ids"):
        found, report = predicted(weights, dict(classes=CLASSES), config, tmp_path)
    assert found.items() <= {name: number for number, name in enumerate(CLASSES, 1)}.items()
    assert "categories are numbered 1, 2, ... in the order of the classes" in report.notes[0]


def test_files_that_are_no_annotations_are_passed_over(config):
    cfg = load_config(config)
    for content in ("", "[]", '{"categories": 3}', '{"categories": [null, {"id": "1", "name": 2}]}'):
        (config.parent / "data/val.json").write_text(content)
        assert category_ids_of(cfg, CLASSES) is None
