"""A loss that is NaN: the step is left out, the files are named, and the run stops after some in a row."""

from __future__ import annotations

import re

import torch
from processes import finish, losses, start


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
