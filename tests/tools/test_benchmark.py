"""The benchmark: contenders compute the same, every operator takes part, wrong names are named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from dense3d import benchmarks
from dense3d.benchmarks import load_cases, rasterize, scenes, timing
from dense3d.benchmarks.ops import CASES
from dense3d.benchmarks.run import benchmark, table
from dense3d.benchmarks.timing import BOTH, FORWARD, OURS, Case, Workload, time_case
from dense3d.errors import ConfigError
from dense3d.ops import backends

CPU = torch.device("cpu")


def outputs_and_gradients(workload: Workload, name: str) -> list[torch.Tensor]:
    inputs = [
        tensor.clone().requires_grad_() if i in workload.leaves else tensor
        for i, tensor in enumerate(workload.inputs)
    ]
    output = workload.contenders[name](*inputs)
    if workload.leaves:
        output.square().sum().backward()
    return [output, *(inputs[i].grad for i in workload.leaves)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_contenders_compute_the_same(case: Case):
    workload = case.build(CPU, **case.tiny)
    first, *others = workload.contenders
    assert first == OURS
    expected = outputs_and_gradients(workload, OURS)
    for name in others:
        for result, truth in zip(outputs_and_gradients(workload, name), expected):
            torch.testing.assert_close(result, truth, rtol=1e-3, atol=1e-4, check_dtype=False)


def test_every_operator_is_timed():
    """By the suite of operators, on voxels of rooms by that of scenes, Gaussians by that of rasterisation."""
    operators = {row.operator for row in backends()}
    elsewhere = {case.name for case in (*scenes.CASES, *rasterize.CASES)}
    assert {case.name for case in CASES} == operators - elsewhere


def test_contenders_take_turns():
    calls = []

    def build(device, number):
        log = {name: (lambda x, name=name: calls.append(name) or x * number) for name in (OURS, "peer")}
        return Workload((torch.ones(2),), log, leaves=(0,))

    case = Case("double", build, {"small": {"number": 2}})
    groups = list(time_case(case, CPU, repeats=3))
    assert [(t.direction, t.contender) for group in groups for t in group] == [
        (FORWARD, OURS),
        (FORWARD, "peer"),
        (BOTH, OURS),
        (BOTH, "peer"),
    ]
    turns = [name for i, name in enumerate(calls) if i == 0 or calls[i - 1] != name]
    assert turns == [OURS, "peer"] * (len(turns) // 2)
    assert len(turns) == 2 * 2 * (1 + 1 + 3)  # both directions: first call, its length, three repeats
    for group in groups:
        ours, peer = group
        assert ours.minimum <= ours.median <= ours.maximum
        assert ours.ratio == 1
        assert peer.minimum / ours.maximum <= peer.ratio <= peer.maximum / ours.minimum


def test_files_hold_what_the_table_shows(tmp_path: Path, monkeypatch, capsys):
    def build(device, seconds):
        contenders = {OURS: lambda x: x, "peer": lambda x: time.sleep(seconds) or x}
        return Workload((torch.ones(1),), contenders)

    case = Case("wait", build, {"one": {"seconds": 0.03}})
    monkeypatch.setattr("dense3d.benchmarks.run.load_cases", lambda suite, only: [case])
    before = torch.get_num_threads()
    timings = benchmark(
        "ops", threads=1, repeats=2, json_file=tmp_path / "a.json", markdown_file=tmp_path / "a.md"
    )
    assert torch.get_num_threads() == before
    stored = json.loads((tmp_path / "a.json").read_text())
    assert [t["contender"] for t in stored["timings"]] == [OURS, "peer"]
    assert stored["timings"][1]["median"] >= 0.03
    assert stored["machine"]["threads"] == "1"
    assert stored["machine"]["torch"] == torch.__version__.split("+")[0]
    lines = (tmp_path / "a.md").read_text().splitlines()
    assert lines[2].startswith("| case | size |")
    assert lines[5].split(" | ")[3] == "peer"
    printed = capsys.readouterr().out
    assert f"{timings[1].ratio:.2f}x" in printed
    assert table(timings).row_count == 2


def test_unknown_names_are_named():
    with pytest.raises(ConfigError, match="no benchmark suite is named 'opps'; did you mean 'ops'"):
        load_cases("opps")
    with pytest.raises(ConfigError, match="has no case named 'roi_allign'; did you mean 'roi_align'"):
        load_cases("ops", ["nms", "roi_allign"])
    with pytest.raises(ConfigError, match="there are: "):
        load_cases("ops", ["zzz"])
    with pytest.raises(ConfigError, match="no device of torch"):
        benchmark("ops", device="gpu7")
    with pytest.raises(ConfigError, match="CUDA devices"):
        benchmark("ops", device="cuda:99")


def test_a_suite_can_be_added(monkeypatch):
    monkeypatch.setitem(benchmarks.SUITES, "again", "dense3d.benchmarks.ops_boxes")
    assert [case.name for case in load_cases("again", ["nms"])] == ["nms"]


def test_command_line(repository: Path):
    def run(*arguments: str) -> subprocess.CompletedProcess:
        command = [sys.executable, str(repository / "tools" / "benchmark.py"), *arguments]
        environment = {**os.environ, "PYTHONPATH": str(repository)}
        return subprocess.run(command, capture_output=True, text=True, env=environment)

    done = run("ops", "--only", "nms", "--repeats", "1")
    assert done.returncode == 0, done.stderr
    assert "torchvision" in done.stdout
    wrong = run("opps")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr == "error: no benchmark suite is named 'opps'; did you mean 'ops'?\n"


def test_help_does_not_import_torch(repository: Path):
    code = (
        "import runpy, sys; sys.argv = ['benchmark.py', '--help']\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'numba', 'rich'} & set(sys.modules)"
    ).replace("sys.argv[0]", repr(str(repository / "tools" / "benchmark.py")))
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "--markdown" in done.stdout


def test_a_slow_contender_is_timed_less_often_but_twice(monkeypatch):
    calls = []

    def build(device):
        contenders = {OURS: lambda x: calls.append(OURS) or x, "peer": lambda x: calls.append("peer") or x}
        return Workload((torch.ones(1),), contenders)

    lengths = {OURS: 1.0, "peer": 30.0}
    monkeypatch.setattr(timing, "_seconds", lambda call, device, number, clock: call() or lengths[calls[-1]])
    ((ours, peer),) = time_case(Case("slow", build, {"one": {}}), CPU, repeats=5)
    assert (calls.count(OURS), calls.count("peer")) == (2 + 5, 2 + 2)
    assert ours.median == 1 and peer.ratio == 30
