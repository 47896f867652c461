"""A metric for each of several data sets, in one process and in two, whose shares are of different sizes."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest
import torch
from mmengine.dataset import BaseDataset, DefaultSampler
from mmengine.evaluator import BaseMetric
from torch.utils.data import DataLoader

from dense3d.errors import ConfigError
from dense3d.evaluation.evaluators import MultiDatasetsEvaluator

SIZES = (3, 1, 7)


class Seen(BaseMetric):
    """Reports what it was given: the number of samples, and their sum."""

    default_prefix = "seen"

    def process(self, data_batch, data_samples) -> None:
        self.results += [sample["number"] for sample in data_samples]

    def compute_metrics(self, results: list) -> dict:
        return {"count": len(results), "sum": sum(results), "classes": len(self.dataset_meta["classes"])}


class Numbers(BaseDataset):
    """Consecutive numbers from ``first`` on."""

    def __init__(self, first: int, size: int) -> None:
        self.numbers = list(range(first, first + size))
        super().__init__(metainfo=dict(classes=tuple("abcdefg"[:size])), serialize_data=False)

    def load_data_list(self) -> list[dict]:
        return [{"number": number} for number in self.numbers]


def evaluated(batch: int = 2) -> list[dict]:
    """Figures of two validations one after the other."""
    parts = [Numbers(10 * i, size) for i, size in enumerate(SIZES)]
    data = torch.utils.data.ConcatDataset(parts)
    loader = DataLoader(data, batch, sampler=DefaultSampler(data, shuffle=False), collate_fn=list)
    evaluator = MultiDatasetsEvaluator([Seen() for _ in SIZES], dataset_prefixes=["a", "b", "c"])
    evaluator.split(loader)
    figures = []
    for _ in range(2):
        for samples in loader:
            evaluator.process(samples)
        figures.append(evaluator.evaluate(len(data)))
    return figures


EXPECTED = {
    "a/seen/count": 3, "a/seen/sum": 3, "a/seen/classes": 3,
    "b/seen/count": 1, "b/seen/sum": 10, "b/seen/classes": 1,
    "c/seen/count": 7, "c/seen/sum": 161, "c/seen/classes": 7,
}  # fmt: skip


def test_every_metric_sees_its_own_data_set():
    assert evaluated() == [EXPECTED, EXPECTED]


def _process(rank: int, folder: Path) -> None:
    torch.distributed.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=2)
    (folder / f"{rank}.json").write_text(json.dumps(evaluated()))


def test_two_processes_give_the_same(tmp_path):
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_process, args=(rank, tmp_path)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(100)
        assert process.exitcode == 0
    for rank in range(2):
        assert json.loads((tmp_path / f"{rank}.json").read_text()) == [EXPECTED, EXPECTED]


def test_numbers_that_differ_are_refused():
    with pytest.raises(ConfigError, match="has 1 metrics and 2 dataset_prefixes"):
        MultiDatasetsEvaluator([Seen()], ["a", "b"])
    with pytest.raises(ConfigError, match="repeat"):
        MultiDatasetsEvaluator([Seen(), Seen()], ["a", "a"])
