"""Reading kits, the seeded weights, sub-sampling and the comparison rule."""

from __future__ import annotations

import importlib
import importlib.util
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from dense3d.errors import DataError
from tests.golden import SYSTEMS, open_kit
from tests.golden.compare import compare_arrays, compare_check
from tests.golden.kit import GoldenKit, align, seeded_array

CHECK = {"name": "c", "inputs": [], "outputs": ["y"], "rtol": 1e-3, "atol": 1e-4}


@pytest.fixture(scope="session")
def definition(golden_dir):
    """The kits' own definition, which lies beside them."""
    file = golden_dir / "goldenkit.py"
    if not file.exists():
        pytest.skip(f"{file} not found")
    spec = importlib.util.spec_from_file_location("goldenkit_definition", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_kit(folder: Path, meta: dict | None = None, **tensors: np.ndarray) -> Path:
    folder.mkdir(exist_ok=True)
    meta = {"system": "mmcv-ops", "params": [], "checks": [CHECK]} | (meta or {})
    (folder / "kit.json").write_text(json.dumps(meta))
    np.savez(folder / "tensors.npz", **tensors)
    return folder


@pytest.mark.parametrize(
    "name", ["a.weight", "a.gamma", "a.scale", "a.bias", "bn.running_var", "bn.running_mean", "table", "w"]
)
def test_seeded_arrays_are_those_of_the_definition(definition, name):
    for shape in [(), (5,), (3, 4), (2, 3, 1, 5), (0, 3), (3, 0)]:
        for dtype in ("float32", "float64", "float16", "int64", "bool"):
            mine, theirs = seeded_array(name, shape, dtype), definition.seeded_array(name, shape, dtype)
            assert mine.dtype == theirs.dtype
            np.testing.assert_array_equal(mine, theirs)


def test_align_is_that_of_the_definition(definition):
    def attempt(function, full, stored):
        try:
            return function(full, stored)
        except ValueError:
            return None

    generator = np.random.default_rng(0)
    for _ in range(300):
        shape = tuple(generator.integers(1, 12, generator.integers(1, 4)))
        full = generator.standard_normal(shape)
        starts, steps = generator.integers(0, 3, len(shape)), generator.integers(1, 5, len(shape))
        stored = full[tuple(slice(min(a, n - 1), None, k) for a, k, n in zip(starts, steps, shape))]
        stored = full.reshape(-1)[:: generator.integers(1, 6)] if generator.random() < 0.3 else stored
        stored = stored + (generator.random() < 0.3) * generator.standard_normal(stored.shape)
        np.testing.assert_array_equal(
            attempt(align, full, stored), attempt(definition.align, full, stored), strict=True
        )


def test_align_finds_start_and_step():
    full = np.random.default_rng(1).standard_normal((4, 9, 7))
    for view in (full[::2, :, 1::3], full[:, 4::5, 1::2], full.reshape(-1)[3::10]):
        np.testing.assert_array_equal(align(full, view), view)
    with pytest.raises(ValueError, match=r"\(4, 9, 7\) cannot be sub-sampled to \(5, 9, 7\)"):
        align(full, np.zeros((5, 9, 7)))
    with pytest.raises(ValueError, match="cannot be sub-sampled"):
        align(full, np.zeros((4, 9)))


def test_state_dict_has_seeded_scaled_and_kept_values(tmp_path, definition):
    params = [["a.weight", [3, 2], "float32"], ["b.bias", [4], "float32"], ["table", [2], "int64"]]
    meta = {"params": params, "keep": ["table"], "scale": [["*.weight", 0.5], ["b.*", 2.0], ["a.*", 3.0]]}
    folder = write_kit(tmp_path / "kit", meta, **{"keep/table": np.array([7, 8])})
    state, theirs = GoldenKit(folder).state_dict(), definition.GoldenKit(folder).state_dict()
    assert list(state) == ["a.weight", "b.bias", "table"] == list(theirs)
    for name, value in theirs.items():
        np.testing.assert_array_equal(state[name], value)
    np.testing.assert_allclose(state["a.weight"], 3 * seeded_array("a.weight", (3, 2)), rtol=1e-6)
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


def test_every_system_names_a_function():
    """A table of names is wrong silently: nothing but a kit of that system would tell."""
    tables = [{"": parts} if isinstance(parts, str) else parts for parts in SYSTEMS.values()]
    for place in [place for table in tables for place in table.values()]:
        module, function = place.split(".")
        assert callable(getattr(importlib.import_module(f"tests.golden.{module}"), function)), place


def test_the_first_part_that_fits_the_config_is_opened(tmp_path, monkeypatch):
    parts = {"arch=swin": "kit.seeded_array", "arch": "kit.align", "": "kit.GoldenKit"}
    for part in ("seeded_array", "align", "GoldenKit"):
        monkeypatch.setattr(f"tests.golden.kit.{part}", lambda _kit, part=part: part)
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
