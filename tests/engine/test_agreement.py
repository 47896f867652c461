"""Before the first step, model, data and metrics are compared; what is right scores 1.0."""

from __future__ import annotations

import json

import pytest
import torch
from perfect import dataset, document, loader, runner, write

from dense3d.errors import CheckpointError, ConfigError, DataError


def coco(file, **settings) -> dict:
    return dict(type="mmdet.CocoMetric", ann_file=str(file), **settings)


def refused(run, error=DataError) -> str:
    """What stops a run before its first batch."""
    run.model.forward = None  # not called
    with pytest.raises(error) as caught:
        run.train() if run._train_loop is not None else run.val()
    return str(caught.value)


def test_mmdets_metric_becomes_ours_and_perfect_results_score_one(tmp_path):
    file = write(tmp_path, document())
    run = runner(tmp_path, dataset(file), coco(file))
    assert run.val()["coco/bbox_mAP"] == 1.0
    assert type(run.val_evaluator.metrics[0]).__module__ == "dense3d.evaluation.coco.metric"


def test_images_that_the_loader_does_not_hold_are_not_missed(tmp_path):
    file = write(tmp_path, document(9))
    for subset in (dict(indices=4), dict(indices=[1, 5])):
        assert runner(tmp_path, dataset(file, **subset), coco(file)).val()["coco/bbox_mAP"] == 1.0


def two_sets(folder) -> tuple:
    return write(folder / "a", document(3)), write(folder / "b", document(4, name="{:05d}.jpg"))


def concatenated(*files, **settings) -> dict:
    return dict(type="ConcatDataset", datasets=[dataset(file) for file in files], **settings)


def test_two_sets_numbered_alike_are_refused_with_the_remedy(tmp_path):
    first, second = two_sets(tmp_path)
    text = refused(runner(tmp_path, concatenated(first, second), coco(first)))
    assert "has image 1 twice" in text and "001.jpg" in text and "00001.jpg" in text
    assert "MultiDatasetsEvaluator" in text


@pytest.mark.parametrize("kind", ["MultiDatasetsEvaluator", "mmdet.MultiDatasetsEvaluator"])
@pytest.mark.parametrize("scope", ["", "mmdet."])
def test_a_metric_for_each_data_set_scores_one(tmp_path, kind, scope):
    files = two_sets(tmp_path)
    data = concatenated(*files)
    data["type"] = f"{scope}ConcatDataset"
    evaluator = dict(type=kind, metrics=[coco(file) for file in files], dataset_prefixes=["a", "b"])
    figures = runner(tmp_path, data, evaluator).val()
    assert figures["a/coco/bbox_mAP"] == figures["b/coco/bbox_mAP"] == 1.0


def test_metrics_and_data_sets_are_as_many(tmp_path):
    files = two_sets(tmp_path)
    evaluator = dict(type="MultiDatasetsEvaluator", metrics=[coco(files[0])], dataset_prefixes=["a"])
    assert "1 metrics, but its loader 2 data sets" in refused(
        runner(tmp_path, concatenated(*files), evaluator), ConfigError
    )


def test_samples_are_told_apart_by_their_order_only_where_there_is_one(tmp_path):
    files = two_sets(tmp_path)
    metrics = [coco(file) for file in files]
    evaluator = dict(type="MultiDatasetsEvaluator", metrics=metrics, dataset_prefixes=["a", "b"])
    shuffled = loader(concatenated(*files))
    shuffled["sampler"]["shuffle"] = True
    run = runner(tmp_path, concatenated(*files), evaluator, val_dataloader=shuffled)
    assert "shuffle=False" in refused(run, ConfigError)


def test_sets_in_one_file_need_one_metric(tmp_path):
    first = write(tmp_path, document(3))
    second = write(tmp_path, document(3, first=4), "more.json")
    both = document(6)
    (tmp_path / "both.json").write_text(json.dumps(both))
    run = runner(tmp_path, concatenated(first, second), coco(tmp_path / "both.json"))
    assert run.val()["coco/bbox_mAP"] > 0


def test_a_metric_of_other_images_is_refused(tmp_path):
    file = write(tmp_path / "a", document(3))
    others = write(tmp_path / "b", document(3, first=7))
    text = refused(runner(tmp_path, dataset(file), coco(others)))
    assert f"{others}: 3 of the data set's 3 images are not in it, first image 1" in text


def test_a_metric_of_other_images_with_the_same_numbers_is_refused(tmp_path):
    first, second = two_sets(tmp_path)
    text = refused(runner(tmp_path, dataset(first), coco(second)))
    assert "image 1 is 00001.jpg there and" in text


def test_a_metric_without_a_class_of_the_data_is_refused(tmp_path):
    file = write(tmp_path, document())
    other = tmp_path / "other.json"
    other.write_text(json.dumps(document(classes=("disk", "bx"))))
    text = refused(runner(tmp_path, dataset(file), coco(other)))
    assert "no category is named 'box'" in text and "did you mean 'bx'" in text


def test_a_metric_with_categories_in_another_order_goes_by_names(tmp_path):
    content = document()
    file = write(tmp_path, content)
    content["categories"].reverse()
    other = tmp_path / "other.json"
    other.write_text(json.dumps(content))
    assert runner(tmp_path, dataset(file), coco(other)).val()["coco/bbox_mAP"] == 1.0


@pytest.mark.parametrize("classes", [1, 3, 80])
def test_a_head_of_another_number_of_classes_is_refused(tmp_path, classes):
    file = write(tmp_path, document())
    model = dict(type="PerfectDetector", num_classes=classes)
    text = refused(runner(tmp_path, dataset(file), coco(file), dataset(file), model=model), ConfigError)
    assert text.startswith(f"model (PerfectDetector) has num_classes={classes}, but the training data (")
    assert "has 2 classes (disk, box)" in text and "num_classes=2" in text
    text = refused(runner(tmp_path, dataset(file), coco(file), model=model), ConfigError)
    assert "the validation data" in text


def test_the_number_of_classes_left_out_follows_from_the_data(tmp_path):
    classes = ("disk", "box", "cone")
    file = write(tmp_path, document(classes=classes))
    for model in (dict(type="PerfectDetector"), dict(type="PerfectDetector", num_classes="data")):
        run = runner(tmp_path, dataset(file, classes), coco(file), model=model)
        assert run.model.num_classes == 3 and run.val()["coco/bbox_mAP"] == 1.0


def test_validation_has_the_classes_of_training(tmp_path):
    file = write(tmp_path, document())
    subset = write(tmp_path / "b", document(classes=("disk",)))
    text = refused(runner(tmp_path, dataset(subset, ("disk",)), coco(subset), dataset(file)))
    assert "has 2 classes (disk, box), but the validation data" in text and "has 1 class (disk)" in text
    swapped = write(tmp_path / "c", document(classes=("box", "disk")))
    text = refused(runner(tmp_path, dataset(swapped, ("box", "disk")), coco(swapped), dataset(file)))
    assert "label 0 is 'disk' in the training data" in text and "'box' in the validation data" in text


def test_spelling_of_class_names_may_differ(tmp_path):
    file = write(tmp_path, document(classes=("traffic light", "Box")))
    other = write(tmp_path / "b", document(classes=("traffic_light", "box")))
    run = runner(
        tmp_path,
        dataset(other, ("traffic_light", "box")),
        coco(other),
        dataset(file, ("traffic light", "Box")),
    )
    run.train()
    assert run.last_metrics["coco/bbox_mAP"] == 1.0


def test_data_sets_trained_together_have_the_same_classes(tmp_path):
    file = write(tmp_path, document())
    swapped = write(tmp_path / "c", document(classes=("box", "disk")))
    both = dict(type="mmdet.ConcatDataset", datasets=[dataset(file), dataset(swapped, ("box", "disk"))])
    with pytest.raises(DataError, match="loaded together"):
        runner(tmp_path, dataset(file), coco(file), both).train()


def test_a_checkpoint_of_the_same_classes_in_another_order_is_not_evaluated(tmp_path):
    file = write(tmp_path, document())
    runner(tmp_path, dataset(file), coco(file), dataset(file)).train()
    trained = str(tmp_path / "work/epoch_1.pth")
    swapped = write(tmp_path / "c", document(classes=("box", "disk")))
    evaluated = dataset(swapped, ("box", "disk"))
    text = refused(runner(tmp_path, evaluated, coco(swapped), load_from=trained), CheckpointError)
    assert "label 0 was 'disk' in training, but is 'box'" in text and "2 of 2 classes differ" in text
    renamed = write(tmp_path / "d", document(classes=("Disk", "crate")))
    run = runner(tmp_path, dataset(renamed, ("Disk", "crate")), coco(renamed), load_from=trained)
    assert run.val()["coco/bbox_mAP"] == 1.0


def test_images_that_a_wrapper_repeats_are_refused(tmp_path):
    file = write(tmp_path, document())
    twice = dict(type="RepeatDataset", times=2, dataset=dataset(file))
    assert "has 6 samples of 3 images" in refused(runner(tmp_path, twice, coco(file)))


def test_mmdets_other_metrics_see_the_loaders_images_too(tmp_path):
    file = write(tmp_path, document())
    others = write(tmp_path / "b", document(3, first=7))
    metric = dict(type="mmdet.CocoVideoMetric", ann_file=str(others))
    text = refused(runner(tmp_path, dataset(file), metric))
    assert "ann_file of CocoVideoMetric: 3 of the data set's 3 images are not in it" in text


def test_sets_of_other_classes_are_not_concatenated(tmp_path):
    file = write(tmp_path, document())
    other = write(tmp_path / "b", document(classes=("disk", "cone")))
    both = dict(type="ConcatDataset", datasets=[dataset(file), dataset(other, ("disk", "cone"))])
    with pytest.raises(DataError, match="the data sets of a ConcatDataset differ in their metainfo"):
        runner(tmp_path, both, coco(file)).val()


def test_the_checkpoint_tells_the_datas_category_ids(tmp_path):
    file = write(tmp_path, document())
    runner(tmp_path, dataset(file), coco(file), dataset(file)).train()
    saved = torch.load(tmp_path / "work/epoch_1.pth", weights_only=False)
    assert saved["meta"]["dataset_meta"]["category_ids"] == [3, 6]


def test_a_loader_that_drops_the_last_images_is_refused(tmp_path):
    file = write(tmp_path, document(3))
    run = runner(
        tmp_path, dataset(file), coco(file), val_dataloader={**loader(dataset(file)), "drop_last": True}
    )
    assert "last 1 of its 3 samples" in refused(run, ConfigError)
    full = {**loader(dataset(file)), "drop_last": True, "batch_size": 3}
    assert runner(tmp_path, dataset(file), coco(file), val_dataloader=full).val()["coco/bbox_mAP"] == 1.0


def test_another_file_with_the_same_images_is_told_of(tmp_path):
    file, changed = write(tmp_path / "a", document(3)), document(3)
    del changed["annotations"][2]
    other = write(tmp_path / "b", changed)
    told = "1 of the data set's 3 images have other objects there, first image 2, 1 for 2"
    for metric, count in ((other, 1), (file, 0)):
        run = runner(tmp_path / metric.parent.name, dataset(file), coco(metric))
        run.val()
        assert sum(told in sentence for sentence in run.val_evaluator.metrics[0]._said) == count


def test_a_metric_without_annotations_says_how_to_get_them(tmp_path):
    file = write(tmp_path, document(3))
    run = runner(tmp_path, dataset(file), dict(type="mmdet.CocoMetric"))
    with pytest.raises(ConfigError, match=r"ann_file.*meta_keys"):
        run.val()
