"""Panoptic quality: rules in closed form, properties, the plain reference, files, processes, bad input."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from dense3d.benchmarks import load_cases
from dense3d.datasets.panoptic import counted_segments, read_id_map, write_id_map, write_panoptic
from dense3d.errors import DataError
from dense3d.evaluation.panoptic import (
    Overlaps,
    Segments,
    evaluate_files,
    evaluate_reference,
    match_segments,
    summarise,
)
from dense3d.registry import METRICS
from tests.golden import UnknownCheckError, open_kit
from tests.golden.kit import GoldenKit

CATEGORIES = [
    {"id": 3, "name": "cup", "isthing": 1},
    {"id": 5, "name": "fork", "isthing": 1},
    {"id": 90, "name": "wall", "isthing": 0},
]
POSITIONS = {3: 0, 5: 1, 90: 2}
COUNTS = ("iou_sum", "tp", "fp", "fn")


def listed(ids: np.ndarray, categories: list[int], crowd: tuple[int, ...] = ()) -> list[dict]:
    """Segments 1, 2 ... with these categories, those that have pixels."""
    return counted_segments(
        ids,
        [{"id": i, "category_id": c, "iscrowd": int(i in crowd)} for i, c in enumerate(categories, start=1)],
    )


def result_of(*images: tuple[np.ndarray, list[dict], np.ndarray, list[dict]]):
    matches = [
        match_segments(
            Overlaps.of(true_map, pred_map),
            Segments.of(truth, POSITIONS),
            Segments.of(prediction, POSITIONS, is_prediction=True),
        )
        for true_map, truth, pred_map, prediction in images
    ]
    return summarise(CATEGORIES, matches, len(matches))


def row(*runs: tuple[int, int]) -> np.ndarray:
    """A map of one row: (id, pixels), ..."""
    return np.concatenate([np.full(count, number) for number, count in runs])[None]


def test_the_adapter_follows_the_kit(golden_dir: Path) -> None:
    kit = GoldenKit(golden_dir / "panoptic-quality")
    run = open_kit(kit)
    inputs = kit.inputs("per_class")
    perfect = inputs | {"pred_id_map": inputs["gt_id_map"], "pred_segments": inputs["gt_segments"][:, :3]}
    kept = perfect["pred_segments"]
    perfect["pred_segments"] = kept[inputs["gt_segments"][:, 3] == 0]
    crowds = inputs["gt_segments"][inputs["gt_segments"][:, 3] == 1]
    maps = perfect["pred_id_map"].copy()
    for image, number in crowds[:, :2]:
        maps[image][maps[image] == number] = 0
    perfect["pred_id_map"] = maps
    produced = run({"name": "summary", "outputs": ["all"]}, perfect)
    assert produced["all"][:3].tolist() == [1, 1, 1]
    with pytest.raises(UnknownCheckError, match="'other'"):
        run({"name": "other", "outputs": ["x"]}, {})


def test_iou_must_exceed_one_half() -> None:
    truth, exactly, above = row((1, 4), (0, 0)), row((1, 2), (2, 2)), row((1, 3), (2, 1))
    half = result_of((truth, listed(truth, [3]), exactly, listed(exactly, [3, 5])))
    assert (half.tp[0], half.fp[0], half.fn[0], half.fp[1]) == (0, 1, 1, 1)
    more = result_of((truth, listed(truth, [3]), above, listed(above, [3, 5])))
    assert (more.iou_sum[0], more.tp[0], more.fp.tolist()) == (0.75, 1, [0, 1, 0])


def test_void_leaves_the_union_and_forgives() -> None:
    truth = row((1, 4), (0, 6))
    prediction = row((1, 8), (2, 2))
    result = result_of((truth, listed(truth, [3]), prediction, listed(prediction, [3, 5])))
    assert result.iou_sum[0] == 1  # 4 / (4 + 8 - 4 - 4): the four pixels on void do not count
    assert result.fp.sum() == 0  # segment 2 lies on void
    partly = row((1, 3), (2, 2), (0, 5))  # one of two pixels on void: not more than half
    result = result_of((truth, listed(truth, [3]), partly, listed(partly, [3, 5])))
    assert result.fp.tolist() == [0, 1, 0]


def test_crowds_match_nothing_and_forgive_their_class() -> None:
    truth = row((1, 6), (2, 4))
    prediction = row((1, 6), (2, 4))
    result = result_of((truth, listed(truth, [3, 3], crowd=(1,)), prediction, listed(prediction, [3, 3])))
    assert [getattr(result, name)[0] for name in COUNTS] == [1, 1, 0, 0]
    other = result_of((truth, listed(truth, [3, 3], crowd=(1,)), prediction, listed(prediction, [5, 3])))
    assert other.fp.tolist() == [0, 1, 0]


def test_of_two_crowds_of_a_class_the_last_counts() -> None:
    truth = row((1, 4), (2, 4))
    prediction = row((1, 4), (0, 4))
    segments = listed(truth, [3, 3], crowd=(1, 2))
    assert result_of((truth, segments, prediction, listed(prediction, [3]))).fp[0] == 1
    assert result_of((truth, segments[::-1], prediction, listed(prediction, [3]))).fp[0] == 0


def test_ids_that_are_not_listed_are_not_void() -> None:
    truth = row((1, 2), (9, 4))
    prediction = row((1, 6))
    result = result_of((truth, listed(truth, [3]), prediction, listed(prediction, [3])))
    assert [getattr(result, name)[0] for name in COUNTS] == [0, 0, 1, 1]


MAPS = arrays(np.uint32, (8, 9), elements=st.integers(0, 5))
CLASSES = st.lists(st.sampled_from([3, 5, 90]), min_size=5, max_size=5)


@settings(deadline=None)
@given(MAPS, CLASSES)
def test_truth_against_itself_is_perfect(ids: np.ndarray, classes: list[int]) -> None:
    result = result_of((ids, listed(ids, classes), ids, listed(ids, classes)))
    assert result.fp.sum() == result.fn.sum() == 0
    assert (result.qualities[result.occurs] == 1).all()
    assert result.tp.sum() == len(listed(ids, classes))


@settings(deadline=None)
@given(MAPS, CLASSES, MAPS, CLASSES, st.permutations(range(1, 6)))
def test_ids_are_names(truth, classes, prediction, pred_classes, order) -> None:
    """Renumbering the segments of either side changes nothing."""
    base = result_of((truth, listed(truth, classes), prediction, listed(prediction, pred_classes)))
    table = np.array([0, *order], dtype=np.uint32)
    segments = [{**s, "id": int(table[s["id"]])} for s in listed(prediction, pred_classes)]
    renamed = result_of((truth, listed(truth, classes), table[prediction], segments))
    for name in COUNTS:
        np.testing.assert_allclose(getattr(renamed, name), getattr(base, name), rtol=1e-12)


@settings(deadline=None)
@given(MAPS.filter(lambda m: m.all()), CLASSES, MAPS.filter(lambda m: m.all()), CLASSES)
def test_without_void_and_crowds_the_sides_are_symmetric(truth, classes, prediction, pred_classes) -> None:
    one = result_of((truth, listed(truth, classes), prediction, listed(prediction, pred_classes)))
    other = result_of((prediction, listed(prediction, pred_classes), truth, listed(truth, classes)))
    assert np.array_equal(one.fp, other.fn)
    assert np.array_equal(one.tp, other.tp)
    np.testing.assert_allclose(one.iou_sum, other.iou_sum, rtol=1e-12)


@settings(deadline=None, max_examples=60)
@given(MAPS, CLASSES, MAPS, CLASSES, st.sets(st.integers(1, 5)))
def test_equals_the_reference(tmp_path_factory, truth, classes, prediction, pred_classes, crowd) -> None:
    folder = tmp_path_factory.mktemp("maps")
    write_id_map(folder / "t.png", truth)
    write_id_map(folder / "p.png", prediction)
    lists = listed(truth, classes, tuple(crowd)), listed(prediction, pred_classes)
    expected = evaluate_reference([(folder / "t.png", lists[0], folder / "p.png", lists[1])])
    result = result_of((truth, lists[0], prediction, lists[1]))
    for position, category in enumerate(CATEGORIES):
        counts = tuple(getattr(result, name)[position] for name in COUNTS)
        assert counts == expected.get(category["id"], (0, 0, 0, 0))


def test_empty_groups_have_no_quality() -> None:
    ids = row((1, 4))
    result = result_of((ids, listed(ids, [3]), ids, listed(ids, [3])))
    assert result.group("all") == result.group("things") == (1, 1, 1, 1)
    assert all(map(math.isnan, result.group("stuff")[:3]))
    assert json.loads(json.dumps(result.to_dict(), allow_nan=False))["stuff"]["pq"] is None
    assert "stuff       -" in result.table()
    nothing = np.zeros((2, 2), dtype=np.uint32)
    assert result_of((nothing, [], nothing, [])).group("all")[3] == 0


def perturbed(source: Path, target: Path, rng: np.random.Generator) -> None:
    """Predictions made of annotations: shifted maps, wrong classes, segments lost and cut in two."""
    document = json.loads(source.read_text())
    ids = [c["id"] for c in document["categories"]]
    annotations = []
    for annotation in document["annotations"]:
        pred = np.roll(
            read_id_map(source.with_suffix("") / annotation["file_name"]), rng.integers(-6, 7, 2), (0, 1)
        )
        segments = [dict(s, iscrowd=0) for s in annotation["segments_info"]]
        for segment in list(segments):
            fate = rng.random()
            if fate < 0.1:
                segment["category_id"] = int(rng.choice(ids))
            elif fate < 0.2:
                pred[pred == segment["id"]] = 0
            elif fate < 0.35:
                number = int(rng.integers(1, 2**24))
                pred[:, : pred.shape[1] // 2][pred[:, : pred.shape[1] // 2] == segment["id"]] = number
                segments.append({"id": number, "category_id": segment["category_id"]})
        write_id_map(target.with_suffix("") / annotation["file_name"], pred)
        annotations.append({**annotation, "segments_info": counted_segments(pred, segments)})
    write_panoptic(target, annotations)


def test_real_annotations(sample_data: Path, tmp_path: Path) -> None:
    """COCO's own against itself, and perturbed ones against the reference, to the last digit."""
    source = sample_data / "coco_panoptic" / "annotations" / "panoptic_val2017.json"
    assert evaluate_files(source, source, workers=1).group("all")[:3] == (1, 1, 1)
    target = tmp_path / "p.json"
    perturbed(source, target, np.random.default_rng(0))
    truth, prediction = (json.loads(p.read_text())["annotations"] for p in (source, target))
    images = [
        (source.with_suffix("") / t["file_name"], t["segments_info"],
         target.with_suffix("") / p["file_name"], p["segments_info"])
        for t, p in zip(truth, prediction)
    ]  # fmt: skip
    expected = evaluate_reference(images)
    done = []
    result = evaluate_files(source, target, workers=1, on_image=lambda: done.append(1))
    assert len(done) == result.images == 24
    for position, category in enumerate(result.categories):
        counts = tuple(getattr(result, name)[position] for name in COUNTS)
        assert counts == expected.get(category["id"], (0, 0, 0, 0))
    assert 0.3 < result.group("all")[0] < 0.95


def small_set(folder: Path, images: int = 2) -> tuple[Path, Path]:
    """Ground truth and equal predictions of small images."""
    ids = np.kron([[1, 2], [0, 3]], np.ones((4, 5))).astype(np.uint32)
    segments = listed(ids, [3, 5, 90])
    entries = [{"id": i, "file_name": f"{i}.jpg", "height": 8, "width": 10} for i in range(images)]
    annotations = [{"image_id": i, "file_name": f"{i}.png", "segments_info": segments} for i in range(images)]
    for name in ("gt", "pred"):
        for i in range(images):
            write_id_map(folder / name / f"{i}.png", ids)
    write_panoptic(folder / "gt.json", annotations, entries, CATEGORIES)
    write_panoptic(folder / "pred.json", annotations)
    return folder / "gt.json", folder / "pred.json"


def edit(path: Path, change) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def test_threads_agree_and_report_faults(tmp_path: Path) -> None:
    gt, pred = small_set(tmp_path, images=60)
    write_id_map(tmp_path / "pred" / "7.png", np.kron([[1, 2], [2, 3]], np.ones((4, 5), int)))
    one, two = (evaluate_files(gt, pred, workers=n) for n in (1, 2))
    for name in COUNTS:
        assert np.array_equal(getattr(one, name), getattr(two, name))
    (tmp_path / "pred" / "31.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"31\.png: not a readable PNG \(8 bytes\)"):
        evaluate_files(gt, pred, workers=2)


def segments_of(document: dict) -> list[dict]:
    return document["annotations"][1]["segments_info"]


FIRST, SECOND = (r"gt\.json: image 1 \(1\.png\): segment", r"pred\.json: image 1 \(1\.png\): segment")


@pytest.mark.parametrize(
    ("file", "change", "sentence"),
    [
        ("pred", lambda d: d["annotations"].pop(), r"pred\.json: no prediction for image 1 \(1\.png\) and 0"),
        ("pred", lambda d: segments_of(d).pop(), rf"{SECOND} 3 \(20 pixels of the predicted png\) is not in"),
        (
            "pred", lambda d: segments_of(d).append({"id": 8, "category_id": 3}),
            f"{SECOND} 8 of .* has no pixel in the predicted png",
        ),
        ("gt", lambda d: segments_of(d).pop(), rf"{FIRST} 3 \(20 pixels .*id-not-listed"),
        (
            "gt", lambda d: segments_of(d).append({"id": 8, "category_id": 3, "area": 4}),
            f"{FIRST} 8 .*id-not-in-png",
        ),
        ("gt", lambda d: segments_of(d)[0].update(area=7), f"{FIRST} 1 has area 7 in segments_info but 20"),
        ("gt", lambda d: segments_of(d)[0].update(area="20"), f"{FIRST} 1 has area '20' in segments_info"),
        ("gt", lambda d: segments_of(d)[0].update(area=7), r"or accept them .* strict=False .*--lenient\)$"),
        ("gt", lambda d: segments_of(d)[0].pop("area"), f"{FIRST} 1 has area None"),
        ("gt", lambda d: d.update(annotations=[]), r"gt\.json: the list 'annotations' is empty"),
    ],
)  # fmt: skip
def test_faulty_files_are_named(tmp_path: Path, file: str, change, sentence: str) -> None:
    gt, pred = small_set(tmp_path)
    edit(tmp_path / f"{file}.json", change)
    with pytest.raises(DataError, match=sentence):
        evaluate_files(gt, pred, workers=1)


def test_sizes_and_folders(tmp_path: Path) -> None:
    gt, pred = small_set(tmp_path)
    with pytest.raises(DataError, match=r"other.*does not exist.*holds the png files of .*pred\.json"):
        evaluate_files(gt, pred, pred_dir=tmp_path / "other")
    write_id_map(tmp_path / "pred" / "0.png", np.array([[1, 2, 3]]))
    with pytest.raises(
        DataError, match=r"pred\.json: image 0 \(0\.png\): the predicted map has 3 x 1 pixels"
    ):
        evaluate_files(gt, pred)


def test_lenient_evaluation_takes_the_stated_areas(tmp_path: Path) -> None:
    gt, pred = small_set(tmp_path)
    edit(gt, lambda d: segments_of(d)[0].update(area=30))
    result = evaluate_files(gt, pred, strict=False)
    assert result.iou_sum[0] == 1 + 20 / 30
    assert "in 1 of 2 images" in result.notices[0]
    edit(gt, lambda d: segments_of(d)[0].update(area=30.5))
    assert evaluate_files(gt, pred, strict=False).iou_sum[0] == 1 + 20 / 30.5


@pytest.mark.parametrize("area", ["20", None, [20], -3, 0, math.nan, math.inf])
def test_areas_that_are_none(tmp_path: Path, area) -> None:
    gt, pred = small_set(tmp_path)
    edit(gt, lambda d: segments_of(d)[0].update(area=area))
    with pytest.raises(DataError, match=rf"{FIRST} 1 has area {re.escape(repr(area))}, but the evaluation"):
        evaluate_files(gt, pred, strict=False)


@pytest.mark.parametrize("area", [0, None])
def test_areas_that_are_none_are_told_before_the_first_step(tmp_path: Path, area) -> None:
    gt, _ = small_set(tmp_path)
    edit(gt, lambda d: segments_of(d)[0].update(area=area))
    annotations = json.loads(gt.read_text())["annotations"]
    samples = [{"img_id": a["image_id"], "seg_map_path": a["file_name"]} for a in annotations]
    metric = METRICS.build({"type": "PanopticQualityMetric", "ann_file": str(gt)})
    with pytest.raises(DataError, match=rf"{FIRST} 1 has area {area}.*counted_segments"):
        metric.check_loader(samples, None)


@pytest.mark.parametrize("name", ["gt", "pred"])
def test_a_palette_of_ids_is_named(tmp_path: Path, name: str) -> None:
    """Colours from a palette are read as any others; ids in its place are told from them by the list."""
    gt, pred = small_set(tmp_path)
    ids = read_id_map(tmp_path / name / "1.png")
    image = Image.fromarray(ids.astype(np.uint8), mode="P")
    image.putpalette([0, 0, 0, 1, 0, 0, 2, 0, 0, 3, 0, 0])  # the colours of the ids
    image.save(tmp_path / name / "1.png")
    assert evaluate_files(gt, pred).group("all")[0] == 1
    image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, 0, 0, 128])
    image.save(tmp_path / name / "1.png")
    with pytest.raises(DataError, match=rf"{name}\.json: image 1 .* is not in .*; the png has a palette"):
        evaluate_files(gt, pred)


def test_contenders_of_the_benchmark_agree() -> None:
    (case,) = load_cases("panoptic-quality")
    results = [call().numpy() for call in case.build(torch.device("cpu"), **case.tiny).contenders.values()]
    assert len(results) >= 2
    assert results[0].sum() > 0
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])
