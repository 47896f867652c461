"""Classification end to end on a folder of coloured images: from training to wrong folders."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

import dense3d
from dense3d import apis
from dense3d.apis import infer, train
from dense3d.apis.browsing import check_data
from dense3d.errors import CheckpointError, ConfigError, DataError

CONFIG = "resnet-tiny_synthetic"
COLOURS = {"blue": (30, 40, 200), "green": (30, 200, 40), "red": (200, 30, 40)}
ARCH = dict(dims=(8, 16, 24, 32), depths=(1, 1, 1, 1))


def make_folder(root: Path, classes: dict[str, tuple[int, int, int]], count: int) -> Path:
    rng = np.random.default_rng(0)
    for name, colour in classes.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            pixels = np.clip(rng.normal(colour, 25, (40, 48, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


def options(root: Path, classes=None, **others) -> dict:
    steps = [
        dict(type="LoadImageFromFile"),
        dict(type="ResizedCentre", size=(32, 32)),
        dict(type="PackImage"),
    ]
    backbone = dict(_delete_=True, type="ConvNeXt", arch=ARCH, patch_size=2)
    changes = {"model.backbone": backbone, "model.num_classes": "data", "train_dataloader.batch_size": 8}
    for loader, split in (("train", "train"), ("val", "val"), ("test", "val")):
        place = f"{loader}_dataloader.dataset"
        changes |= {f"{place}.data_root": str(root / split), f"{place}.classes": classes}
        changes |= {f"{place}.pipeline": steps}
    changes |= {"train_cfg.max_iters": 30, "train_cfg.val_interval": 30}
    changes |= {"default_hooks.checkpoint.interval": 30, "param_scheduler": None}
    return changes | others


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("colours")
    make_folder(folder / "train", COLOURS, 12)
    make_folder(folder / "val", COLOURS, 4)
    return folder


@pytest.fixture(scope="module")
def run(root, tmp_path_factory):
    mixing = {"model.data_preprocessor.batch_augment": dict(mixup_alpha=0.2, cutmix_alpha=1.0)}
    average = {"custom_hooks": [dict(type="EMAHook", momentum=0.2)]}
    return train(CONFIG, tmp_path_factory.mktemp("run"), options=options(root, **mixing, **average))


def test_a_run_learns_colours_and_its_checkpoint_knows_the_classes(run):
    assert run.metrics["image/top1"] > 80 and "image/top5" not in run.metrics
    meta = torch.load(run.checkpoint, weights_only=False)["meta"]
    assert tuple(meta["dataset_meta"]["classes"]) == tuple(COLOURS)


def test_an_evaluation_writes_the_confusion(run, root, tmp_path):
    found = apis.test(CONFIG, run.checkpoint, tmp_path / "out", tmp_path / "shown", options=options(root))
    assert found["image/top1"] == pytest.approx(run.metrics["image/top1"])
    rows = list(csv.reader((tmp_path / "out" / "predictions.classes.csv").read_text().splitlines()))
    assert [row[0] for row in rows[1:]] == list(COLOURS) and [row[1] for row in rows[1:]] == ["4"] * 3
    assert (tmp_path / "out" / "predictions.confusion.png").exists()
    assert len(list((tmp_path / "shown").glob("*.jpg"))) == 12
    with pytest.raises(ConfigError, match="--tta"):
        apis.test(CONFIG, run.checkpoint, tta=True, options=options(root))


def test_a_folder_gives_a_table_and_pictures(run, root, tmp_path):
    inputs = tmp_path / "inputs"
    shutil.copytree(root / "val", inputs)
    Image.fromarray(np.full((40, 40), 90, np.uint8)).save(inputs / "grey.png")
    Image.fromarray(np.full((40, 40, 4), 90, np.uint8)).save(inputs / "alpha.png")
    Image.fromarray(np.full((40, 40), 20000, np.uint16)).save(inputs / "deep.png")
    (inputs / "broken.jpg").write_bytes(b"no image")
    report = infer(CONFIG, run.checkpoint, inputs, tmp_path / "out", options=options(root), batch_size=4)
    rows = list(csv.DictReader(report.results.read_text().splitlines()))
    assert report.results.name == "predictions.csv" and len(rows) == 15 == len(report.pictures)
    assert list(report.left_out) == [str(inputs / "broken.jpg")] and not report.notes
    right = [row["category"] == Path(row["file"]).parent.name for row in rows if "/0" in row["file"]]
    assert np.mean(right) > 0.6
    document = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert sum(document[0]["probabilities"]) == pytest.approx(1, abs=1e-4)


def test_a_loaded_model_gives_typed_results(run, root):
    model = dense3d.load(CONFIG, run.checkpoint, options=options(root))
    found = model(np.full((50, 60, 3), COLOURS["red"], np.uint8))
    assert found.category in COLOURS and found.probabilities.shape == (3,)
    assert found.plot().shape[2] == 3


def test_fine_tuning_an_official_file_on_own_classes_takes_two_options(root, tmp_path):
    official = timm.create_model("convnext_atto", num_classes=1000, patch_size=2, conv_mlp=False, **ARCH)
    torch.save({"model": official.state_dict()}, tmp_path / "official.pth")
    start = {"model.backbone.init_cfg": dict(type="Pretrained", checkpoint=str(tmp_path / "official.pth"))}
    tuned = train(CONFIG, tmp_path / "run", options=options(root, **start))
    assert tuned.metrics["image/top1"] > 60
    with pytest.raises(CheckpointError, match="tells 1000 classes apart, but the model 3"):
        apis.test(CONFIG, tmp_path / "official.pth", options=options(root))


def test_what_does_not_fit_is_said_in_a_sentence(run, root, tmp_path):
    two = {name: COLOURS[name] for name in ("blue", "red")}
    make_folder(tmp_path / "two" / "train", two, 8)
    make_folder(tmp_path / "two" / "val", two, 2)
    with pytest.raises(CheckpointError, match="3 classes"):  # a checkpoint of other classes
        apis.test(CONFIG, run.checkpoint, options=options(tmp_path / "two"))
    with pytest.raises(DataError, match="none of the 2 listed classes"):  # a list that is not the folder's
        train(CONFIG, tmp_path / "a", options=options(root, classes=["blue", "red"]))
    with pytest.raises(ConfigError, match="num_classes=5"):
        train(CONFIG, tmp_path / "b", options=options(root, **{"model.num_classes": 5}))
    make_folder(tmp_path / "one" / "train", {"red": COLOURS["red"]}, 4)
    make_folder(tmp_path / "one" / "val", {"red": COLOURS["red"]}, 2)
    with pytest.raises(DataError, match="one class, 'red'"):
        train(CONFIG, tmp_path / "c", options=options(tmp_path / "one"))
    make_folder(tmp_path / "flat" / "train", {".": COLOURS["red"]}, 2)
    make_folder(tmp_path / "flat" / "val", {".": COLOURS["red"]}, 2)
    with pytest.raises(DataError, match="has no folders"):
        train(CONFIG, tmp_path / "d", options=options(tmp_path / "flat"))
    (tmp_path / "two" / "train" / "blue" / "0.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"0\.png"):
        train(CONFIG, tmp_path / "e", options=options(tmp_path / "two"))


def test_a_check_counts_classes_without_images(root, capsys):
    reports = check_data(CONFIG, options=options(root, classes=[*COLOURS, "violet"]))
    assert any(
        "1 of 4 classes have no image: violet" in str(note) for report in reports for note in report.notes
    )
