"""Panoptic data sets in mmdet's pipelines, their metric, their scan and their pictures."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from PIL import Image

from dense3d.apis import testing
from dense3d.datasets.panoptic import read_id_map, read_panoptic, write_id_map, write_panoptic
from dense3d.datasets.scan import scan_dataset
from dense3d.errors import DataError
from dense3d.evaluation.panoptic import evaluate_files
from dense3d.registry import DATASETS, METRICS
from dense3d.results import ModelInfo, Result
from dense3d.visualization.annotations import draw_sample

CONFIGS = Path(__file__).resolve().parents[3] / "configs/_base_/datasets"
CATEGORIES = [
    {"id": 7, "name": "sky", "isthing": 0, "color": [0, 0, 250]},
    {"id": 3, "name": "cup", "isthing": 1, "color": [250, 0, 0]},
    {"id": 5, "name": "fork", "isthing": 1, "color": [0, 250, 0]},
]
# sky above, a cup, a heap of forks, and void below
IDS = np.kron([[900, 900], [70000, 12], [0, 0]], np.ones((8, 12), int))


def segments(ids: tuple[int, ...] = (900, 70000, 12)) -> list[dict]:
    known = {
        900: {"category_id": 7, "iscrowd": 0, "area": 192, "bbox": [0, 0, 24, 8]},
        70000: {"category_id": 3, "iscrowd": 0, "area": 96, "bbox": [0, 8, 12, 8]},
        12: {"category_id": 5, "iscrowd": 1, "area": 96, "bbox": [12, 8, 12, 8]},
    }
    return [{"id": i, **known[i]} for i in ids]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three images: all segments, stuff only, and nothing at all."""
    kept = {"a": (900, 70000, 12), "b": (900,), "c": ()}
    annotations, images = [], []
    for name, ids in kept.items():
        write_id_map(tmp_path / "maps" / f"{name}_panoptic.png", np.where(np.isin(IDS, ids), IDS, 0))
        images.append({"id": f"id-{name}", "file_name": f"{name}.jpg", "height": 24, "width": 24})
        annotations.append(
            {"image_id": f"id-{name}", "file_name": f"{name}_panoptic.png", "segments_info": segments(ids)}
        )
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.new("RGB", (24, 24), (90, 90, 90)).save(tmp_path / "images" / f"{name}.jpg")
    write_panoptic(tmp_path / "maps.json", annotations, images, CATEGORIES)
    return tmp_path


def config(root: Path, **changes) -> dict:
    pipeline = [
        dict(type="LoadImageFromFile"),
        dict(type="LoadPanopticAnnotations"),
        dict(type="mmdet.PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape")),
    ]
    cfg = dict(
        type="CocoPanopticDataset",
        data_root=str(root),
        ann_file="maps.json",
        data_prefix=dict(img="images", seg="maps"),
        metainfo=dict(classes=("cup", "fork", "sky")),
        pipeline=pipeline,
    )
    return cfg | changes


def build(cfg: dict):
    with DefaultScope.overwrite_default_scope("dense3d"):
        return DATASETS.build(copy.deepcopy(cfg))


def test_labels_masks_and_maps(root: Path) -> None:
    dataset = build(config(root))
    assert dataset.metainfo["thing_classes"] == ("cup", "fork")
    assert dataset.metainfo["stuff_classes"] == ("sky",)
    assert dataset.metainfo["category_ids"] == [3, 5, 7]
    assert dataset.metainfo["palette"] == [(250, 0, 0), (0, 250, 0), (0, 0, 250)]
    sample = dataset[0]["data_samples"]
    assert sample.gt_instances.labels.tolist() == [0]  # the crowd is no instance
    assert sample.gt_instances.bboxes.tensor.tolist() == [[0, 8, 12, 16]]
    assert np.array_equal(sample.gt_instances.masks.to_ndarray()[0], IDS == 70000)
    labels = np.select([IDS == 900, IDS == 70000, IDS == 12], [2, 0, 1], 255)
    assert np.array_equal(sample.gt_sem_seg.sem_seg[0].numpy(), labels)
    stuff_only, nothing = dataset[1]["data_samples"], dataset[2]["data_samples"]
    assert len(stuff_only.gt_instances) == len(nothing.gt_instances) == 0
    assert stuff_only.gt_instances.masks.to_ndarray().shape == (0, 24, 24)
    assert set(stuff_only.gt_sem_seg.sem_seg.unique().tolist()) == {2, 255}
    assert set(nothing.gt_sem_seg.sem_seg.unique().tolist()) == {255}


def test_categories_that_are_no_classes_become_void(root: Path) -> None:
    sample = build(config(root, metainfo=dict(classes=("fork", "sky"))))[0]["data_samples"]
    assert len(sample.gt_instances) == 0
    assert (sample.gt_sem_seg.sem_seg[0].numpy()[IDS == 70000] == 255).all()


def change_json(root: Path, change) -> None:
    document = json.loads((root / "maps.json").read_text())
    change(document)
    (root / "maps.json").write_text(json.dumps(document))


def test_faulty_data_are_named(root: Path) -> None:
    with pytest.raises(
        DataError, match=r"maps\.json: .*write metainfo=dict\(classes=\('cup', 'fork', 'sky'\)\)"
    ):
        build(config(root, metainfo=dict(classes=("sky", "cup", "fork"))))
    with pytest.raises(DataError, match="set data_root"):
        build(config(root, data_root=str(root / "absent")))
    change_json(root, lambda d: d["annotations"][0]["segments_info"].pop(0))
    with pytest.raises(DataError, match=r"a_panoptic\.png: image id-a: segment 900 .*id-not-listed"):
        build(config(root))[0]
    lenient = config(root)
    lenient["pipeline"][1]["strict"] = False
    assert set(build(lenient)[0]["data_samples"].gt_sem_seg.sem_seg.unique().tolist()) == {0, 1, 255}
    change_json(root, lambda d: d["annotations"][0]["segments_info"][0].update(id=901))
    assert len(build(lenient)[0]["data_samples"].gt_instances) == 0  # no pixel: no box, no mask
    write_id_map(root / "maps" / "b_panoptic.png", IDS[:, :20])
    with pytest.raises(
        DataError, match=r"b_panoptic\.png: 20 x 24 pixels, but its image .*b\.jpg has 24 x 24"
    ):
        build(config(root))[1]
    change_json(root, lambda d: d["annotations"][0]["segments_info"][0].update(bbox=[1, 2]))
    with pytest.raises(DataError, match=r"image id-a \(a_panoptic\.png\): segment 901 has bbox \[1, 2\]"):
        build(config(root))


def test_more_classes_than_labels(root: Path) -> None:
    """Label 255 is that of void: a class of that label would be void without a word."""
    names = [f"c{i}" for i in range(256)]
    categories = [{"id": i, "name": name, "isthing": 1} for i, name in enumerate(names, 1)]
    change_json(root, lambda d: d.update(categories=categories, annotations=[]))
    assert len(build(config(root, metainfo=dict(classes=names[:255])))) == 3
    with pytest.raises(DataError, match=r"maps\.json: 256 classes; .*255 is the most"):
        build(config(root, metainfo=dict(classes=names)))


def test_scan_lists_all_faults(root: Path) -> None:
    (report,) = scan_dataset(config(root), quick=False)
    assert report.ok, report.table()
    assert (report.found, report.annotations, report.empty) == (3, 4, 1)
    Image.fromarray(np.zeros((24, 24), np.uint8)).save(root / "maps" / "b_panoptic.png")
    (root / "maps" / "c_panoptic.png").unlink()
    change_json(root, lambda d: d["annotations"][0]["segments_info"][0].update(area=5))
    for quick in (True, False):  # what training looks at first, and the whole scan
        (report,) = scan_dataset(config(root), quick=quick)
        assert sorted(fault.rule for fault in report.faults) == ["area-differs", "file-missing", "id-map"]
    assert any(
        "one channel of 8 bits" in str(fault) and "image id-b" in str(fault) for fault in report.faults
    )
    lenient = config(root)
    lenient["pipeline"][1]["strict"] = False
    (report,) = scan_dataset(lenient, quick=False)
    assert [note.rule for note in report.notes] == ["area-differs"]
    change_json(root, lambda d: d["categories"][0].pop("isthing"))
    (report,) = scan_dataset(config(root))
    assert "'sky' has no 'isthing'" in str(report.faults[0])


def test_stuff_in_several_segments_is_told_of(root: Path) -> None:
    """A prediction has one segment of it, so that the truth as a prediction would not score 1."""
    change_json(root, lambda d: [s.update(category_id=7) for s in d["annotations"][0]["segments_info"]])
    (report,) = scan_dataset(config(root))
    (note,) = [note for note in report.notes if note.rule == "stuff-in-parts"]
    assert "1 images" in note.value and "'id-a'" in note.value


def test_cityscapes_and_ade20k_find_their_files(tmp_path: Path) -> None:
    kinds = DATASETS.get("CityscapesPanopticDataset"), DATASETS.get("ADE20KPanopticDataset")
    image = {"id": "aachen_000000_000019", "file_name": "aachen_000000_000019_gtFine_leftImg8bit.png"}
    assert kinds[0].image_file(image) == "aachen/aachen_000000_000019_leftImg8bit.png"
    assert kinds[1].image_file({"id": 1, "file_name": "x.jpg"}) == "x.jpg"
    for kind, things, stuff in ((kinds[0], 8, 11), (kinds[1], 100, 50)):
        names = [name if name != "airplane" else "plane" for name in kind.METAINFO["classes"]]
        categories = [
            {"id": i, "name": f"{name} ", "isthing": int(i < things)} for i, name in enumerate(names)
        ][::-1]
        write_panoptic(tmp_path / "p.json", [], [image | {"height": 2, "width": 2}], categories)
        dataset = kind(ann_file=str(tmp_path / "p.json"), data_prefix=dict(img="i", seg="s"), pipeline=[])
        assert len(dataset.metainfo["thing_classes"]) == things
        assert len(dataset.metainfo["stuff_classes"]) == stuff
        assert len(kind.METAINFO["palette"]) >= things + stuff


def test_tests_draw_panoptic_results_and_keep_them(tmp_path: Path) -> None:
    """mmdet's hook cannot: it needs panopticapi."""
    cfg = Config.fromfile(CONFIGS / "coco_panoptic.py")
    cfg.model, cfg.default_hooks = dict(type="KMaXDeepLab"), {}
    testing._draw_into(cfg, tmp_path)
    assert cfg.default_hooks.visualization == {"type": "dense3d.PictureHook", "folder": str(tmp_path)}
    testing._keep_predictions(cfg, tmp_path / "predictions")
    assert cfg.test_evaluator.result_file == str(tmp_path / "predictions.json")


@pytest.mark.parametrize("name", ["coco", "cityscapes", "ade20k", "synthetic"])
def test_config_parts(name: str) -> None:
    cfg = Config.fromfile(CONFIGS / f"{name}_panoptic.py")
    for split in ("train", "val", "test"):
        dataset = cfg[f"{split}_dataloader"].dataset
        assert issubclass(DATASETS.get(dataset.type), DATASETS.get("CocoPanopticDataset"))
        assert any(step["type"] == "LoadPanopticAnnotations" for step in dataset.pipeline)
    assert cfg.val_evaluator.type == "PanopticQualityMetric"
    assert cfg.val_evaluator.ann_file == cfg.data_root + cfg.val_dataloader.dataset.ann_file


def coded(ids: np.ndarray, numbers: dict[int, int]) -> torch.Tensor:
    """mmdet's form of a result: label + 1000 x instance, 3 is void."""
    result = np.full(ids.shape, 3)
    for number, code in numbers.items():
        result[ids == number] = code
    return torch.from_numpy(result)[None]


def predictions(dataset) -> list[DetDataSample]:
    samples = []
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        sample = DetDataSample(metainfo={"img_id": info["img_id"], "img_path": info["img_path"]})
        result = coded(read_id_map(info["seg_map_path"]), {900: 2, 70000: 1000})
        sample.pred_panoptic_seg = PixelData(sem_seg=result)
        samples.append(sample)
    return samples


def test_metric_equals_the_evaluation_of_the_files_that_it_writes(root: Path) -> None:
    dataset = build(config(root, test_mode=True))
    target = root / "out" / "results.json"
    metric = dict(
        type="PanopticQualityMetric",
        ann_file=str(root / "maps.json"),
        seg_prefix=str(root / "maps"),
        classwise=True,
        result_file=str(target),
    )
    with DefaultScope.overwrite_default_scope("dense3d"):
        evaluator = Evaluator(metric)
    evaluator.dataset_meta = dataset.metainfo
    for sample in predictions(dataset):
        evaluator.process([sample])
    figures = evaluator.evaluate(len(dataset))
    assert figures["panoptic/PQ"] == figures["panoptic/PQ_th"] == figures["panoptic/PQ_st"] == 1
    written = evaluate_files(root / "maps.json", target)
    assert {f"panoptic/{name}": value for name, value in written.flat().items()} == figures
    sample = predictions(dataset)[0]
    evaluator.process([sample])
    evaluator.process([sample])
    with pytest.raises(DataError, match="image id-a was predicted twice"):
        evaluator.evaluate(2)
    sample.set_metainfo({"img_id": "id-z"})
    with pytest.raises(DataError, match=r"maps\.json: image id-z of the data set has no annotation"):
        evaluator.process([sample])


def test_pictures_show_segments_in_their_colours(root: Path) -> None:
    dataset = build(config(root))
    sample, image = dataset[0]["data_samples"], np.full((24, 24, 3), 100, np.uint8)
    classes, palette = dataset.metainfo["classes"], dataset.metainfo["palette"]
    picture = draw_sample(image, sample, classes, palette, cell=(240, 240))
    assert tuple(picture[10, 10]) == (45, 45, 182)  # sky: 0.45 grey and 0.55 blue
    assert tuple(picture[230, 120]) == (100, 100, 100)  # void
    assert (picture[80 - 1, 5:100] == 255).all()  # the border of sky and cup
    target = root / "pictures" / "a.png"
    result = predictions(dataset)[0]
    Result.of(result, ModelInfo(dataset.metainfo)).save(target)
    drawn = np.asarray(Image.open(target)).astype(int)
    assert drawn.shape == (480 + 22, 480, 3)  # 20 times as large, below a caption
    assert drawn[-480:][12 * 20, 2 * 20, 0] > drawn[-480:][12 * 20, 2 * 20, 2] + 50  # the cup is red
    result.gt_instances, result.gt_sem_seg = sample.gt_instances, sample.gt_sem_seg
    Result.of(result, ModelInfo(dataset.metainfo)).save(target)
    both = np.asarray(Image.open(target)).astype(int)
    assert np.array_equal(both[:, -480:], drawn)
    heap = 12 * 20, 18 * 20  # of forks, green, that the prediction lacks
    assert both[-480:, :480][heap].argmax() == 1
    assert np.ptp(both[-480:, -480:][heap]) < 10
    assert read_panoptic(root / "maps.json").categories[3]["name"] == "cup"


def test_the_metrics_images_are_compared_with_the_data_sets(root: Path) -> None:
    dataset = build(config(root, test_mode=True))
    known = [dataset.get_data_info(index) for index in range(len(dataset))]
    metric = METRICS.build(dict(type="PanopticQualityMetric", ann_file=str(root / "maps.json")))
    metric.check_loader(known, None)
    metric.check_loader(known[1:], None)
    with pytest.raises(DataError, match="the data set has image id-a twice"):
        metric.check_loader([*known, known[0]], None)
    with pytest.raises(DataError, match=r"maps\.json: 1 of the data set's 1 images are not in it"):
        metric.check_loader([{**known[0], "img_id": "id-z"}], None)
    with pytest.raises(DataError, match=r"maps\.json: image 'id-a' is .*\.png there and other/b\.png in"):
        metric.check_loader([{**known[0], "seg_map_path": "other/b.png"}], None)
