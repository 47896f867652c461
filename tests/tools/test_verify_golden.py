"""The command line: a row per output, and an exit status that tells."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.golden import SYSTEMS, print_verdict


@pytest.fixture
def kit(tmp_path, golden_dir) -> Path:
    """A copy of some checks of the kit, free to be damaged."""
    source = golden_dir / "mmcv-ops"
    meta = json.loads((source / "kit.json").read_text())
    meta["checks"] = [c for c in meta["checks"] if c["name"] in ("nms", "deform_conv2d", "points_in_boxes")]
    names = [check["name"] for check in meta["checks"]]
    with np.load(source / "tensors.npz") as data:
        tensors = {key: data[key] for key in data.files if key.split("/")[1] in names}
    return write(tmp_path / "kit", meta, tensors)


def write(folder: Path, meta: dict, tensors: dict[str, np.ndarray]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "kit.json").write_text(json.dumps(meta))
    np.savez(folder / "tensors.npz", **tensors)
    return folder


def read(folder: Path) -> tuple[dict, dict[str, np.ndarray]]:
    with np.load(folder / "tensors.npz") as data:
        return json.loads((folder / "kit.json").read_text()), {key: data[key] for key in data.files}


def failures(output: str) -> list[str]:
    return [line.split()[0] for line in output.splitlines() if "FAIL  " in line]


def test_an_untouched_kit_passes(kit, capsys):
    assert print_verdict(kit)
    output = capsys.readouterr().out
    assert output.splitlines()[0].split() == ["check/output", "max", "abs", "max", "rel", "verdict"]
    assert f"{kit}: 7 outputs of 3 checks, PASS" in output
    assert failures(output) == []


@pytest.mark.parametrize(
    ("tensor", "change"),
    [
        ("out/deform_conv2d/grad_offset", lambda a: a + 0.01),
        ("out/deform_conv2d/y", lambda a: np.where(np.arange(a.size).reshape(a.shape) == 5, np.nan, a)),
        ("out/nms/keep", lambda a: np.roll(a, 1)),
        ("out/nms/dets", lambda a: a[:-1]),
        ("out/points_in_boxes/mask", lambda a: 1 - a),
    ],
)
def test_a_changed_output_fails_and_no_other(kit, capsys, tensor, change):
    meta, tensors = read(kit)
    tensors[tensor] = change(tensors[tensor])
    write(kit, meta, tensors)
    assert not print_verdict(kit)
    assert failures(capsys.readouterr().out) == [tensor.removeprefix("out/")]


def test_changed_inputs_fail(kit, capsys):
    meta, tensors = read(kit)
    tensors["in/deform_conv2d/weight"] = tensors["in/deform_conv2d/weight"] * 1.01
    write(kit, meta, tensors)
    assert not print_verdict(kit)
    assert "deform_conv2d/y" in failures(capsys.readouterr().out)


def test_unknown_check_missing_input_and_missing_output_fail(kit, capsys):
    meta, tensors = read(kit)
    meta["checks"][0]["name"] = "sorting"
    for key in [key for key in tensors if "/nms/" in key]:
        tensors[key.replace("/nms/", "/sorting/")] = tensors.pop(key)
    del tensors["in/points_in_boxes/points"], tensors["out/deform_conv2d/y"]
    write(kit, meta, tensors)
    assert not print_verdict(kit)
    output = capsys.readouterr().out
    assert failures(output) == ["sorting", "deform_conv2d/y", "points_in_boxes"]
    assert "no operator's name begins 'sorting'" in output
    assert "input 'points' is listed in kit.json but not stored" in output


def run_tool(repository: Path, monkeypatch, *arguments: object) -> int:
    """Exit status of the tool, run in this process."""
    tool = str(repository / "tools" / "verify_golden.py")
    monkeypatch.setattr(sys, "argv", [tool, *map(str, arguments)])
    with pytest.raises(SystemExit) as leave:
        runpy.run_path(tool, run_name="__main__")
    return leave.value.code


def test_exit_status_over_several_kits(repository, monkeypatch, capsys, kit, tmp_path):
    assert run_tool(repository, monkeypatch, kit) == 0
    assert capsys.readouterr().err == ""
    meta, tensors = read(kit)
    unknown = write(tmp_path / "other", meta | {"system": "sorting-machine"}, tensors)
    assert run_tool(repository, monkeypatch, unknown, tmp_path / "nowhere", kit) == 1
    printed = capsys.readouterr()
    first, second = printed.err.splitlines()
    known = ", ".join(sorted(SYSTEMS))
    assert first == f"error: no golden adapter for the system 'sorting-machine'; known systems: {known}"
    assert second == f"error: golden kit not found: {tmp_path / 'nowhere'} is not a folder"
    assert "3 checks, PASS" in printed.out  # the others are run all the same
    assert printed.out.splitlines()[-1] == f"1 of 3 kits, FAIL: {unknown}, {tmp_path / 'nowhere'}"


def test_a_kit_whose_model_cannot_be_built_is_a_failed_row_and_the_others_run(
    repository, monkeypatch, capsys, kit, tmp_path
):
    meta, tensors = read(kit)
    broken = write(tmp_path / "broken", meta | {"system": "swin", "config": {}, "params": []}, tensors)
    assert run_tool(repository, monkeypatch, broken, kit) == 1
    output = capsys.readouterr().out
    assert failures(output) == ["set-up"]
    assert f"{broken}: 1 outputs of 1 checks, FAIL: 1 of 1 outputs" in output
    assert f"{kit}: 7 outputs of 3 checks, PASS" in output


@pytest.mark.parametrize("fault", [ZeroDivisionError("by zero"), SystemExit(3), MemoryError("two\nlines")])
@pytest.mark.parametrize("place", ["set-up", "check", "comparison"])
def test_the_kits_after_one_that_raises_run(repository, monkeypatch, capsys, kit, tmp_path, fault, place):
    """Whatever is raised, in setting up, in a check or in comparing: a failed row each, and the status."""
    import tests.golden

    opened = tests.golden.open_kit
    broken = write(tmp_path / "broken", *read(kit))

    def run(_check: dict, _inputs: dict) -> None:
        if place == "check":
            raise fault

    def open_one(one):
        if one.folder == broken and place == "set-up":
            raise fault
        return run if one.folder == broken else opened(one)

    monkeypatch.setattr(tests.golden, "open_kit", open_one)
    assert run_tool(repository, monkeypatch, broken, kit) == 1
    output = capsys.readouterr().out
    rows = 1 if place == "set-up" else 3
    assert len(failures(output)) == rows
    assert f"{broken}: {rows} outputs of {rows} checks, FAIL: {rows} of {rows} outputs" in output
    assert f"{kit}: 7 outputs of 3 checks, PASS" in output
    assert output.splitlines()[-1] == f"1 of 2 kits, FAIL: {broken}"


def test_help_imports_nothing_heavy(repository):
    code = (
        "import runpy, sys\nsys.argv = ['verify_golden.py', '--help']\n"
        f"try: runpy.run_path({str(repository / 'tools' / 'verify_golden.py')!r}, run_name='__main__')\n"
        "except SystemExit as leave: assert leave.code == 0\n"
        "print([m for m in ('torch', 'numpy', 'mmengine') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
