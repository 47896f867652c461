"""Losses, gradients and weights that are not finite: steps are left out, files named, checkpoints kept."""

from __future__ import annotations

import re

import pytest
import torch
from processes import finish, losses, start

from dense3d.engine.finite import all_finite, non_finite_weights

PLAIN = {"type": "OptimWrapper", "optimizer": {"type": "AdamW", "lr": 0.01}}


def is_finite(path) -> bool:
    """Whether weights and averaged weights of a checkpoint are."""
    checkpoint = torch.load(path, weights_only=True)
    parts = (checkpoint["state_dict"], checkpoint.get("ema_state_dict", {}))
    return all(torch.isfinite(tensor).all() for part in parts for tensor in part.values())


def fail(work_dir, **options) -> str:
    """Output of a run that must end with an error."""
    process = start(work_dir, loop="epoch", **options)
    process.join()
    assert process.exitcode == 1
    return (work_dir / "output.txt").read_text()


def test_single_bad_batches_are_left_out_and_named(tmp_path):
    finish(tmp_path, loop="epoch", poison=5, model={"type": "TinyModel", "norm": False})
    records = losses(tmp_path)
    bad = [r for r in records if r["loss"] == "nan"]
    assert len(bad) == 4  # once an epoch
    assert all("image_05.jpg" in r["files"] for r in bad)
    assert all(r["loss"] != "nan" for r in records if "image_05.jpg" not in r["files"])
    output = (tmp_path / "output.txt").read_text()
    assert re.search(r"the loss is nan at iteration \d+; this step is left out \(4 so far\): image_", output)
    weights = torch.load(tmp_path / "final.pt")
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())


def test_bad_batches_in_a_row_stop_the_run(tmp_path):
    hooks = {"nonfinite_loss": {"type": "NonFiniteLossHook", "max_in_a_row": 3}}
    process = start(tmp_path, loop="epoch", poison=-2, default_hooks=hooks)
    process.join()
    assert process.exitcode == 1
    assert len(losses(tmp_path)) == 2
    output = (tmp_path / "output.txt").read_text()
    message = "TrainingError: the loss was not finite 3 times in a row, last at iteration 3 (loss nan)"
    assert message in output
    assert len(re.findall(r"image_\d\d\.jpg", output.partition(message)[2])) == 4


def test_accumulated_gradients_of_good_batches_are_still_applied(tmp_path):
    wrapper = {"type": "OptimWrapper", "accumulative_counts": 2, "optimizer": {"type": "SGD", "lr": 0.05}}
    model = {"type": "TinyModel", "norm": False}
    finish(tmp_path, loop="epoch", poison=5, model=model, optim_wrapper=wrapper)
    weights = torch.load(tmp_path / "final.pt")
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())


WRAPPERS = {
    "plain": PLAIN,
    "clipped by norm": {**PLAIN, "clip_grad": {"max_norm": 1.0}},
    "clipped by value": {**PLAIN, "clip_grad": {"type": "value", "clip_value": 1.0}},
    "accumulated": {**PLAIN, "accumulative_counts": 2},
}


@pytest.mark.parametrize("kind", WRAPPERS)
def test_steps_whose_gradients_are_not_finite_are_left_out(tmp_path, kind):
    finish(tmp_path, model={"type": "TinyModel", "nan_gradients": [6]}, optim_wrapper=WRAPPERS[kind])
    assert all(record["loss"] != "nan" for record in losses(tmp_path))
    output = (tmp_path / "output.txt").read_text()
    names = losses(tmp_path)[5]["files"]
    found = re.search(
        r"gradients under a finite loss at iteration 6; this step is left out \(1 so far\): (.*)", output
    )
    assert set(names) <= set(found[1].split(", "))
    assert len(found[1].split(", ")) == (8 if kind == "accumulated" else 4)
    assert all(is_finite(path) for path in tmp_path.glob("iter_*.pth"))


def test_a_left_out_step_changes_no_weight(tmp_path):
    """Neither AdamW's weight decay nor its moments nor batch norm see the batch."""
    model = {"type": "TinyModel", "nan_gradients": list(range(5, 12))}
    hook = {"type": "CheckpointHook", "interval": 1, "by_epoch": False}
    finish(tmp_path, model=model, optim_wrapper=PLAIN, default_hooks={"checkpoint": hook}, param_scheduler=[])
    before, after = (torch.load(tmp_path / f"iter_{n}.pth", weights_only=True) for n in (4, 11))
    for name, value in before["ema_state_dict"].items():
        if name.startswith("module."):  # the weights themselves, see mmengine's EMAHook
            torch.testing.assert_close(value, after["ema_state_dict"][name], rtol=0, atol=0)
    assert float(after["optimizer"]["state"][0]["step"]) == 4


def test_gradients_that_stay_not_finite_stop_the_run(tmp_path):
    model = {"type": "TinyModel", "nan_gradients": list(range(3, 29))}
    output = fail(tmp_path, model=model, optim_wrapper=PLAIN)
    assert "TrainingError: gradients were not finite 10 times in a row, last at iteration 12" in output
    assert all(is_finite(path) for path in tmp_path.glob("iter_*.pth"))


def test_a_loss_scaler_searches_its_scale_but_not_for_ever(tmp_path):
    """From 1,024 the scale halves ten times down to 1; below that ten steps end the run."""
    output = fail(tmp_path, model={"type": "TinyModel", "nan_gradients": list(range(1, 29))})
    assert "gradients were not finite 10 times in a row, last at iteration 20" in output
    assert output.count("this step is left out") == 9


def test_one_bad_gradient_under_a_loss_scaler_is_the_scalers_affair(tmp_path):
    finish(tmp_path, model={"type": "TinyModel", "nan_gradients": [6]})
    assert "this step is left out" not in (tmp_path / "output.txt").read_text()


def test_statistics_of_norms_forget_a_bad_image(tmp_path):
    finish(tmp_path, loop="epoch", poison=5, optim_wrapper=PLAIN)
    assert not non_finite_weights(torch.nn.Module(), torch.load(tmp_path / "final.pt"))


@pytest.mark.parametrize("step", [9, 26, 28])
def test_lost_weights_never_replace_sound_checkpoints(tmp_path, step):
    """Also with less than ten iterations left, and in the last one."""
    hook = {"type": "CheckpointHook", "interval": 1, "by_epoch": False, "max_keep_ckpts": 1}
    hook.update(save_best="tiny/error", rule="less")
    model = {"type": "TinyModel", "nan_weights": step}
    output = fail(
        tmp_path, model=model, optim_wrapper=PLAIN, default_hooks={"checkpoint": hook}, validate=True
    )
    assert "TrainingError: weights are not finite at iteration" in output and "stem.weight" in output
    assert (tmp_path / f"iter_{step - 1}.pth").exists() and any(tmp_path.glob("best_*.pth"))
    assert all(is_finite(path) for path in tmp_path.glob("*.pth"))
    assert (tmp_path / "last_checkpoint").read_text().endswith(f"iter_{step - 1}.pth")


def test_a_step_that_overflows_is_not_saved(tmp_path):
    wrapper = {"type": "OptimWrapper", "optimizer": {"type": "SGD", "lr": 1e38, "weight_decay": 1e10}}
    hook = {"type": "CheckpointHook", "interval": 1, "by_epoch": False}
    options = {"optim_wrapper": wrapper, "default_hooks": {"checkpoint": hook}, "param_scheduler": []}
    output = fail(tmp_path, model={"type": "TinyModel", "norm": False}, **options)
    assert "TrainingError: weights are not finite at iteration 1 (" in output
    assert not list(tmp_path.glob("*.pth"))


def test_a_run_without_any_step_is_no_success(tmp_path):
    options = {"model": {"type": "TinyModel", "nan_gradients": list(range(1, 29))}, "optim_wrapper": PLAIN}
    loop = {"type": "EpochBasedTrainLoop", "max_epochs": 1}
    assert "all 7 steps of this run were left out" in fail(tmp_path, train_cfg=loop, **options)


def test_what_counts_as_finite():
    """An overflowing norm is none of the values; a mask may be infinite, statistics and weights may not."""
    assert all_finite([torch.full((4,), 3e38), torch.arange(3)])
    assert not all_finite([torch.ones(2), torch.tensor([float("-inf")])])
    model = torch.nn.BatchNorm1d(2)
    model.register_buffer("mask", torch.tensor([0.0, float("-inf")]))
    assert non_finite_weights(model) == []
    model.running_var[0] = float("inf")
    model.mask[0] = float("nan")
    assert non_finite_weights(model) == ["running_var", "mask"]
