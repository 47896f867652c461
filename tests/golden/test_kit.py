"""Reading kits, the seeded weights, sub-sampling and the comparison rule."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from dense3d.errors import DataError
from tests.golden import SYSTEMS, open_kit
from tests.golden.compare import compare_arrays, compare_check, compare_texts, rounding
from tests.golden.kit import GoldenKit, align, seeded_array

CHECK = {"name": "c", "inputs": [], "outputs": ["y"], "rtol": 1e-3, "atol": 1e-4}


def write_kit(folder: Path, meta: dict | None = None, **tensors: np.ndarray) -> Path:
    folder.mkdir(exist_ok=True)
    meta = {"system": "mmcv-ops", "params": [], "checks": [CHECK]} | (meta or {})
    (folder / "kit.json").write_text(json.dumps(meta))
    np.savez(folder / "tensors.npz", **tensors)
    return folder


@pytest.mark.parametrize(
    ("name", "shape", "values"),
    [
        ("a.weight", (2,), [0.9348751, 0.8875762]),
        ("a.gamma", (2,), [0.9168543, 0.9322869]),
        ("a.scale", (2,), [1.006212, 1.005835]),
        ("a.bias", (2,), [0.009964325, -0.1886833]),
        ("bn.running_var", (2,), [0.6938386, 0.584785]),
        ("bn.running_mean", (2,), [-0.1430614, 0.009282943]),
        ("a.weight", (4, 3), [-0.3759986, -0.6490788]),
        ("table", (2, 3, 5), [-0.6661702, -0.07581759]),
    ],
)
def test_seeded_arrays_are_the_same_everywhere(name, shape, values):
    """Written down from the code that the kits were made with: other values would be another checkpoint."""
    np.testing.assert_allclose(seeded_array(name, shape).ravel()[:2], values, rtol=1e-6)


def test_align_finds_start_and_step():
    full = np.random.default_rng(1).standard_normal((4, 9, 7))
    for view in (full[::2, :, 1::3], full[:, 4::5, 1::2], full.reshape(-1)[3::10]):
        np.testing.assert_array_equal(align(full, view), view)
    with pytest.raises(ValueError, match=r"\(4, 9, 7\) cannot be sub-sampled to \(5, 9, 7\)"):
        align(full, np.zeros((5, 9, 7)))
    with pytest.raises(ValueError, match="cannot be sub-sampled"):
        align(full, np.zeros((4, 9)))


def test_state_dict_has_seeded_scaled_and_kept_values(tmp_path):
    params = [["a.weight", [3, 2], "float32"], ["b.bias", [4], "float32"], ["table", [2], "int64"]]
    meta = {"params": params, "keep": ["table"], "scale": [["*.weight", 0.5], ["b.*", 2.0], ["a.*", 3.0]]}
    folder = write_kit(tmp_path / "kit", meta, **{"keep/table": np.array([7, 8])})
    state = GoldenKit(folder).state_dict()
    assert list(state) == ["a.weight", "b.bias", "table"]
    np.testing.assert_allclose(state["a.weight"], 3 * seeded_array("a.weight", (3, 2)), rtol=1e-6)
    np.testing.assert_allclose(state["b.bias"], 2 * seeded_array("b.bias", (4,)), rtol=1e-6)
    np.testing.assert_array_equal(state["table"], [7, 8])
    write_kit(folder, meta)
    with pytest.raises(DataError, match="lacks keep/table"):
        GoldenKit(folder).state_dict()


def test_damaged_kits_are_named(tmp_path):
    with pytest.raises(DataError, match="golden kit not found"):
        GoldenKit(tmp_path / "nowhere")
    folder = write_kit(tmp_path / "kit", x=np.zeros(3))
    damages = [
        (lambda: (folder / "kit.json").write_text('{"system": '), "kit.json is not valid JSON"),
        (lambda: (folder / "kit.json").write_text('{"checks": []}'), "names no 'system'"),
        (lambda: (folder / "kit.json").write_text('{"system": "s"}'), "holds no 'checks'"),
        (
            lambda: (folder / "kit.json").write_text('{"system": "s", "checks": [{"name": "c"}]}'),
            "check 0 has no 'inputs'",
        ),
        (lambda: (folder / "kit.json").unlink(), "it has no kit.json"),
        (lambda: (folder / "tensors.npz").write_bytes(b"PK\x03\x04 cut off"), "tensors.npz cannot be read"),
        (lambda: (folder / "tensors.npz").write_bytes(b""), "tensors.npz cannot be read"),
        (lambda: (folder / "tensors.npz").unlink(), "it has no tensors.npz"),
    ]
    for damage, sentence in damages:
        shutil.rmtree(folder)
        write_kit(folder, x=np.zeros(3))
        damage()
        with pytest.raises(DataError, match=sentence):
            GoldenKit(folder)


def test_unknown_systems_and_parts_name_the_known_ones(tmp_path):
    kit = GoldenKit(write_kit(tmp_path / "system", {"system": "mmcv-op"}))
    with pytest.raises(DataError, match="the system 'mmcv-op'; did you mean 'mmcv-ops'"):
        open_kit(kit)
    kit = GoldenKit(write_kit(tmp_path / "part", {"system": "mask2former", "config": {"queries": 100}}))
    with pytest.raises(DataError, match="none of the keys backbone, oversample_ratio, overlap"):
        open_kit(kit)


def test_the_first_part_that_fits_the_config_is_opened(tmp_path, monkeypatch):
    parts = {"arch=swin": "kit.seeded_array", "arch": "kit.align", "": "kit.GoldenKit"}

    def opener(part: str):
        def open_part(kit) -> str:
            kit.options.neutral("arch")
            return part

        return open_part

    for part in ("seeded_array", "align", "GoldenKit"):
        monkeypatch.setattr(f"tests.golden.kit.{part}", opener(part))
    monkeypatch.setitem(SYSTEMS, "mmcv-ops", parts)
    for config, part in (({"arch": "swin_t"}, "seeded_array"), ({"arch": "vit"}, "align"), ({}, "GoldenKit")):
        kit = SimpleNamespace(system="mmcv-ops", folder=tmp_path, meta={"config": config})
        assert open_kit(kit) == part


def verdict(produced, stored) -> str:
    return compare_arrays("c", "y", np.asarray(produced), np.asarray(stored), 1e-3, 1e-4).failure


def test_tolerance_is_absolute_plus_relative():
    assert verdict([1.0010, 0.0], [1.0, 0.0]) == ""
    assert verdict([1.0012, 0.0], [1.0, 0.0]) == "1 of 2 values beyond atol 0.0001 + rtol 0.001"
    assert verdict([0.00009], [0.0]) == ""
    assert verdict([0.00011], [0.0]) != ""
    row = compare_arrays("c", "y", np.array([1.5, 4.0]), np.array([1.0, 8.0]), 0, 0)
    assert (row.max_abs, row.max_rel) == (4.0, 0.5)


def test_integers_and_booleans_are_compared_exactly():
    assert verdict([1000, 2], [1000, 2]) == ""
    assert verdict([1000, 3], [1001, 3]) == "1 of 2 values not equal"
    assert verdict([1, 0], [True, False]) == ""
    assert verdict([1.5, 0], [True, False]) != ""
    assert verdict([2**62 + 1], [2**62]) != ""  # equal as float64


def test_values_that_are_not_finite_stand_at_the_same_places():
    nan, inf = float("nan"), float("inf")
    assert verdict([1.0, nan, inf, -inf], [1.0, nan, inf, -inf]) == ""
    for produced in ([1.0, 1.0, inf], [1.0, nan, -inf], [nan, nan, inf], [1.0, nan, 5.0], [inf, nan, inf]):
        assert "differ in being finite" in verdict(produced, [1.0, nan, inf])


def test_subsampled_outputs_are_aligned():
    full = np.arange(60.0).reshape(5, 12)
    assert verdict(full, full[::2, 1::3]) == ""
    assert verdict(full, full[::2, 1::3] + 1e-2) != ""
    assert "cannot be sub-sampled" in verdict(full, np.zeros((7, 12)))


def test_missing_and_unexpected_outputs_fail():
    stored = {"y": np.zeros(2)}
    assert [row.failure for row in compare_check(CHECK, stored, {})] == ["not produced"]
    rows = compare_check(CHECK, stored, {"y": np.zeros(2), "z": np.zeros(1)})
    assert [row.failure for row in rows] == ["", "not an output of the kit"]
    rows = compare_check(CHECK, {}, {"y": np.zeros(2)})
    assert [row.failure for row in rows] == ["listed in kit.json but not stored"]


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("Car 0.0 0 -1.23", True),
        ("Car 0.0 0 -1.24", True),  # a rounding edge
        ("Car 0.0 0 -1.25", False),
        ("Van 0.0 0 -1.23", False),
        ("Car 0.0 0", False),
    ],
)
def test_lines_of_text_are_compared_word_by_word(text, passes):
    assert compare_texts("decode", "lines", np.array([text]), np.array(["Car 0.0 0 -1.23"])).passed == passes
    assert not compare_texts("decode", "lines", np.array([text, text]), np.array([text])).passed


def test_rounding_excuses_no_more_than_it_moves():
    inputs = {"x": np.linspace(0.1, 1, 50, dtype=np.float32), "count": np.arange(3)}

    def run(arrays):
        return {"steep": np.exp(1e3 * arrays["x"] % 1), "flat": 2 * arrays["x"], "count": arrays["count"]}

    produced = run(inputs)
    check = {"name": "c", "outputs": list(produced), "rtol": 1e-6, "atol": 1e-6}
    slack = rounding(produced, inputs, run)
    stored = {**produced, "steep": produced["steep"] + np.float32(2 * slack["steep"])}
    failing = compare_check(check, stored, produced, slack)
    assert [row.output for row in failing if not row.passed] == ["steep"]
    stored["steep"] = produced["steep"] + np.float32(0.5 * slack["steep"])
    assert not all(row.passed for row in compare_check(check, stored, produced))
    assert all(row.passed for row in compare_check(check, stored, produced, slack))
    stored["flat"] = produced["flat"] + np.float32(1e-4)  # wrong, and nothing carries rounding so far
    assert [row.output for row in compare_check(check, stored, produced, slack) if not row.passed] == ["flat"]
