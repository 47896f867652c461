"""Making kits: what is written is what is read, and the compact form proves the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tests.golden import verify_check
from tests.golden.kit import GoldenKit, align
from tests.golden.make import MOST_VALUES, compact, seed_module, write_kit
from tests.golden.weights import tensors_of

KEEP, SCALE = ("*.steps",), (("*.weight", 3.0), ("0.*", 0.5))


class Steps(nn.Module):
    """A layer with a table that is no weight, and a counter."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("steps", torch.linspace(0, 1, 8))
        self.register_buffer("count", torch.tensor(5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.steps


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 8), Steps())


@pytest.fixture
def kit(tmp_path) -> GoldenKit:
    """Of a network that maps 600 points; the second check is fed by the first, the third is large."""
    model = network()
    seed_module(model, KEEP, SCALE)
    generator = np.random.default_rng(0)
    x, noise = (generator.standard_normal(size).astype("float32") for size in ((600, 3), (200_000,)))
    with torch.no_grad():
        y = model(torch.from_numpy(x)).numpy()
    numbers = dict(rtol=1e-3, atol=1e-4, note="")
    checks = [
        dict(numbers, name="points", inputs={"x": x}, outputs={"y": y}),
        dict(numbers, name="sum", inputs={}, outputs={"total": y.sum()}),
        dict(numbers, name="noise", inputs={"noise": noise}, outputs={"mean": noise.mean()}),
    ]
    meta = dict(system="points", source="a test", config={}, scale=SCALE, notes="")
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    write_kit(tmp_path / "kit", meta, state, checks, KEEP)
    return GoldenKit(tmp_path / "kit")


def run(kit: GoldenKit, check: dict, inputs: dict) -> dict:
    model = network()
    model.load_state_dict(tensors_of(kit))
    with torch.no_grad():
        y = model(torch.from_numpy((kit.inputs("points") | inputs)["x"])).numpy()
    return {"y": y} if check["name"] == "points" else {"total": y.sum()}


def test_weights_follow_from_names_and_what_is_kept_is_stored(kit):
    assert kit.meta["keep"] == ["1.steps", "1.count"]  # one is in KEEP, the other is an integer
    state, model = tensors_of(kit), network()
    seed_module(model, KEEP, SCALE)
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(state[name], tensor, rtol=0, atol=0)
    assert state["1.steps"][-1] == 1
    assert state["0.weight"].std() < 0.6  # the last pattern that fits: 0.5, not 3


def test_the_compact_form_proves_the_same(kit, tmp_path):
    assert compact(kit, tmp_path / "compact") == ["noise"]
    small = GoldenKit(tmp_path / "compact")
    np.testing.assert_array_equal(small.inputs("points")["x"], kit.inputs("points")["x"])
    stored = small.outputs("points")["y"]
    assert MOST_VALUES / 2 < stored.size <= MOST_VALUES
    np.testing.assert_array_equal(align(kit.outputs("points")["y"], stored), stored)
    rows = [
        row
        for check in small.checks
        for row in verify_check(small, lambda check, inputs: run(small, check, inputs), check)
    ]
    assert [row.check for row in rows] == ["points", "sum"]
    assert [str(row) for row in rows if not row.passed] == []


def test_a_wrong_value_fails_in_the_compact_form(kit, tmp_path):
    compact(kit, tmp_path / "compact")
    small = GoldenKit(tmp_path / "compact")

    def wrong(check: dict, inputs: dict) -> dict:
        return {name: value * 1.01 for name, value in run(small, check, inputs).items()}

    rows = [row for check in small.checks for row in verify_check(small, wrong, check)]
    assert [row.passed for row in rows] == [False, False]
