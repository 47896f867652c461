"""Bad samples stop the run with one sentence, through worker processes too, or are skipped and counted."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from mmengine.dataset import BaseDataset, ConcatDataset, RepeatDataset, pseudo_collate
from torch.utils.data import DataLoader

from dense3d.datasets.strict import SampleError, StrictSamples, make_strict, skipped_samples
from dense3d.errors import DataError
from dense3d.registry import DATASETS

PACK = dict(type="mmdet.PackDetInputs")
LOAD = [dict(type="mmdet.LoadImageFromFile"), dict(type="mmdet.LoadAnnotations", with_bbox=True)]


def build(tiny, **settings):
    return DATASETS.build(tiny.dataset_cfg(**settings))


def load_all(dataset, workers: int = 0) -> list:
    loader = DataLoader(dataset, batch_size=2, num_workers=workers, collate_fn=pseudo_collate)
    return [sample for batch in loader for sample in batch["data_samples"]]


def test_sound_data_load_in_order(tiny_coco) -> None:
    samples = load_all(build(tiny_coco))
    assert [s.img_id for s in samples] == [10, 11, 12, 13]
    assert [s.gt_instances.labels.tolist() for s in samples] == [[0], [1], [0], []]
    assert samples[0].gt_instances.bboxes.tensor.tolist() == [[4, 5, 24, 15]]


def test_images_without_objects_are_kept_unless_filtered(tiny_coco) -> None:
    assert len(build(tiny_coco)) == 4
    assert len(build(tiny_coco, filter_cfg=dict(filter_empty_gt=True))) == 3


@pytest.mark.parametrize(
    ("damage", "rule", "workers"),
    [
        (lambda t: t.image(2).unlink(), "file-missing", 0),
        (lambda t: t.image(2).write_bytes(b""), "zero-bytes", 0),
        (lambda t: t.truncate(2, 0.1), "truncated", 0),
        (lambda t: t.truncate(2, 0.1), "truncated", 2),  # torch takes ten seconds to end such workers
    ],
    ids=["missing", "zero bytes", "truncated", "in a worker"],
)
def test_bad_image_stops_with_one_sentence(tiny_coco, damage, rule: str, workers: int) -> None:
    damage(tiny_coco)
    with pytest.raises(SampleError) as caught:
        load_all(build(tiny_coco), workers)
    message = str(caught.value)
    assert message.startswith(str(tiny_coco.image(2)))
    assert rule in message
    assert "sample 2" in message
    assert "\n" not in message


@pytest.mark.parametrize("workers", [0, 2])
def test_skipped_samples_are_counted_across_workers(tiny_coco, workers: int) -> None:
    dataset = build(tiny_coco, skip_bad_samples=True)
    tiny_coco.image(1).write_bytes(b"")  # after the file list was checked
    samples = load_all(RepeatDataset(dataset, 2), workers)
    assert [s.img_id for s in samples] == [10, 12, 12, 13] * 2
    (sentence,) = skipped_samples(RepeatDataset(dataset, 2))
    assert "001.jpg" in sentence
    assert "zero-bytes" in sentence


def test_images_that_are_bad_at_the_start_are_left_out(tiny_coco) -> None:
    tiny_coco.image(1).unlink()
    tiny_coco.truncate(3)
    tiny_coco.change(lambda d: d["annotations"][2].update(bbox=[1, 1, -3, 4]))
    dataset = build(tiny_coco, skip_bad_samples=True)
    assert [s.img_id for s in load_all(dataset)] == [10]
    assert sorted(fault.rule for fault in dataset.left_out) == ["box-negative", "file-missing", "truncated"]
    assert len(dataset.bad_samples()) == 3


def test_evaluation_does_not_replace_images(tiny_coco) -> None:
    dataset = build(tiny_coco, skip_bad_samples=True, test_mode=True)
    tiny_coco.image(1).unlink()
    with pytest.raises(SampleError, match=r"001\.jpg"):
        load_all(dataset)


def test_no_good_sample_at_all(tiny_coco) -> None:
    dataset = build(tiny_coco, skip_bad_samples=True)
    for index in range(4):
        tiny_coco.image(index).unlink()
    with pytest.raises(SampleError, match="all 4 samples"):
        dataset[0]


@pytest.mark.parametrize(
    ("edit", "parts"),
    [
        (lambda d: d["annotations"][0].update(bbox=[3, 3, -5, 4]), ["annotation 1", "-5", "box-negative"]),
        (lambda d: d["annotations"][0].update(bbox=[3, 3, float("nan"), 4]), ["annotation 1", "nan"]),
        (lambda d: d["annotations"][0].update(category_id=9), ["annotation 1", "category_id 9"]),
        (lambda d: d["categories"][0].update(name="disc"), ["class-list", "disk", "disc"]),
    ],
)
def test_faulty_annotations_stop_at_reading(tiny_coco, edit, parts: list[str]) -> None:
    tiny_coco.change(edit)
    with pytest.raises(DataError) as caught:
        build(tiny_coco)
    for part in [str(tiny_coco.annotation_file), *parts]:
        assert part in str(caught.value)


def test_class_list_cannot_be_skipped(tiny_coco) -> None:
    with pytest.raises(DataError, match="class-list"):
        build(tiny_coco, skip_bad_samples=True, metainfo=dict(classes=("disk", "box", "cone")))


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        (dict(ann_file="annotation.json"), ["annotation.json", "does not exist", "'annotations.json'"]),
        (dict(data_root="/nonexistent/coco"), ["/nonexistent/coco", "set data_root"]),
        (dict(filter_cfg=dict(min_size=100)), ["none of its 4 images", "min_size"]),
        (dict(skip_bad_samples=True, data_prefix=dict(img="image/")), ["folder-missing", "'images'"]),
    ],
)
def test_wrong_settings(tiny_coco, settings: dict, parts: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        build(tiny_coco, **settings)
    for part in parts:
        assert part in str(caught.value)


class Sometimes:
    """Returns nothing the first ``failures`` times."""

    def __init__(self, failures: int) -> None:
        self.failures = failures

    def __call__(self, results: dict) -> dict | None:
        self.failures -= 1
        return None if self.failures >= 0 else results


def test_augmentation_that_leaves_nothing_is_tried_again_on_the_same_image(tiny_coco) -> None:
    dataset = build(tiny_coco, pipeline=[Sometimes(3), *LOAD, PACK])
    assert dataset[2]["data_samples"].img_id == 12


def test_augmentation_that_never_leaves_anything_is_reported(tiny_coco) -> None:
    dataset = build(tiny_coco, pipeline=[Sometimes(1000), *LOAD, PACK])
    with pytest.raises(SampleError, match=r"002\.jpg.*returned nothing 10 times.*sample 2"):
        dataset[2]


def broken_transform(results: dict) -> dict:
    raise TypeError("a bug")


@pytest.mark.parametrize("skip", [True, False])
def test_bugs_keep_their_traceback_and_are_never_skipped(tiny_coco, skip: bool) -> None:
    dataset = build(tiny_coco, pipeline=[broken_transform], skip_bad_samples=skip)
    with pytest.raises(RuntimeError, match=r"000\.jpg.*TypeError: a bug") as caught:
        dataset[0]
    assert isinstance(caught.value.__cause__, TypeError)
    assert not isinstance(caught.value, DataError)


class Numbers(BaseDataset):
    """A dataset of another library."""

    def load_data_list(self) -> list[dict]:
        return [dict(value=i) for i in range(5)]


def drop_odd(results: dict) -> dict | None:
    return None if results["value"] % 2 else results


def test_any_dataset_can_be_made_strict() -> None:
    dataset = ConcatDataset([Numbers(pipeline=[drop_odd]), Numbers(pipeline=[drop_odd])])
    np.random.seed(0)
    assert dataset[1]["value"] in (0, 2, 4)  # mmengine: a random other sample
    make_strict(dataset)
    assert all(isinstance(one, StrictSamples) for one in dataset.datasets)
    with pytest.raises(SampleError, match="sample 1"):
        dataset[6]
    repeated = make_strict(RepeatDataset(Numbers(pipeline=[drop_odd]), 2), skip_bad_samples=True)
    assert [repeated[i]["value"] for i in range(6)] == [0, 2, 2, 4, 4, 0]
    assert len(skipped_samples(repeated)) == 2


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda d: pickle.loads(pickle.dumps(d))])
def test_strict_datasets_can_be_sent_to_other_processes(tiny_coco, duplicate) -> None:
    dataset = duplicate(make_strict(Numbers(pipeline=[drop_odd]), skip_bad_samples=True))
    assert [dataset[i]["value"] for i in range(5)] == [0, 2, 2, 4, 4]
    assert len(skipped_samples(dataset)) == 2
    assert len(duplicate(build(tiny_coco))) == 4
