"""The tiny model trains to the committed losses, and the tolerance holds what rounding does."""

from __future__ import annotations

import pytest
import tiny_training
import torch
from losses import loss_file

from dense3d.engine import Runner

OPTIONS = {
    "loop": "iter",
    "train_cfg": {"type": "IterBasedTrainLoop", "max_iters": 20},
    "model": {"type": "TinyModel", "dropout": False},
    "optim_wrapper": {"type": "OptimWrapper", "optimizer": {"type": "SGD", "lr": 0.05, "momentum": 0.9}},
}


def steps(work_dir, seed: int = 7) -> list[dict[str, float]]:
    """Losses of twenty steps."""
    cfg = tiny_training.config(str(work_dir), **OPTIONS, randomness={"seed": seed})
    # mmengine's message hubs are global and named after the experiment.
    runner = Runner.from_cfg({**cfg, "experiment_name": str(work_dir)})
    recorder = loss_file.RecordLosses()
    runner.register_hook(recorder)
    runner.train()
    return recorder.steps


def test_tiny_model_trains_to_the_recorded_losses(tmp_path):
    loss_file.compare_with_record("tiny", steps(tmp_path))


def test_rounding_stays_within_half_the_tolerance(tmp_path):
    expected = steps(tmp_path / "here")
    with torch.backends.mkldnn.flags(enabled=False):
        other = steps(tmp_path / "other")
    assert loss_file.deviations(other, expected, first=loss_file.FIRST / 2) == []


def test_another_seed_is_noticed(tmp_path):
    with pytest.raises(AssertionError, match="deviations: step 0: loss"):
        loss_file.compare_with_record("tiny", steps(tmp_path, seed=8))
