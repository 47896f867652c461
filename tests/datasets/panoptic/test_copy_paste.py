"""Copy-paste of panoptic images: what is pasted, what remains, and what is drawn again."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from PIL import Image

from dense3d.config import load_config
from dense3d.datasets.panoptic import write_id_map, write_panoptic
from dense3d.datasets.panoptic.copy_paste import PanopticCopyPaste, labelled_pixels
from dense3d.engine.seeding import SeededBatch
from dense3d.errors import ConfigError, DataError
from dense3d.registry import DATASETS, TRANSFORMS

CONFIGS = Path(__file__).resolve().parents[3] / "configs/kmax_deeplab"
CATEGORIES = [
    {"id": 1, "name": "cup", "isthing": 1},
    {"id": 2, "name": "sky", "isthing": 0},
    {"id": 3, "name": "sea", "isthing": 0},
    {"id": 4, "name": "sand", "isthing": 0},
]
CLASSES = tuple(category["name"] for category in CATEGORIES)
CUP, SKY, SEA, SAND, VOID = 0, 1, 2, 3, 255
LOAD = [dict(type="LoadImageFromFile", to_float32=True), dict(type="LoadPanopticAnnotations")]
PASTE = dict(type="PanopticCopyPaste", transforms=LOAD)


class Keep:
    """The sample as the last step left it."""

    def __call__(self, results: dict) -> dict:
        return {"kept": results, "inputs": results["img"]}


def write(root: Path, images: dict[str, list[tuple[int, tuple[slice, slice], int]]], sizes: dict) -> None:
    """Images of one grey value each: (category, rows and columns, crowd) of their segments in turn."""
    annotations, listed = [], []
    for value, (name, segments) in enumerate(images.items(), 1):
        ids, infos = np.zeros(sizes[name], int), []
        for number, (_, place, _) in enumerate(segments, 1):
            ids[place] = number
        for number, (category, _, crowd) in enumerate(segments, 1):
            rows, columns = np.nonzero(ids == number)
            box = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
            box = [int(v) for v in (box[1], box[0], box[3] - box[1], box[2] - box[0])]
            infos.append(dict(id=number, category_id=category, iscrowd=crowd, area=len(rows), bbox=box))
        write_id_map(root / "maps" / f"{name}.png", ids)
        (root / "images").mkdir(exist_ok=True)
        Image.new("RGB", ids.shape[::-1], (value,) * 3).save(root / "images" / f"{name}.png")
        listed.append(dict(id=name, file_name=f"{name}.png", height=ids.shape[0], width=ids.shape[1]))
        annotations.append(dict(image_id=name, file_name=f"{name}.png", segments_info=infos))
    write_panoptic(root / "maps.json", annotations, listed, CATEGORIES)


def build(root: Path, *steps, **changes):
    with DefaultScope.overwrite_default_scope("dense3d"):
        dataset = DATASETS.build(
            dict(
                type="CocoPanopticDataset",
                data_root=str(root),
                ann_file="maps.json",
                data_prefix=dict(img="images", seg="maps"),
                metainfo=dict(classes=CLASSES),
                pipeline=[*LOAD, *steps],
                serialize_data=False,
                **changes,
            )
        )
    dataset.pipeline.transforms.append(Keep())
    return dataset


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """``below``: sky over a cup and void. ``above``, wider and lower: a cup, a crowd, sky, sea and sand."""
    rows = [slice(None, 8), slice(8, 16), slice(16, 24)]
    images = {
        "below": [(2, (rows[0], slice(None)), 0), (1, (rows[1], slice(0, 8)), 0)],
        "above": [
            (2, (rows[0], slice(0, 4)), 0),
            (3, (rows[0], slice(4, 8)), 0),
            (4, (rows[0], slice(8, 12)), 0),
            (1, (rows[1], slice(4, 40)), 0),
            (1, (rows[0], slice(12, 20)), 1),
        ],
    }
    write(tmp_path, images, {"below": (24, 24), "above": (16, 40)})
    return tmp_path


def pasted(root: Path, monkeypatch, seed: int = 0) -> dict:
    """``below`` with ``above`` on it."""
    random.seed(seed)
    monkeypatch.setattr(random, "randrange", lambda stop: 1)
    return build(root, PASTE)[0]["kept"]


def test_pixels_labels_and_masks_follow_what_is_pasted(root, monkeypatch):
    for seed in range(20):
        found = pasted(root, monkeypatch, seed)
        image, classes = found["img"][..., 0], found["gt_seg_map"]
        assert image.shape == classes.shape == found["img_shape"] == (24, 40)
        assert image.dtype == np.float32
        # Beyond both images: mean colour, no label. Between: what was below.
        assert (image[16:, 24:] == 127.5).all() and (classes[16:, 24:] == VOID).all()
        assert (image[16:, :24] == 1).all()
        # The cup of the second image lies on the first one's and on the empty canvas beside it.
        assert (image[8:16, 4:40] == 2).all() and (classes[8:16, 4:40] == CUP).all()
        # The crowd stays where it was: sky of the first image is seen.
        assert (image[:8, 12:20] == 1).all() and (classes[:8, 12:20] == SKY).all()
        for label, columns in ((SKY, slice(0, 4)), (SEA, slice(4, 8)), (SAND, slice(8, 12))):
            from_second = image[:8, columns] == 2
            assert from_second.all() or not from_second.any()
            assert (classes[:8, columns] == (label if from_second.all() else SKY)).all()
        below, above = found["gt_masks"].masks.astype(bool)
        assert below.sum() == below[8:16, :4].sum() == 32 and above.sum() == above[8:16, 4:40].sum() == 288
        boxes = found["gt_bboxes"].tensor.tolist()
        assert boxes == [[0, 8, 4, 16], [4, 8, 40, 16]]
        assert found["gt_bboxes_labels"].tolist() == [CUP, CUP] and len(found["gt_ignore_flags"]) == 2


def test_number_of_pasted_stuff_classes_is_uniform(root, monkeypatch):
    """The official draw, over all 4 segments of the second image with the thing pasted anyway, as truth."""
    counts, official = Counter(), Counter()
    transform_root = build(root, PASTE)
    random.seed(1)
    monkeypatch.setattr(random, "randrange", lambda stop: 1)
    trials = 400
    for _ in range(trials):
        image = transform_root[0]["kept"]["img"][0, :12:4, 0]
        counts[tuple((image == 2).tolist())] += 1
    for _ in range(20_000):
        segments = ["cup", SKY, SEA, SAND]
        random.shuffle(segments)
        kept = segments[: random.randint(0, 4)]
        official[tuple(label in kept for label in (SKY, SEA, SAND))] += 1
    for outcome, number in official.items():
        assert abs(counts[outcome] / trials - number / 20_000) < 0.075  # 3.7 deviations of the likeliest


def test_covered_things_are_left_out(tmp_path, monkeypatch):
    everywhere = (slice(None), slice(None))
    images = {"a": [(1, (slice(2, 5), slice(2, 5)), 0)], "b": [(1, everywhere, 0)]}
    write(tmp_path, images, {"a": (12, 12), "b": (12, 12)})
    found = pasted(tmp_path, monkeypatch)
    assert len(found["gt_masks"]) == len(found["gt_bboxes"]) == len(found["gt_bboxes_labels"]) == 1
    assert found["gt_masks"].masks.all()


def test_what_is_drawn_depends_on_the_seed_of_the_sample_alone(root):
    dataset = build(root, PASTE)
    draws = [[s["inputs"] for s in map(dataset.__getitem__, SeededBatch([0, 1, 0], [7, 8, 9]))]]
    draws.append([s["inputs"] for s in map(dataset.__getitem__, SeededBatch([1, 0], [8, 9]))])
    assert all(np.array_equal(a, b) for a, b in zip(draws[0][1:], draws[1]))


def test_unlabelled_samples_are_drawn_again(tmp_path):
    whole = (slice(None), slice(None))
    images = {
        "void": [],
        "crowd": [(1, whole, 1)],
        "little": [(2, (slice(4), slice(8)), 0)],
        "sky": [(2, whole, 0)],
    }
    write(tmp_path, images, dict.fromkeys(images, (16, 16)))
    # 16 places count, every fourth row and column: 2 of them in "little".
    dataset = build(tmp_path)
    assert [labelled_pixels(dataset[i]["kept"]) for i in range(4)] == [0, 0, 2, 16]
    for least, names in ((3, {"sky"}), (2, {"sky", "little"})):
        dataset = build(tmp_path, dict(type="RedrawUnlabelled", transforms=LOAD, least=least))
        random.seed(0)
        assert {dataset[i]["kept"]["img_id"] for i in range(4) for _ in range(10)} == names
    dataset = build(tmp_path, dict(type="RedrawUnlabelled", transforms=LOAD, least=17))
    with pytest.raises(DataError, match="100 samples in turn have fewer than 17 labelled pixels"):
        dataset[0]


@pytest.mark.parametrize("skip", [False, True])
def test_broken_second_images_are_named_or_passed_over(root, skip):
    broken = root / "images" / "above.png"
    broken.write_bytes(broken.read_bytes()[:40])
    dataset = build(root, PASTE, skip_bad_samples=skip)
    random.seed(0)
    if skip:
        for _ in range(10):
            assert (dataset[0]["inputs"] == 1).all()
        assert dataset.bad_samples() == []  # of the sample itself nothing is bad
        return
    with pytest.raises(DataError, match=r"above\.png"):
        for _ in range(20):
            dataset[0]


def test_other_data_sets_are_refused():
    with pytest.raises(ConfigError, match=r"results\['dataset'\]"):
        PanopticCopyPaste(LOAD)({"img": np.zeros((4, 4, 3), np.float32)})


def test_samples_without_a_map_stay(root, monkeypatch):
    document = json.loads((root / "maps.json").read_text())
    document["annotations"] = document["annotations"][1:]
    (root / "maps.json").write_text(json.dumps(document))
    found = pasted(root, monkeypatch)
    assert (found["img"] == 1).all() and "gt_seg_map" not in found


@pytest.mark.parametrize("name", ["150k_coco", "100k_ade20k", "60k_cityscapes"])
def test_training_steps_of_the_configs_fill_their_input(tmp_path, name):
    """Images as large as the greatest scale: every crop has the full size, and it lies the right way."""
    cfg = load_config(next(CONFIGS.glob(f"kmax_r50_*-{name}.py")))
    height, width = size = cfg.model.input_size
    write(tmp_path, {"sky": [(2, (slice(None), slice(None)), 0)]}, {"sky": (height // 8, width // 8)})
    steps = cfg.train_pipeline
    for sequence in (steps, steps[-2].transforms):
        for step in sequence:
            if step["type"] == "RandomResize":
                step["ratio_range"] = (2.0, 2.0)
    dataset = build(tmp_path)
    dataset.pipeline = Compose([TRANSFORMS.build(step) for step in steps])
    sample = dataset[0]
    assert tuple(sample["inputs"].shape[1:]) == tuple(size)
    assert (sample["data_samples"].gt_sem_seg.sem_seg == SKY).all()
