"""The predictor: one result for an image in whatever form, equal to the model's own, and nothing lost."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import DefaultScope
from PIL import Image

import dense3d
from dense3d.apis import infer
from dense3d.apis.pipelines import inference_steps
from dense3d.config import load_config
from dense3d.errors import ConfigError, DataError
from dense3d.results import Result

NAME = "dino_r18_synthetic-coco"
CLASSES = ("box", "sphere", "cylinder", "cone", "torus", "cross")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """Random weights; those of the heads are spread so that objects and classes differ."""
    torch.manual_seed(0)
    model = dense3d.build_model(NAME)
    for parameter in model.bbox_head.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    path = tmp_path_factory.mktemp("weights") / "model.pth"
    meta = dict(dataset_meta=dict(classes=CLASSES))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for name in ("a.png", "b.png", "c.png", "d.png"):
        coarse = random.integers(0, 256, (8, 10, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / name), cv2.resize(coarse, (160, 128)))
    return folder


@pytest.fixture(scope="module")
def predictor(checkpoint):
    return dense3d.load(NAME, checkpoint, device="cpu", score_threshold=0.0)


def equal(one: Result, other: Result) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in ("boxes", "scores", "labels")
    )


def rgb(path: Path) -> np.ndarray:
    return cv2.imread(str(path))[..., ::-1]


def test_a_result_is_what_the_model_says(predictor, folder):
    result = predictor(folder / "a.png")
    cfg = load_config(NAME)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        item = Compose(inference_steps(cfg))({"img_path": str(folder / "a.png"), "img_id": 0})
        with torch.no_grad():
            (sample,) = predictor.model.test_step(pseudo_collate([item]))
    assert len(result.boxes) == len(sample.pred_instances) > 10
    assert np.array_equal(result.boxes, sample.pred_instances.bboxes.numpy())
    assert np.array_equal(result.scores, sample.pred_instances.scores.numpy())
    assert set(result.names) <= set(CLASSES)
    assert result.size == (128, 160)
    assert np.array_equal(result.image, rgb(folder / "a.png"))
    assert repr(predictor) == "<Predictor DINO of 6 classes on cpu>"


def test_the_form_of_an_image_changes_nothing(predictor, folder):
    path = folder / "a.png"
    expected, pixels = predictor(str(path)), rgb(path)
    with Image.open(path) as image:
        forms = [pixels, image.copy(), torch.from_numpy(pixels.copy()).permute(2, 0, 1)]
    for form in forms:
        result = predictor(form)
        assert equal(result, expected)
        assert np.array_equal(result.plot(), expected.plot())
    assert not equal(predictor(pixels[..., ::-1]), expected)  # BGR is another picture


def test_several_images_give_a_list_in_their_order(predictor, folder):
    expected = [predictor(path) for path in sorted(folder.iterdir())]
    for several in (folder, str(folder / "*.png"), sorted(folder.iterdir()), [rgb(folder / "a.png"), folder]):
        results = predictor(several)
        assert isinstance(results, list)
        assert all(map(equal, results[-4:], expected))
    (alone,) = predictor([folder / "b.png"])
    assert equal(alone, expected[1])
    assert alone.path == folder / "b.png"


def test_a_stream_gives_results_as_they_come(predictor, folder, monkeypatch):
    calls = []
    step = predictor.model.test_step
    monkeypatch.setattr(predictor.model, "test_step", lambda batch: calls.append(1) or step(batch))
    stream = predictor(folder, stream=True)
    assert not calls
    assert next(stream).path.name == "a.png"
    assert len(calls) == 1
    assert len(list(stream)) == 3
    with pytest.raises(DataError, match="names no image"):
        predictor(folder / "nothing", stream=True)  # at once, not when the first result is asked for


@pytest.mark.parametrize("batch_size", [1, 3])
def test_an_unreadable_image_does_not_take_the_others_with_it(
    predictor, folder, tmp_path, monkeypatch, batch_size
):
    monkeypatch.setattr(predictor, "batch_size", batch_size)
    whole = (folder / "a.png").read_bytes()
    for name, content in (("cut.png", whole[:60]), ("empty.jpg", b""), ("text.jpg", b"no image at all")):
        (tmp_path / name).write_bytes(content)
    broken = sorted(tmp_path.iterdir())
    with pytest.warns(UserWarning, match=r"left out: .*cut\.png is not a readable image"):
        results = predictor([folder / "a.png", *broken, np.zeros((4, 4), np.float32), folder / "b.png"])
    assert [result.error is None for result in results] == [True, False, False, False, False, True]
    assert "image-4: an array of float32" in results[4].error
    assert results[0].boxes.shape == results[5].boxes.shape
    with pytest.raises(DataError, match=r"cut\.png is not a readable image"):
        predictor(broken[0])
    with pytest.raises(DataError, match=r"cut\.png is not a readable image"):
        _ = results[1].boxes


def test_an_image_as_thin_as_a_thread_is_named(predictor, folder):
    thread = np.zeros((1, 3000, 3), np.uint8)
    with pytest.warns(UserWarning, match="left out: image-1, 3000 x 1 pixels, cannot be brought to"):
        results = predictor([folder / "a.png", thread])
    assert [result.error is None for result in results] == [True, False]


def test_the_one_that_the_model_refuses_is_found_in_its_batch(predictor, folder, monkeypatch):
    step = predictor.model.test_step

    def fussy(batch):
        if any(sample.img_path.endswith("b.png") for sample in batch["data_samples"]):
            raise DataError("not this one")
        return step(batch)

    monkeypatch.setattr(predictor, "batch_size", 4)
    monkeypatch.setattr(predictor.model, "test_step", fussy)
    with pytest.warns(UserWarning, match=r"not this one \(in the batch of .*b\.png\)$"):
        results = predictor(folder)
    assert [bool(result.error) for result in results] == [False, True, False, False]


def test_infer_writes_what_the_predictor_gives(predictor, checkpoint, folder, tmp_path):
    report = infer(NAME, checkpoint, folder, tmp_path, score_threshold=0.0, device="cpu")
    results = predictor(folder)
    entries = [entry for number, result in enumerate(results, 1) for entry in result.to_coco(number)]
    assert json.loads(report.results.read_text()) == entries
    for result, picture in zip(results, report.pictures, strict=True):
        assert picture.read_bytes() == result.save(tmp_path / "again.jpg").read_bytes()


def test_images_of_one_name_get_files_of_their_own(checkpoint, folder, tmp_path):
    for name in ("x.png", "x.jpg", "x_2.png", "below/x.png"):
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True, parents=True)
        cv2.imwrite(str(tmp_path / "in" / name), rgb(folder / "a.png"))
    report = infer(NAME, checkpoint, [tmp_path / "in"], tmp_path / "out")
    assert len(set(report.pictures)) == 4
    assert all(path.is_file() for path in report.pictures)


def test_the_threshold_leaves_out_less(checkpoint, predictor, folder):
    every = predictor(folder / "a.png")
    limit = float(np.sort(every.scores)[-5])
    few = dense3d.load(NAME, checkpoint, device="cpu", score_threshold=limit)(folder / "a.png")
    assert np.array_equal(few.boxes, every.boxes[every.scores >= limit])
    assert len(few.boxes) == 5


def test_faulty_calls_are_told(checkpoint, predictor, folder):
    for settings, message in (
        (dict(device="foo"), "the device foo cannot be used"),
        (dict(batch_size=0), "the batch size 0 is no number of images"),
        (dict(score_threshold=float("nan")), "the score threshold is nan: scores lie in 0 .. 1"),
        (dict(score_threshold=5), "the score threshold is 5: scores lie in 0 .. 1"),
        (dict(score_threshold="a"), "the score threshold is 'a': scores lie in 0 .. 1"),
        (dict(batch_size="3"), "the batch size '3' is no number of images: give 1 or more"),
        (dict(options={"model.num_querys": 1}), "num_querys"),
    ):
        with pytest.raises(ConfigError, match=message):
            dense3d.load(NAME, checkpoint, **settings)
    with pytest.raises(ConfigError, match="describes no detector of 3D boxes"):
        predictor(folder, calibration=folder)
