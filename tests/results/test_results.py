"""Results of every task: their fields, pictures, files and exports, against the tools that read those."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from pycocotools import mask as mask_tools

from dense3d.datasets.kitti.objects import parse_objects
from dense3d.datasets.panoptic.files import read_predictions
from dense3d.datasets.panoptic.id_map import read_id_map
from dense3d.errors import CheckpointError, DataError
from dense3d.results import ModelInfo, Part, Result
from dense3d.structures import KittiCalibration

IMAGE = np.full((40, 60, 3), 90, np.uint8)
META = dict(classes=("Car", "Cyclist", "sky"), palette=[(250, 0, 0), (0, 250, 0), (0, 0, 250)])
META["category_ids"] = [3, 19, 40]
BOXES = [[4.0, 5.0, 24.0, 35.0], [30.0, 8.0, 50.5, 20.0], [1.0, 1.0, 9.0, 9.0]]


def result_of(threshold: float = 0.3, meta: dict = META, path: Path | None = None, **fields) -> Result:
    sample = DetDataSample(metainfo=dict(ori_shape=(40, 60)))
    for name, value in fields.items():
        setattr(sample, name, value)
    image = None if path else IMAGE
    return Result.of(sample, ModelInfo(meta, threshold=threshold), "street.jpg", path, image)


def detections(masks: bool = False) -> InstanceData:
    found = InstanceData(
        bboxes=torch.tensor(BOXES), scores=torch.tensor([0.9, 0.5, 0.2]), labels=torch.tensor([0, 1, 0])
    )
    if masks:
        found.masks = torch.zeros(3, 40, 60, dtype=torch.bool)
        found.masks[0, 5:35, 4:24] = True
        found.masks[1, 8:20, 30:38] = found.masks[1, 8:20, 42:50] = True
    return found


def panoptic() -> PixelData:
    coded = torch.full((1, 40, 60), 2)
    coded[:, 10:30, 5:20], coded[:, 10:30, 30:50] = 0, 1000
    coded[:, :3] = 3  # void
    return PixelData(sem_seg=coded)


def test_detections_have_fields_above_the_threshold():
    result = result_of(pred_instances=detections())
    assert result.fields == ("boxes", "scores", "labels", "names")
    assert result.boxes.tolist() == BOXES[:2]
    assert result.scores.tolist() == pytest.approx([0.9, 0.5])
    assert result.labels.tolist() == [0, 1]
    assert result.names == ("Car", "Cyclist")
    assert result.size == (40, 60)
    assert "masks" not in result
    assert {"boxes", "plot"} <= set(dir(result))
    assert repr(result) == (
        "<Result street.jpg, 40 x 60: 2 boxes (1 Car, 1 Cyclist); fields: boxes, scores, labels, names>"
    )


def test_a_field_that_is_not_there_is_told():
    result = result_of(pred_instances=detections())
    with pytest.raises(AttributeError, match=r"street.jpg has no 'masks'; there are boxes, scores, labels"):
        _ = result.masks
    with pytest.raises(AttributeError, match="no 'box'; did you mean 'boxes'"):
        _ = result.box
    assert not hasattr(result, "_repr_html_")


def test_coco_reads_what_detections_export(tmp_path):
    from pycocotools.coco import COCO

    result = result_of(pred_instances=detections(masks=True))
    first, second = result.to_coco(image_id=7)
    assert first["bbox"] == [4.0, 5.0, 20.0, 30.0]
    assert (first["category_id"], second["category_id"]) == (3, 19)
    assert first["file_name"] == "street.jpg"
    masks = [mask_tools.decode(entry["segmentation"]).astype(bool) for entry in (first, second)]
    assert np.array_equal(np.stack(masks), result.masks)
    truth = COCO()
    truth.dataset = dict(images=[dict(id=1)], annotations=[], categories=[dict(id=3), dict(id=19)])
    truth.createIndex()
    loaded = truth.loadRes(str(result.save(tmp_path / "found.json")))
    assert [annotation["area"] for annotation in loaded.loadAnns([1, 2])] == [600, 246]


def test_classes_without_names_and_ids_are_numbers():
    for meta in ({}, {"classes": ()}):
        result = result_of(meta=meta, pred_instances=detections())
        assert result.names == ("0", "1")
        assert [entry["category_id"] for entry in result.to_coco()] == [1, 2]
        assert result.plot().shape == (480, 720, 3)


def test_kitti_reads_what_detections_export(tmp_path):
    path = result_of(pred_instances=detections()).save(tmp_path / "000001.txt")
    objects = parse_objects(path.read_text(), is_result=True)
    assert objects.names == ("Car", "Cyclist")
    assert objects.boxes2d.tolist() == BOXES[:2]
    assert objects.scores.tolist() == pytest.approx([0.9, 0.5])
    assert not objects.has_box3d.any()
    spaced = dict(META, classes=("traffic light", "b", "c"))
    with pytest.raises(DataError, match="'traffic light' needs a name without"):
        result_of(meta=spaced, pred_instances=detections()).to_kitti()


def _filled(shapes: list[dict], size: tuple[int, int] = (40, 60)) -> np.ndarray:
    canvas = np.zeros(size, np.uint8)
    for shape in shapes:
        cv2.fillPoly(canvas, [np.array(shape["points"], np.int32)], 1)
    return canvas.astype(bool)


def test_labelme_gets_boxes_or_outlines(tmp_path):
    document = result_of(pred_instances=detections()).to_labelme()
    assert [shape["shape_type"] for shape in document["shapes"]] == ["rectangle"] * 2
    assert document["shapes"][0]["points"] == [[4.0, 5.0], [24.0, 35.0]]
    assert document["shapes"][1]["description"] == "score 0.500"
    assert (document["imageHeight"], document["imageWidth"]) == (40, 60)
    assert document["imageData"]  # there is no file that LabelMe could open
    result = result_of(pred_instances=detections(masks=True), path=tmp_path / "street.jpg")
    document = json.loads(json.dumps(result.to_labelme()))
    assert (document["imagePath"], document["imageData"]) == ("street.jpg", None)
    assert [shape["group_id"] for shape in document["shapes"]] == [1, 2, 2]  # the second one is in two parts
    for number, mask in enumerate(result.masks, start=1):
        shapes = [shape for shape in document["shapes"] if shape["group_id"] == number]
        assert np.array_equal(_filled(shapes), mask)


def test_panoptic_results_export_what_they_draw(tmp_path):
    result = result_of(pred_panoptic_seg=panoptic())
    assert result.fields == ("panoptic", "segments")
    by_id = {segment.id: segment for segment in result.segments}
    names = [by_id[result.panoptic[20, column]].name for column in (10, 40, 55)]
    assert names == ["Car", "Car", "sky"]
    assert (result.panoptic[:3] == 0).all()
    assert str(result.parts[0]) == "3 panoptic segments (2 Car, 1 sky)"
    rows = result.write(tmp_path, "street_2", image_id=4)
    assert [*rows] == ["panoptic"]
    (tmp_path / "panoptic.json").write_text(json.dumps({"annotations": rows["panoptic"]}))
    read = read_predictions(tmp_path / "panoptic.json", {3: None, 40: None})
    annotation = read.annotations[4]
    assert annotation["file_name"] == "street_2.png"
    assert sorted(segment["area"] for segment in annotation["segments_info"]) == [300, 400, 1520]
    assert np.array_equal(read_id_map(tmp_path / "panoptic/street_2.png"), result.panoptic)
    shapes = [shape for shape in result.to_labelme()["shapes"] if shape["label"] == "Car"]
    assert np.array_equal(_filled(shapes), np.isin(result.panoptic, (1, 3)))
    assert result.plot().shape == (480 + 22, 720, 3)
    with pytest.raises(DataError, match=r"3 panoptic segments .* has no form in KITTI's lines"):
        result.to_kitti()


def test_panoptic_results_need_names():
    with pytest.raises(CheckpointError, match="does not name the classes"):
        result_of(meta={}, pred_panoptic_seg=panoptic())


def test_label_maps(tmp_path):
    labels = torch.zeros(1, 40, 60, dtype=torch.int64)
    labels[:, 20:] = 2
    result = result_of(pred_sem_seg=PixelData(data=labels))
    assert np.array_equal(result.semantic, labels[0].numpy())
    assert "a map of 2 classes (50% Car, 50% sky)" in repr(result)
    assert result.plot().shape[1] == 2 * 640 + 4
    assert [shape["label"] for shape in result.to_labelme()["shapes"]] == ["Car", "sky"]
    with pytest.raises(DataError, match=r"a map of 2 classes .* has no form in COCO's format"):
        result.to_coco()
    nameless = result_of(meta={}, pred_sem_seg=PixelData(data=labels))
    assert nameless.plot()[100, 700].any()  # classes without names have colours all the same


LINES = (
    "Car 0.00 0 -1.50 10.00 8.00 30.00 24.00 1.50 1.60 4.00 -3.00 1.70 20.00 -1.60 0.90\n"
    "Cyclist 0.00 0 0.20 40.00 8.00 50.00 30.00 1.70 0.60 1.80 2.00 1.70 12.00 0.30 0.10\n"
)


def test_objects_in_space():
    sample = BaseDataElement(metainfo=dict(ori_shape=(40, 60)))
    sample.set_field(parse_objects(LINES, is_result=True), "predictions")
    sample.set_metainfo(dict(calibration=KittiCalibration.pinhole(50.0, (30.0, 20.0))))
    result = Result.of(sample, ModelInfo(META, threshold=0.3), "000001.png", image=IMAGE)
    assert result.fields == ("boxes3d", "boxes", "scores", "labels", "names", "calibration")
    assert result.boxes3d.frame == "camera"
    assert result.boxes3d.bottom_center.tolist() == [[-3.0, 1.7, 20.0]]
    assert result.boxes.tolist() == [[10.0, 8.0, 30.0, 24.0]]
    assert (result.names, result.labels.tolist()) == (("Car",), [0])
    assert result.to_kitti() == LINES.splitlines(keepends=True)[0]
    assert result.to_coco()[0]["bbox"] == [10.0, 8.0, 20.0, 16.0]
    assert result.to_labelme()["shapes"][0]["points"] == [[10.0, 8.0], [30.0, 24.0]]
    assert result.plot().shape[0] % 40 == 0


def test_pictures_are_files_and_notebook_output(tmp_path):
    result = result_of(pred_instances=detections())
    picture = result.plot()
    assert picture.dtype == np.uint8
    assert (picture != 90).any()
    written = result.save(tmp_path / "deep/er.png")
    assert np.array_equal(cv2.imread(str(written))[..., ::-1], picture)
    shown = cv2.imdecode(np.frombuffer(result._repr_png_(), np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(shown[..., ::-1], picture)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["er.png"]
    for name in ("er.docx", "er"):
        with pytest.raises(DataError, match="the suffix names the format"):
            result.save(tmp_path / name)


def test_a_file_that_is_gone_cannot_be_drawn_on(tmp_path):
    result = result_of(pred_instances=detections(), path=tmp_path / "gone.jpg")
    with pytest.raises(DataError, match=r"gone\.jpg is not a readable image any more"):
        result.plot()


def test_a_result_without_prediction_says_why():
    result = Result("broken.jpg", error="broken.jpg is not a readable image: replace or remove the file")
    assert result.fields == ()
    assert result._repr_png_() is None
    assert repr(result).startswith("<Result broken.jpg: no prediction, broken.jpg is not a readable image")
    for use in (lambda: result.boxes, result.plot, result.to_coco, result.to_labelme):
        with pytest.raises(DataError, match=r"broken\.jpg is not a readable image"):
            use()


@dataclass(frozen=True, eq=False)
class Depth(Part):
    """A task of its own: the toolbox knows nothing of it."""

    fields: ClassVar = ("depth",)
    depth: np.ndarray

    @classmethod
    def read(cls, sample, info):
        return cls(sample.depth.numpy()) if "depth" in sample else None

    def __str__(self) -> str:
        return f"a depth map up to {self.depth.max():g} m"

    def draw(self, image):
        return np.repeat(self.depth[..., None].astype(np.uint8), 3, axis=2)

    def write(self, folder, stem, image_id, file_name):
        np.save(folder / f"{stem}.npy", self.depth)
        return {}


def test_a_new_task_is_one_class(tmp_path):
    result = Result("a.jpg", (Depth(np.full((40, 60), 7.0)),), (40, 60), image=IMAGE)
    assert repr(result) == "<Result a.jpg, 40 x 60: a depth map up to 7 m; fields: depth>"
    assert result.depth.mean() == 7
    assert (result.plot() == 7).all()
    assert result.write(tmp_path, "a", 1) == {}
    assert (tmp_path / "a.npy").is_file()
    with pytest.raises(DataError, match="a depth map up to 7 m, which has no form in COCO's format"):
        result.to_coco()
