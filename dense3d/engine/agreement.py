"""Before the first step: do model, data and metrics speak of the same classes and the same images?"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import BaseLoop

from dense3d.datasets.strict import base_datasets
from dense3d.engine.class_counts import faults_of
from dense3d.engine.data_classes import DataClasses, classes_of, plain_name
from dense3d.engine.loading import bare_model
from dense3d.errors import ConfigError, DataError
from dense3d.evaluation.images import refuse_strangers, refuse_twins

SAMPLE_KEYS = ("img_id", "img_path", "seg_map_path", "frame")


class AgreementHook(Hook):
    """Compares what a run has built, before its first step.

    Raises:
        ConfigError: a head's number of classes is not that of the data.
        DataError: validation has other classes than training, or a metric other images than its loader.
    """

    priority = "HIGHEST"

    def __init__(self) -> None:
        self._done = False

    def before_run(self, runner: Any) -> None:
        """Compare training and validation before weights are fetched."""
        if isinstance(runner._train_loop, BaseLoop):
            self._compare(runner)

    def before_val(self, runner: Any) -> None:
        """Compare a validation without training."""
        self._compare(runner)

    def before_test(self, runner: Any) -> None:
        """Compare a test, once its checkpoint is loaded: one of other classes says more."""
        self._compare(runner)

    def _compare(self, runner: Any) -> None:
        if self._done:
            return
        self._done = True
        data = {part: classes_of(loop.dataloader.dataset, part) for part, loop in _loops(runner)}
        training = data.get("training")
        for other in (data.get("validation"), data.get("test")):
            if training is not None and other is not None:
                _compare(training, other)
        for known in filter(None, data.values()):
            faults = faults_of(bare_model(runner.model), known)
            if faults:
                more = f" [and {len(faults) - 1} more: {faults[1]}]" if faults[1:] else ""
                raise ConfigError(f"{faults[0]}{more}")
        for _, loop in _loops(runner):
            if hasattr(loop, "evaluator"):
                _refuse_dropping(loop.dataloader)
                _compare_images(loop)


def _loops(runner: Any) -> Iterator[tuple[str, BaseLoop]]:
    loops = {"training": runner._train_loop, "validation": runner._val_loop, "test": runner._test_loop}
    for part, loop in loops.items():
        if isinstance(loop, BaseLoop):
            yield part, loop


def _compare(training: DataClasses, other: DataClasses) -> None:
    """Class names may be written differently, but one label must mean one class."""
    if len(training.names) != len(other.names):
        raise DataError(
            f"{training}, but {other}: labels would mean other classes; give both the same "
            "metainfo=dict(classes=...)"
        )
    for label, (ours, theirs) in enumerate(zip(training.names, other.names)):
        if plain_name(ours) != plain_name(theirs):
            raise DataError(
                f"label {label} is {ours!r} in {training.source}, but {theirs!r} in {other.source}; give "
                "both the same metainfo=dict(classes=...)"
            )


def _refuse_dropping(loader: Any) -> None:
    """A last batch that is not full is evaluated too."""
    size = getattr(loader, "batch_size", None)
    left = len(loader.dataset) % size if getattr(loader, "drop_last", False) and size else 0
    if left:
        raise ConfigError(
            f"drop_last=True of a loader would leave the last {left} of its {len(loader.dataset)} samples "
            "out of the evaluation: set drop_last=False in val_dataloader or test_dataloader"
        )


def _compare_images(loop: BaseLoop) -> None:
    """Hand every metric that asks for it the list of the loader's samples."""
    evaluator, dataset = loop.evaluator, loop.dataloader.dataset
    parts = [dataset]
    if hasattr(evaluator, "split"):
        evaluator.split(loop.dataloader)
        parts = dataset.datasets
    together = hasattr(dataset, "datasets") and len(parts) == 1
    for number, metric in enumerate(getattr(evaluator, "metrics", ())):
        part = parts[number] if len(parts) > 1 else dataset
        if not hasattr(metric, "check_loader") and getattr(metric, "_coco_api", None) is None:
            continue
        samples = _samples(part)
        if samples is None:
            continue
        data = classes_of(part, "evaluated")
        try:
            if hasattr(metric, "check_loader"):
                metric.check_loader(samples, data.names if data is not None else None)
            else:
                _check_library_metric(metric, samples)
        except DataError as error:
            hint = (
                "; a ConcatDataset needs dict(type='MultiDatasetsEvaluator', dataset_prefixes=[...], "
                "metrics=[...]) as evaluator, with a metric for each of its data sets, or one annotation "
                "file with all their images"
                if together
                else ""
            )
            raise DataError(f"{error}{hint}") from None


def _check_library_metric(metric: Any, samples: list[dict[str, Any]]) -> None:
    """A metric of mmdet's that reads annotations in COCO's manner, such as LVIS's."""
    name, images = type(metric).__name__, metric._coco_api.imgs
    refuse_twins(samples)
    refuse_strangers(
        samples, {n: image.get("file_name") for n, image in images.items()}, f"ann_file of {name}"
    )
    if len(samples) < len(images):
        print_log(
            f"{name} reads {len(images)} images, but {len(samples)} are evaluated: others count as missed",
            "current",
            logging.WARNING,
        )


def _samples(dataset: Any) -> list[dict[str, Any]] | None:
    """What is known of every sample before it is loaded; None for data sets that do not tell."""
    leaves = list(base_datasets(dataset))
    if not all(isinstance(leaf, BaseDataset) for leaf in leaves):
        return None
    images = sum(map(len, leaves))
    if len(dataset) != images:
        raise DataError(
            f"the evaluated data set has {len(dataset)} samples of {images} images: take out the wrapper "
            "that repeats or drops images"
        )
    infos = (leaf.get_data_info(i) for leaf in leaves for i in range(len(leaf)))
    return [
        {
            **{key: info[key] for key in SAMPLE_KEYS if key in info},
            **({"objects": len(info["instances"])} if "instances" in info else {}),
        }
        for info in infos
    ]
