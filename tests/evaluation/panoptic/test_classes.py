"""The ground truth handed back as predictions has quality 1, whatever classes of it a model has."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.evaluator import Evaluator
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from PIL import Image

from dense3d.datasets.panoptic import counted_segments, write_id_map, write_panoptic
from dense3d.errors import DataError
from dense3d.registry import DATASETS

CATEGORIES = [
    {"id": 7, "name": "sky", "isthing": 0},
    {"id": 3, "name": "cup", "isthing": 1},
    {"id": 5, "name": "fork", "isthing": 1},
    {"id": 9, "name": "grass", "isthing": 0},
    {"id": 2, "name": "wall", "isthing": 0},
]
# sky, grass and wall; two cups, a fork and a crowd of forks
IDS = np.kron([[900, 900, 41], [70000, 12, 13], [71000, 88, 0]], np.ones((8, 8), int))
OF_IDS = {900: 7, 41: 2, 70000: 3, 12: 5, 13: 5, 71000: 3, 88: 9}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    segments = [{"id": i, "category_id": c, "iscrowd": int(i == 13)} for i, c in OF_IDS.items()]
    annotations, images = [], []
    for number in range(2):
        ids = IDS if number == 0 else IDS.T
        write_id_map(tmp_path / "maps" / f"{number}.png", ids)
        Image.new("RGB", (24, 24)).save(tmp_path / "images" / f"{number}.jpg")
        images.append({"id": number, "file_name": f"{number}.jpg", "height": 24, "width": 24})
        listed = counted_segments(ids, segments)
        annotations.append({"image_id": number, "file_name": f"{number}.png", "segments_info": listed})
    write_panoptic(tmp_path / "maps.json", annotations, images, CATEGORIES)
    return tmp_path


def perfect(root: Path, classes: tuple[str, ...], aliases: dict[str, str] | None = None, wrong=None) -> dict:
    """Figures of the annotations as the data set gives them, handed back as a result."""
    pipeline = [
        dict(type="LoadImageFromFile"),
        dict(type="LoadPanopticAnnotations"),
        dict(type="mmdet.PackDetInputs", meta_keys=("img_id",)),
    ]
    cfg = dict(
        type="CocoPanopticDataset",
        data_root=str(root),
        ann_file="maps.json",
        data_prefix=dict(img="images", seg="maps"),
        metainfo=dict(classes=classes) | (dict(aliases=aliases) if aliases else {}),
        pipeline=pipeline,
        test_mode=True,
    )
    metric = dict(
        type="PanopticQualityMetric", ann_file=str(root / "maps.json"), seg_prefix=str(root / "maps")
    )
    with DefaultScope.overwrite_default_scope("dense3d"):
        dataset, evaluator = DATASETS.build(copy.deepcopy(cfg)), Evaluator(metric)
    evaluator.dataset_meta = dataset.metainfo
    for index in range(len(dataset)):
        loaded = dataset[index]["data_samples"]
        coded = loaded.gt_sem_seg.sem_seg[0].numpy().astype(np.int64)
        coded[coded == 255] = len(classes)
        things = zip(loaded.gt_instances.labels.tolist(), loaded.gt_instances.masks.to_ndarray())
        for number, (label, mask) in enumerate(things, start=1):
            coded[mask.astype(bool)] = label + 1000 * number
        sample = DetDataSample(metainfo={"img_id": loaded.img_id})
        coded = coded if wrong is None else wrong(coded)
        sample.pred_panoptic_seg = PixelData(sem_seg=torch.from_numpy(coded)[None])
        evaluator.process([sample])
    return evaluator.evaluate(len(dataset))


ALL = ("cup", "fork", "sky", "grass", "wall")


@pytest.mark.parametrize(
    ("classes", "aliases"),
    [
        (ALL, None),
        (("fork", "cup", "wall", "sky", "grass"), None),
        (("cup", "sky"), None),
        (("fork", "wall"), None),
        (("cup",), None),
        (("grass",), None),
        (("tool", "sky", "grass", "wall"), {"cup": "tool", "fork": "tool"}),
        (("cup", "fork", "background"), {"sky": "background", "grass": "background", "wall": "background"}),
        (("tool", "plant"), {"cup": "tool", "fork": "tool", "grass": "plant", "wall": "plant"}),
    ],
    ids=lambda value: "-".join(value) if value else "",
)
def test_the_truth_is_perfect(root: Path, classes, aliases) -> None:
    figures = perfect(root, classes, aliases)
    assert figures["panoptic/PQ"] == figures["panoptic/SQ"] == figures["panoptic/RQ"] == 1


def test_what_is_predicted_on_left_out_categories_does_not_count(root: Path) -> None:
    figures = perfect(root, ("cup", "sky"), wrong=lambda coded: np.where(coded == 2, 1, coded))
    assert figures["panoptic/PQ"] == 1  # the sky grew over what is void
    missed = perfect(root, ("cup", "sky"), wrong=lambda coded: np.where(coded == 1, 2, coded))
    assert missed["panoptic/PQ_st"] == 0
    assert missed["panoptic/PQ_th"] == 1


def test_things_and_stuff_are_not_merged(root: Path) -> None:
    with pytest.raises(DataError, match=r"categories 9 and 3 are one class, 'cup', but one is a thing"):
        perfect(root, ("cup",), {"grass": "cup"})


def test_results_in_folders_keep_them(root: Path, tmp_path: Path) -> None:
    from dense3d.datasets.panoptic import read_panoptic
    from dense3d.evaluation.panoptic.metric import PanopticQualityMetric

    document = read_panoptic(root / "maps.json").document
    for folder, annotation in zip("ab", document["annotations"]):
        (root / "maps" / folder).mkdir()
        (root / "maps" / annotation["file_name"]).rename(root / "maps" / folder / "x.png")
        annotation["file_name"] = f"{folder}/x.png"
    write_panoptic(root / "maps.json", document["annotations"], document["images"], CATEGORIES)
    out = tmp_path / "out.json"
    metric = PanopticQualityMetric(str(root / "maps.json"), str(root / "maps"), result_file=str(out))
    assert metric._png(0) == tmp_path / "out" / "a" / "x.png"
    assert metric._png(1) == tmp_path / "out" / "b" / "x.png"
    document["annotations"][0]["file_name"] = "../../x.png"
    document["annotations"][1]["file_name"] = "/tmp/x.png"
    write_panoptic(root / "maps.json", document["annotations"], document["images"], CATEGORIES)
    metric = PanopticQualityMetric(str(root / "maps.json"), str(root / "maps"), result_file=str(out))
    assert metric._png(0) == tmp_path / "out" / "x.png"
    with pytest.raises(DataError, match="is also that of image 0"):
        metric._png(1)
