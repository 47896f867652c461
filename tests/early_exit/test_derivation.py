"""Step B: qualities of single images, the loop over the training images, its command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData

from dense3d.apis.depth_curve import exit_curve
from dense3d.apis.depth_derivation import derive_depths, rederive_depths
from dense3d.config import load_config
from dense3d.datasets.panoptic.id_map import write_id_map
from dense3d.early_exit.quality import BoxQuality, quality_of
from dense3d.early_exit.quality_loop import measure_training_data
from dense3d.early_exit.targets import ExitTargets
from dense3d.errors import ConfigError
from dense3d.segmentation.eco_m2f import ECOM2F

VOID, BAND = 9, 1000
IMAGES, SIDE = 6, 64


def as_annotated(sample) -> torch.Tensor:
    """The annotation in mmdet's coding of panoptic results, ``(1, H, W)``."""
    codes = sample.gt_sem_seg.sem_seg.clone().int()
    codes[codes == 255] = VOID
    masks = torch.from_numpy(sample.gt_instances.masks.to_ndarray())
    for number, (mask, label) in enumerate(zip(masks, sample.gt_instances.labels.tolist()), start=1):
        codes[0][mask > 0] = label + BAND * number
    return codes


def perfect_from(model: ECOM2F, features, inputs, data_samples, rescale):
    """Image i is void below depth 2 + i mod 5 and right from there on."""
    for sample in data_samples:
        codes = as_annotated(sample)
        if model.exit_encoder._depths < 2 + (sample.img_id - 1) % 5:
            codes = torch.full_like(codes, VOID)
        sample.pred_panoptic_seg = PixelData(sem_seg=codes)
    return data_samples


def write_images(root: Path) -> None:
    """Training images with a box and a wall each, numbered from 1."""
    names = ("box", "sphere", "cylinder", "cone", "torus", "cross", "ground", "wall", "sky")
    categories = [dict(id=i, name=name, isthing=int(i <= 6)) for i, name in enumerate(names, start=1)]
    images, annotations = [], []
    for image in range(1, IMAGES + 1):
        ids = np.zeros((SIDE, SIDE), dtype=np.uint32)
        ids[8:24, 4 : 20 + image], ids[32:] = 1, 2
        found = [(1, 1, [4, 8, 16 + image, 16]), (2, 8, [0, 32, SIDE, SIDE - 32])]
        segments = [
            dict(id=i, category_id=category, bbox=box, area=box[2] * box[3], iscrowd=0)
            for i, category, box in found
        ]
        images.append(dict(id=image, file_name=f"{image}.png", width=SIDE, height=SIDE))
        annotations.append(dict(image_id=image, file_name=f"{image}.png", segments_info=segments))
        write_id_map(root / "annotations/panoptic_train2017" / f"{image}.png", ids)
        write_id_map(root / "train2017" / f"{image}.png", ids)  # any colours
    document = dict(images=images, annotations=annotations, categories=categories)
    (root / "annotations/panoptic_train2017.json").write_text(json.dumps(document))


@pytest.fixture(scope="module")
def parent(repository, tmp_path_factory):
    """A small parent's config and checkpoint, and its training images."""
    folder = tmp_path_factory.mktemp("eco")
    write_images(folder / "data")
    options = {
        "synthetic_data": None,
        "model.backbone.model_name": "resnet18",
        "model.head.embed_dims": 32,
        "model.head.encoder_channels": 32,
        "model.head.decoder_layers": 1,
        "model.head.decoder_channels": 32,
        "train_dataloader.dataset.data_root": f"{folder}/data/",
        "train_dataloader.dataset.pipeline": [],
        "test_dataloader.batch_size": 4,
    }
    path = repository / "configs/synthetic/eco-m2f_r18_synthetic-panoptic.py"
    cfg = load_config(path, options)
    from mmengine.registry import DefaultScope

    from dense3d.registry import MODELS

    with DefaultScope.overwrite_default_scope("dense3d"):
        model = MODELS.build(cfg.model)
    torch.save({"state_dict": model.state_dict()}, folder / "parent.pth")
    return path, options, folder


def test_every_training_image_gets_its_depth(parent, monkeypatch):
    path, options, folder = parent
    monkeypatch.setattr(ECOM2F, "results_of", perfect_from)
    targets = derive_depths(
        path, folder / "parent.pth", folder / "depths.json", 0.01, folder / "work", options
    )
    wanted = {str(image): 2 + (image - 1) % 5 for image in range(1, IMAGES + 1)}
    assert targets.depths == wanted
    for image, quality in targets.quality.items():
        assert quality == tuple(float(depth >= wanted[image]) for depth in range(2, 7))
    assert targets.counts() == [2, 1, 1, 1, 1]
    assert (np.diff(targets.gflops) > 0).all()
    assert targets.origin == "eco-m2f_r18_synthetic-panoptic.py, parent.pth"
    assert ExitTargets.read(folder / "depths.json") == targets
    dear = rederive_depths(folder / "depths.json", folder / "dear.json", 0.4)
    assert dear.depths == {i: depth if depth < 5 else 2 for i, depth in wanted.items()}


def test_command_line_takes_qualities_from_a_file(repository, tmp_path):
    ExitTargets((2, 3), 0.0, {"1": (0.5, 0.6)}, (1.0, 1.5)).write(tmp_path / "a.json")
    command = [sys.executable, str(repository / "tools/derive_depths.py"), "--beta"]
    base = ["--from", str(tmp_path / "a.json"), "--out", str(tmp_path / "b.json")]
    done = subprocess.run([*command, "0.3", *base], capture_output=True, text=True, cwd=repository)
    assert done.returncode == 0, done.stderr
    assert "beta 0.3: 1 images, 0 without quality" in done.stdout
    assert json.loads((tmp_path / "b.json").read_text())["images"]["1"]["depth"] == 2
    (tmp_path / "a.json").write_text("{")
    failed = subprocess.run([*command, "0.3", *base], capture_output=True, text=True, cwd=repository)
    assert failed.returncode == 2 and failed.stderr.startswith("error: ") and "a.json" in failed.stderr


def test_models_without_exits_are_refused(parent, repository):
    _, _, folder = parent
    cfg = load_config(repository / "configs/synthetic/mask2former_r18_synthetic-panoptic.py")
    cfg.train_dataloader.dataset.data_root = f"{folder}/data/"
    cfg.synthetic_data = None
    measure_training_data(cfg, 0.0, str(folder / "x.json"), "")
    cfg.work_dir = str(folder / "plain")
    from dense3d.engine import Runner

    with pytest.raises(ConfigError, match="Mask2Former is no model with exits"):
        Runner.from_cfg(cfg).test()


def test_other_metrics_are_refused():
    from dense3d.evaluation.exit_cost import ExitCostMetric

    with pytest.raises(ConfigError, match="not for ExitCostMetric"):
        quality_of(ExitCostMetric())


class Boxes:
    """The part of pycocotools' COCO that is read."""

    def __init__(self, annotations: list[dict]) -> None:
        self.cats = {7: dict(id=7, name="cat"), 9: dict(id=9, name="dog")}
        self.imgs = {1: dict(id=1, width=100, height=100)}
        self.imgToAnns = {1: annotations}


def annotation(number: int, category: int, box: list[float], iscrowd: int = 0) -> dict:
    return dict(id=number, image_id=1, category_id=category, bbox=box, area=box[2] * box[3], iscrowd=iscrowd)


def found(*boxes: tuple[int, float, list[float]]) -> dict:
    """Labels, scores and corners of detected boxes."""
    labels, scores, corners = zip(*boxes) if boxes else ((), (), ())
    return dict(
        img_id=1,
        pred_instances=dict(
            labels=torch.tensor(labels),
            scores=torch.tensor(scores),
            bboxes=torch.tensor(corners).reshape(-1, 4),
        ),
    )


def test_box_quality_is_ap_over_the_annotated_classes():
    truth = Boxes([annotation(1, 7, [10, 10, 20, 20]), annotation(2, 9, [50, 50, 20, 20])])
    quality = BoxQuality(truth, ("dog", "cat"))
    cat, dog = (1, 0.9, [10.0, 10, 30, 30]), (0, 0.8, [50.0, 50, 70, 70])
    assert quality(found(cat, dog)) == pytest.approx(1)
    assert quality(found(cat)) == pytest.approx(0.5)
    assert quality(found()) == 0
    # An overlap of 0.8 counts at the thresholds 0.5 ... 0.8 of the ten: 7 of 10.
    shifted = (1, 0.9, [10.0, 10, 30, 26])
    assert quality(found(shifted)) == pytest.approx(0.7 / 2)


def test_box_quality_of_an_image_with_crowds_only_is_not_defined():
    assert np.isnan(BoxQuality(Boxes([]), ("cat",))(found()))
    assert np.isnan(BoxQuality(Boxes([annotation(1, 7, [0, 0, 9, 9], 1)]), ("cat",))(found()))


def test_curve_of_perfect_gates(parent, monkeypatch):
    """Every gate is given the image's number, so that it can learn its target: PQ 1 at the least depths."""
    path, options, folder = parent
    monkeypatch.setattr(ECOM2F, "results_of", perfect_from)
    wanted = {str(image): 2 + (image - 1) % 5 for image in range(1, IMAGES + 1)}
    quality = {i: tuple(float(depth >= wanted[i]) for depth in range(2, 7)) for i in wanted}
    ExitTargets((2, 3, 4, 5, 6), 0.5, quality, (1.0,) * 5).write(folder / "curve.json")

    def numbered(model, features):
        return torch.stack([torch.eye(32)[next(order) % IMAGES][:, None, None] for _ in features[0]])

    order = iter(range(1000))
    monkeypatch.setattr(ECOM2F, "coarsest_map", numbered)
    own = options | {
        "test_dataloader.dataset.data_root": f"{folder}/data/",
        "test_dataloader.dataset.ann_file": "annotations/panoptic_train2017.json",
        "test_dataloader.dataset.data_prefix": dict(img="train2017/", seg="annotations/panoptic_train2017/"),
        "test_evaluator": [
            dict(type="PanopticQualityMetric", ann_file=f"{folder}/data/annotations/panoptic_train2017.json")
        ],
    }
    points = exit_curve(
        path, folder / "parent.pth", folder / "curve.json", [0.01, 0.4], folder / "out", folder / "w", own
    )
    assert [point.name for point in points] == [*(f"depth {k}" for k in range(2, 7)), "beta 0.01", "beta 0.4"]
    assert [point.depth for point in points[:5]] == [2, 3, 4, 5, 6]
    shares = [point.metrics["PQ"] for point in points]
    assert shares[:5] == sorted(shares[:5]) and shares[4] == shares[5] == 1
    assert points[5].counts == (2, 1, 1, 1, 1) and points[6].counts == (4, 1, 1, 0, 0)
    assert points[0].gflops < points[6].gflops < points[5].gflops < points[4].gflops
    assert json.loads((folder / "out/curve.json").read_text())[5]["depth"] == points[5].depth
    assert (folder / "out/curve.png").stat().st_size > 5000
