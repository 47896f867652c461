"""A test loop that measures every image at every exit: step B of the recipe."""

from __future__ import annotations

import copy
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import collect_results, is_main_process
from mmengine.runner import TestLoop

from dense3d.early_exit.quality import quality_of
from dense3d.early_exit.recipe import EarlyExit
from dense3d.early_exit.targets import ExitTargets
from dense3d.errors import ConfigError
from dense3d.registry import LOOPS


@LOOPS.register_module()
class ExitQualityLoop(TestLoop):
    """Quality and cost of the test data at each exit; the first metric of the evaluator measures.

    Args:
        beta: trade-off of the targets.
        out: file of target depths that is written.
        origin: written there: whose results they are.
        **kwargs: of mmengine's ``TestLoop``.

    Raises:
        ConfigError: the model has no exits, or the metric is none for single images.
    """

    def __init__(self, *args: Any, beta: float, out: str, origin: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.beta, self.out, self.origin = beta, out, origin

    @torch.no_grad()
    def run(self) -> dict[str, float]:
        """Measure and write the file; there are no metrics of the data set."""
        model = getattr(self.runner.model, "module", self.runner.model)
        if not isinstance(model, EarlyExit) or model.costs is None:
            raise ConfigError(
                f"{type(model).__name__} is no model with exits whose cost is counted: "
                "use a config of a parent, with model.count_cost=True"
            )
        self.runner.call_hook("before_test")
        self.runner.call_hook("before_test_epoch")
        model.eval()
        quality = quality_of(self.evaluator.metrics[0])
        rows = []
        for number, batch in enumerate(self.dataloader):
            self.runner.call_hook("before_test_iter", batch_idx=number, data_batch=batch)
            rows += _measure(model, model.data_preprocessor(batch, False), quality)
            self.runner.call_hook("after_test_iter", batch_idx=number, data_batch=batch, outputs=None)
        rows = collect_results(rows, len(self.dataloader.dataset))
        if is_main_process():
            self._write(rows, model.exits)
        self.runner.call_hook("after_test")
        return {}

    def _write(self, rows: list[tuple], exits: tuple[int, ...]) -> None:
        table = {image: None if any(q != q for q in qualities) else qualities for image, qualities, _ in rows}
        gflops = tuple(sum(column) / len(rows) for column in zip(*(costs for *_, costs in rows)))
        ExitTargets(exits, self.beta, table, gflops, self.origin).write(self.out)


def _measure(model: EarlyExit, data: dict, quality: Any) -> list[tuple[str, tuple, tuple]]:
    """Image id, qualities and costs at the exits, for each image of a batch."""
    inputs, samples = data["inputs"], data["data_samples"]
    columns = [
        [quality(sample.to_dict()) for sample in found] for _, found in model.predict_exits(inputs, samples)
    ]  # (E, B)
    costs = tuple(model.costs.gflops(tuple(inputs.shape[-2:]), depth) for depth in model.exits)
    return [(str(s.img_id), qualities, costs) for s, qualities in zip(samples, zip(*columns))]


def measure_training_data(cfg: Config, beta: float, out: str, origin: str) -> None:
    """Change a config so that testing measures the training images, loaded as for a test.

    Raises:
        ConfigError: see :func:`training_images`; or the evaluator has no file to exchange.
    """
    dataset = training_images(cfg)
    cfg.test_dataloader.dataset = dataset
    cfg.test_evaluator = _evaluator_of(cfg.test_evaluator, dataset)
    cfg.test_cfg = dict(type="dense3d.ExitQualityLoop", beta=beta, out=out, origin=origin)


def training_images(cfg: Config) -> dict:
    """Config of the data set of training images, loaded as for a test.

    Raises:
        ConfigError: there are no training or test data, or the former are wrapped in another data set.
    """
    for key in ("train_dataloader", "test_dataloader"):
        if cfg.get(key) is None or "dataset" not in cfg[key]:
            raise ConfigError(f"{cfg.filename} has no {key} with a dataset: costs are measured on it")
    train, test = cfg.train_dataloader.dataset, cfg.test_dataloader
    if "pipeline" not in train or "ann_file" not in train:
        raise ConfigError(
            f"train_dataloader.dataset is a {train.get('type')} without pipeline and ann_file of its own: "
            "name the data set itself"
        )
    dataset = copy.deepcopy(train)
    dataset.update(pipeline=test.dataset.pipeline, test_mode=True)
    dataset.pop("filter_cfg", None)
    return dataset


def _evaluator_of(evaluator: dict | list, dataset: dict) -> list[dict]:
    """The first metric, for the annotations of another data set."""
    while isinstance(evaluator, dict) and "metrics" in evaluator:
        evaluator = evaluator["metrics"]
    metric = copy.deepcopy(evaluator[0] if isinstance(evaluator, list) else evaluator)
    if "ann_file" not in metric:
        raise ConfigError(f"{metric.get('type')} has no ann_file to exchange for the training images'")
    root, prefix = dataset.get("data_root") or "", dataset.get("data_prefix") or {}
    metric["ann_file"] = root + dataset["ann_file"]
    if "seg_prefix" in metric:
        metric["seg_prefix"] = root + prefix["seg"]
    return [metric]
