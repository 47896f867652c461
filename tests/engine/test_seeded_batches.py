"""What a sample looks like depends on seed, epoch and place only; any sampler can start inside an epoch."""

from __future__ import annotations

import pickle
import random

import mmdet.datasets
import numpy as np
import pytest
import tiny_training
import torch
from mmengine.registry import DATA_SAMPLERS, DATASETS, DefaultScope
from torch.utils.data import DataLoader

from dense3d.engine import seeding
from dense3d.engine.loops import EpochBasedTrainLoop, start_batches
from dense3d.engine.runner import _prefer_ours
from dense3d.engine.seeding import SeededBatch, SeededBatchSampler

SAMPLERS = {
    "default": ({"type": "DefaultSampler", "shuffle": True}, None),
    "class-aware": ({"type": "mmdet.ClassAwareSampler", "num_sample_class": 2}, None),
    "aspect ratio": (
        {"type": "DefaultSampler", "shuffle": True},
        {"type": "mmdet.AspectRatioBatchSampler"},
    ),
    "aspect ratio, whole batches": (
        {"type": "DefaultSampler", "shuffle": True},
        {"type": "mmdet.AspectRatioBatchSampler", "drop_last": True},
    ),
}


@pytest.fixture(autouse=True)
def scope() -> None:
    """Names without a prefix are ours."""
    if not DefaultScope.check_instance_created("test"):
        DefaultScope.get_instance("test", scope_name="dense3d")
    with DefaultScope.overwrite_default_scope("dense3d"):
        yield


def dataset(**changes):
    """The tiny data set with random transforms."""
    cfg = {"type": "TinyDataset", "pipeline": [{"type": "NoisyTransform"}], **changes}
    built = DATASETS.build(cfg)
    built.get_cat_ids = lambda index: [index % 3]
    return built


def batch_sampler(name: str, data, seed: int = 3) -> SeededBatchSampler:
    """A batch sampler of the table above."""
    sampler_cfg, batch_cfg = SAMPLERS[name]
    sampler = DATA_SAMPLERS.build(dict(sampler_cfg), default_args={"dataset": data, "seed": 0})
    return SeededBatchSampler(sampler, 4, batch_sampler=batch_cfg, seed=seed)


def listed(sampler: SeededBatchSampler) -> list[tuple[list[int], list[int]]]:
    """Indices and seeds of all batches."""
    return [(list.copy(batch), batch.seeds) for batch in sampler]


@pytest.mark.parametrize("name", SAMPLERS)
def test_starting_inside_an_epoch_gives_its_rest(name):
    data = dataset()
    whole, other = batch_sampler(name, data), batch_sampler(name, data)
    for epoch in (0, 2):
        whole.start_at(epoch, 0)
        expected = listed(whole)
        for first in (1, len(expected) - 1, len(expected)):
            other.start_at(epoch, first)
            assert listed(other) == expected[first:]
    seeds = [seed for _, batch in expected for seed in batch]
    assert len(set(seeds)) == len(seeds)


def test_epochs_and_runs_differ():
    data = dataset()
    sampler = batch_sampler("default", data)
    passes = []
    for epoch in (0, 1):
        sampler.start_at(epoch, 0)
        passes.append(listed(sampler))
    other = batch_sampler("default", data, seed=4)
    other.start_at(0, 0)
    assert passes[0][0][1] != passes[1][0][1] and passes[0][0][1] != listed(other)[0][1]


def test_iterating_a_batch_seeds_each_sample_and_restores_the_generators():
    state = seeding.capture()
    batch = pickle.loads(pickle.dumps(SeededBatch([5, 6], [50, 60])))
    drawn = [(i, random.random(), np.random.rand(), float(torch.rand(1))) for i in batch]
    assert [d[0] for d in drawn] == [5, 6] and drawn[0][1:] != drawn[1][1:]
    again = [(i, random.random(), np.random.rand(), float(torch.rand(1))) for i in batch]
    assert again == drawn
    after = seeding.capture()
    assert torch.equal(after["torch"], state["torch"])
    assert torch.equal(after["numpy"]["keys"], state["numpy"]["keys"])
    assert torch.equal(after["python"]["words"], state["python"]["words"])


def loaded(data, workers: int, epochs: int, first: int = 0, persistent: bool = False) -> list[torch.Tensor]:
    """All inputs of the epochs, the first ``first`` batches of the first one left out."""
    sampler = batch_sampler("default", data)
    loader = DataLoader(
        data, batch_sampler=sampler, num_workers=workers, persistent_workers=persistent, collate_fn=list
    )
    batches = []
    for epoch in range(epochs):
        for batch in start_batches(loader, epoch, first if epoch == 0 else 0):
            batches.append(torch.stack([sample["inputs"] for sample in batch]))
    return batches


class Mix:
    """mmdet's kind of transform that takes other samples, drawn at random, into one."""

    def get_indexes(self, data) -> list[int]:
        return [random.randint(0, len(data) - 1)]

    def __call__(self, results: dict) -> dict:
        other = results["mix_results"][0]["inputs"]
        return {**results, "inputs": results["inputs"] + np.random.uniform() * other}


def mixed():
    """The tiny data set inside mmdet's ``MultiImageMixDataset``."""
    wrapper = mmdet.datasets.MultiImageMixDataset(dataset(), pipeline=[])
    wrapper.pipeline, wrapper.pipeline_types = [Mix()], ["Mix"]
    return wrapper


@pytest.mark.parametrize("make", [dataset, mixed])
def test_workers_do_not_change_the_samples(make):
    data = make()
    expected = loaded(data, workers=0, epochs=2)
    for persistent in (False, True):
        found = loaded(data, workers=2, epochs=2, persistent=persistent)
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    rest = loaded(data, workers=2, epochs=1, first=3)
    assert all(torch.equal(a, b) for a, b in zip(rest, expected[3:7], strict=True))


def test_skipped_batches_are_not_loaded():
    data = dataset()
    touched = []
    prepare = data.prepare_data
    data.prepare_data = lambda index: touched.append(index) or prepare(index)
    assert len(loaded(data, workers=0, epochs=1, first=5)) == 2
    assert len(touched) == tiny_training.SAMPLES - 5 * 4


@pytest.mark.parametrize(
    "name", ["EpochBasedTrainLoop", "mmdet.EpochBasedTrainLoop", "mmengine.EpochBasedTrainLoop"]
)
def test_inherited_configs_get_our_loop(name):
    assert _prefer_ours({"type": name, "max_epochs": 3}) == {"type": EpochBasedTrainLoop, "max_epochs": 3}
    assert _prefer_ours({"type": "IterTimerHook"}) == {"type": "IterTimerHook"}
