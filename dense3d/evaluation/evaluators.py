"""Evaluators: ours in place of mmdet's of the same name, and a metric for each of several data sets.

A validation on several data sets, each with the figures of its own metric::

    val_dataloader = dict(dataset=dict(type="ConcatDataset", datasets=[first, second]))
    val_evaluator = dict(
        type="MultiDatasetsEvaluator",
        dataset_prefixes=["first", "second"],
        metrics=[
            dict(type="CocoMetric", ann_file="first/val.json"),
            dict(type="CocoMetric", ann_file="second/val.json"),
        ],
    )
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.dist import (
    all_gather_object,
    broadcast_object_list,
    collect_results,
    get_rank,
    get_world_size,
    is_main_process,
)
from mmengine.evaluator import Evaluator
from mmengine.evaluator.metric import _to_cpu
from mmengine.registry import EVALUATOR as EVALUATORS
from mmengine.registry import METRICS
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler

from dense3d.errors import ConfigError
from dense3d.registry import EVALUATOR

_OURS = {"CocoMetric": "dense3d.CocoMetric", "MultiDatasetsEvaluator": "dense3d.MultiDatasetsEvaluator"}


def with_our_metrics(evaluator: Any) -> Any:
    """The config of an evaluator, or of its metrics, in which mmdet's types are ours of the same name.

    Example:
        >>> with_our_metrics(dict(type="mmdet.CocoMetric", ann_file="val.json"))
        {'type': 'dense3d.CocoMetric', 'ann_file': 'val.json'}
    """
    if isinstance(evaluator, (list, tuple)):
        return [with_our_metrics(one) for one in evaluator]
    if not isinstance(evaluator, Mapping):
        return evaluator
    evaluator = dict(evaluator)
    if "metrics" in evaluator:
        evaluator["metrics"] = with_our_metrics(evaluator["metrics"])
    if "type" in evaluator:
        registry = EVALUATORS if "metrics" in evaluator else METRICS
        kind = _class_of(evaluator, registry)
        if getattr(kind, "__module__", "").startswith("mmdet.") and kind.__name__ in _OURS:
            evaluator["type"] = _OURS[kind.__name__]
            evaluator.pop("_scope_", None)
    return evaluator


def _class_of(cfg: Mapping[str, Any], registry: Any) -> type | None:
    kind = cfg["type"]
    if not isinstance(kind, str):
        return kind
    if kind.rpartition(".")[2] not in _OURS:
        return None
    with registry.switch_scope_and_registry(cfg.get("_scope_")) as own:
        return own.get(kind)


@EVALUATOR.register_module()
class MultiDatasetsEvaluator(Evaluator):
    """A metric for each data set of a ``ConcatDataset``; their figures get the data set's prefix.

    Each metric sees the samples of its own data set alone, with that data set's classes. It takes the place
    of mmdet's, with its arguments.

    Args:
        metrics: one for each data set, in their order.
        dataset_prefixes: what the names of their figures begin with, such as ``first`` for
            ``first/coco/bbox_mAP``.

    Raises:
        ConfigError: the numbers of metrics and prefixes differ, or a prefix comes twice.
    """

    def __init__(self, metrics: Sequence[Any], dataset_prefixes: Sequence[str]) -> None:
        if not isinstance(metrics, Sequence) or len(metrics) != len(dataset_prefixes):
            number = len(metrics) if isinstance(metrics, Sequence) else 1
            raise ConfigError(
                f"MultiDatasetsEvaluator has {number} metrics and {len(dataset_prefixes)} dataset_prefixes: "
                "give one of each for every data set"
            )
        if len(set(dataset_prefixes)) < len(dataset_prefixes):
            raise ConfigError(f"dataset_prefixes={list(dataset_prefixes)!r} of MultiDatasetsEvaluator repeat")
        super().__init__(list(metrics))
        self.dataset_prefixes = list(dataset_prefixes)
        self._ends: list[int] = []
        self._seen = 0

    def split(self, dataloader: DataLoader) -> None:
        """Take over which samples are whose; to be called before the first batch.

        Raises:
            ConfigError: the loader has another number of data sets, or does not keep their order.
        """
        parts = getattr(dataloader.dataset, "datasets", [dataloader.dataset])
        if len(parts) != len(self.metrics):
            raise ConfigError(
                f"MultiDatasetsEvaluator has {len(self.metrics)} metrics, but its loader {len(parts)} data "
                "sets: give a metric for each data set of a ConcatDataset"
            )
        sampler, batches = dataloader.sampler, dataloader.batch_sampler
        in_order = isinstance(sampler, SequentialSampler) or getattr(sampler, "shuffle", None) is False
        if not in_order or type(batches) is not BatchSampler:
            raise ConfigError(
                "MultiDatasetsEvaluator tells samples apart by their order: give the loader "
                "sampler=dict(type='DefaultSampler', shuffle=False) and no batch_sampler"
            )
        self._ends = [sum(map(len, parts[: i + 1])) for i in range(len(parts))]
        for metric, part in zip(self.metrics, parts):
            metric.dataset_meta = getattr(part, "metainfo", None)

    def process(self, data_samples: Sequence[Any], data_batch: Any = None) -> None:
        """Hand each sample to the metric of its data set."""
        for sample in data_samples:
            position = self._seen * get_world_size() + get_rank()  # as DefaultSampler deals samples out
            self._seen += 1
            if position < self._ends[-1]:  # what follows repeats the first samples, to give all as many
                own = sample.to_dict() if hasattr(sample, "to_dict") else sample
                self.metrics[bisect_right(self._ends, position)].process(data_batch, [own])

    def evaluate(self, size: int) -> dict[str, float]:
        """Figures of all data sets, ``<prefix>/<metric>/<name>``."""
        self._seen = 0
        figures: dict[str, float] = {}
        for prefix, metric in zip(self.dataset_prefixes, self.metrics):
            found = _collected(metric)
            metric.results.clear()
            if found is not None:
                name = "/".join(part for part in (prefix, metric.prefix) if part)
                values = metric.compute_metrics(_to_cpu(found))
                figures |= {f"{name}/{key}": value for key, value in values.items()}
        shared = [figures]
        broadcast_object_list(shared)
        return shared[0]


def _collected(metric: Any) -> list | None:
    """Results of all processes, in the main one; processes may hold different numbers of them."""
    longest = max(all_gather_object(len(metric.results)))
    padded = [*metric.results, *[None] * (longest - len(metric.results))]
    found = collect_results(padded, longest * get_world_size(), metric.collect_device)
    return [result for result in found if result is not None] if is_main_process() else None
