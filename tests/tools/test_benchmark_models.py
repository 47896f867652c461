"""The benchmark of whole models: every variant runs, in turns; figures and files say what was measured."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dense3d.benchmarks import load_cases, model_timing
from dense3d.benchmarks.model_run import benchmark_models, markdown, table
from dense3d.benchmarks.model_timing import (
    INFERENCE,
    TRAINING,
    Conditions,
    Step,
    peak_growth,
    require_compiler,
    time_models,
    variants,
)
from dense3d.benchmarks.models import CASES, Contender, ModelCase, detection_batch
from dense3d.errors import ConfigError

CPU = torch.device("cpu")


class Toy(torch.nn.Module):
    """Stands for a detector: logs its steps and takes memory."""

    def __init__(self, name: str, log: list, numbers: int = 10):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1000))
        self.name, self.log, self.numbers = name, log, numbers

    def forward(self, images, samples, mode):
        self.log.append((self.name, mode, torch.is_autocast_enabled("cpu")))
        return {"loss": (torch.ones(self.numbers, 1000) * self.weight).exp().mean()}

    def parse_losses(self, losses):
        return losses["loss"], losses


@pytest.fixture
def toys(monkeypatch):
    """A case of two toys, the first of which is plain, and the log of their steps."""
    log: list = []
    first = Contender("plain", "", plain=True)
    second = Contender("ours", "")
    monkeypatch.setattr(Contender, "build", lambda self, device, tiny: Toy(self.name, log))
    return ModelCase("toy", (first, second), lambda *_: (torch.ones(1), [])), log


def test_variants_take_turns_and_modes_are_separate(toys):
    case, log = toys
    conditions = Conditions(batches=(1,), repeats=2)
    inference, training = time_models(case, conditions, CPU)
    assert [(t.contender, t.precision) for t in inference] == [
        ("plain", "fp32"),
        ("ours", "fp32"),
        ("ours", "bf16"),
    ]
    assert {t.mode for t in training} == {TRAINING}
    turn = [("plain", "predict", False), ("ours", "predict", False), ("ours", "predict", True)]
    warm_up = [step for step in turn for _ in range(2)]
    assert log[: len(log) // 2] == warm_up + turn * 2
    for timing in inference:
        assert timing.minimum <= timing.median <= timing.maximum
        assert timing.speed == pytest.approx(inference[0].median / timing.median)


def test_ratios_are_those_to_the_first(toys, monkeypatch):
    case, _ = toys
    seconds = {"plain": iter((4.0, 2.0, 3.0)), "ours": iter((1.0, 2.0, 1.5))}
    monkeypatch.setattr(Step, "seconds", lambda self: next(seconds[self.contender.name]))
    monkeypatch.setattr(
        Step, "measure_memory", lambda self: {"plain": 200, "ours": 50}[self.contender.name] * 2**20
    )
    conditions = Conditions(batches=(2,), modes=(INFERENCE,), precisions=("fp32",), repeats=3)
    (timings,) = time_models(case, conditions, CPU)
    assert [(t.median, t.speed, t.memory_ratio) for t in timings] == [(3.0, 1.0, 1.0), (1.5, 2.0, 0.25)]
    text = markdown(timings, {"device": "cpu"})
    assert "| inference, batch 2, 800x1333 | ours | fp32, eager | 1500 ms |" in text
    assert text.splitlines()[-1].endswith("| 1.33 | 50 MiB | 2.00x | 0.25x |")
    assert table(timings).row_count == 2


def test_memory_is_that_of_weights_optimizer_and_step():
    class Big(Toy):
        def parse_losses(self, losses):
            return losses["loss"], losses

    numbers = 20_000  # x 1000 floats: 80 MB that the backward pass keeps
    contender = SimpleNamespace(
        build=lambda device, tiny: Big("big", [], numbers), context=contextlib.nullcontext, name="big"
    )
    step = Step(contender, TRAINING, "fp32", False, (None, None), CPU, False)
    memory = step.measure_memory()
    if memory is None:
        pytest.skip("this system does not tell the peak of a process's memory")
    assert memory > numbers * 1000 * 4
    assert step._held() == pytest.approx(3 * 4000, abs=8)  # weights and AdamW's two averages


def test_peak_is_seen_though_it_has_passed():
    def run():
        torch.ones(50_000_000)

    growth = peak_growth(run, CPU)
    if growth is None:
        pytest.skip("this system does not tell the peak of a process's memory")
    assert growth == pytest.approx(200e6, rel=0.2)


def test_first_contender_runs_in_one_way_only():
    case = CASES[0]
    conditions = Conditions(compiled=(False, True))
    inference = list(variants(case, INFERENCE, conditions))
    training = list(variants(case, TRAINING, conditions))
    assert inference[0][1:] == training[0][1:] == ("fp32", False)
    assert [c.name for c, *_ in inference].count("Relation-DETR") == 4
    assert "Relation-DETR, checkpointing" not in {c.name for c, *_ in inference}
    assert "Relation-DETR, checkpointing" in {c.name for c, *_ in training}
    assert "DINO of mmdet" in {c.name for c, *_ in inference}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_contender_trains_and_infers(case: ModelCase):
    inputs = case.batch(1, (64, 96), CPU)
    for contender in case.contenders:
        step = Step(contender, TRAINING, "bf16", False, inputs, CPU, tiny=True)
        step.run()
        assert sum(p.grad is not None for p in step.model.parameters()) > 40
        step.model.eval()
        step.precision = "fp32"
        step.infer()
        fields = {
            "pred_instances",
            "predictions",
            "pred_grid",
            "pred_panoptic_seg",
            "pred_disparity",
            "error",
            "pred_boxes",
        }
        assert fields & set(inputs[1][0].keys())


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.contenders[0].plain], ids=lambda case: case.name
)
def test_plain_operators_compute_the_same(case: ModelCase):
    """The first contender is the second with other operators: losses and gradients agree."""
    plain, ours = case.contenders[:2]
    assert (plain.config, plain.options) == (ours.config, ours.options)
    inputs = case.batch(1, (64, 96), CPU)
    model = ours.build(CPU, tiny=True).train()
    for name, parameter in model.named_parameters():
        if "sampling_offsets" in name:  # at first they point to centres of cells, where gradients jump
            torch.nn.init.normal_(parameter, std=0.3)
    if case.name.startswith("votenet"):  # clusters of votes magnify rounding
        model = model.double()
        values = {name: value if value is None else value.double() for name, value in inputs[0].items()}
        inputs = (values, inputs[1])
    totals, gradients = [], []
    for contender in (plain, ours):
        model.zero_grad()
        torch.manual_seed(0)
        np.random.seed(0)  # of Point-MAE's masks
        with contender.context():
            total, _ = model.parse_losses(model(*inputs, mode="loss"))
            total.backward()
        totals.append(total.detach())
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    torch.testing.assert_close(*totals, rtol=1e-4, atol=1e-4)
    for one, other in zip(*gradients, strict=True):
        assert (one - other).norm() <= 1e-2 * other.norm() + 1e-4


def test_plain_operators_are_used_inside_the_context():
    plain = CASES[0].contenders[0]
    kept: list[int] = []
    from dense3d.layers import PositionRelation

    boxes = torch.rand(1, 30, 4)
    for context in (plain.context, contextlib.nullcontext):
        numbers: list[int] = []
        hooks = torch.autograd.graph.saved_tensors_hooks(
            lambda t, numbers=numbers: numbers.append(t.numel()) or t, lambda t: t
        )
        with context(), hooks:
            PositionRelation()(boxes)
        kept.append(max(numbers))
    assert kept[0] >= 30 * 30 * 64
    assert kept[1] <= 8 * 30 * 30


def test_batch_is_the_same_every_time_and_lies_in_the_image():
    (images, samples), (again, _) = (detection_batch(2, (64, 96), CPU) for _ in range(2))
    assert torch.equal(images, again)
    boxes = torch.stack([sample.gt_instances.bboxes for sample in samples])
    assert (boxes[..., 2:] > boxes[..., :2]).all()
    assert (boxes <= torch.tensor([96, 64, 96, 64])).all()


def test_files_and_console(toys, monkeypatch, tmp_path, capsys):
    case, _ = toys
    monkeypatch.setattr("dense3d.benchmarks.model_run.load_cases", lambda suite, only: [case])
    conditions = dict(batches=(1,), modes=(INFERENCE,), repeats=1)
    timings = benchmark_models(
        size="64x96", conditions=conditions, json_file=tmp_path / "a.json", markdown_file=tmp_path / "a.md"
    )
    stored = json.loads((tmp_path / "a.json").read_text())
    assert stored["timings"] == json.loads(json.dumps([dataclasses.asdict(t) for t in timings]))
    assert "64x96" in (tmp_path / "a.md").read_text()
    assert "bf16, eager" in capsys.readouterr().out
    clouds = [dataclasses.replace(timing, points=20_000) for timing in timings]
    assert "| inference, batch 1, 20000 points |" in markdown(clouds, {})


def test_wrong_requests_are_named(monkeypatch):
    with pytest.raises(ConfigError, match="has no case named 'relation_detr'; did you mean 'relation-detr'"):
        load_cases("models", ["relation_detr"])
    with pytest.raises(ConfigError, match="--size '800' is not HEIGHTxWIDTH"):
        benchmark_models(size="800")
    with pytest.raises(ConfigError, match="no precision is named 'fp8'; there are: fp32, bf16"):
        benchmark_models(conditions=dict(precisions=("fp8",)))
    monkeypatch.setattr(model_timing.shutil, "which", lambda name: None)
    with pytest.raises(ConfigError, match=r"needs g\+\+ or clang\+\+ on the PATH"):
        require_compiler(CPU)
