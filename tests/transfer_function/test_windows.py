"""Windows: presets of CT, percentiles, and the guess of a silent file's modality."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dense3d.datasets.volumes import open_volume
from dense3d.structures import Volume
from dense3d.transfer_function.windows import (
    CT_PRESETS,
    Window,
    full_window,
    modality_of,
    percentile_window,
    thinned,
    windows,
)


def test_presets_have_the_widths_and_levels_of_radiology() -> None:
    named = {window.name: (window.level, window.width) for window in CT_PRESETS}
    assert named["soft tissue"] == (40, 400)
    assert named["lung"] == (-600, 1500)
    assert named["brain"] == (40, 80)
    assert len(named) == len(CT_PRESETS)


def test_a_window_maps_its_ends_to_black_and_white() -> None:
    window = Window("w", -100, 300)
    shown = window.apply(np.array([[-1000, -100], [100, 300]], np.int16))
    np.testing.assert_allclose(shown, [[0, 0], [0.5, 1]])
    assert shown.dtype == np.float32
    assert np.isfinite(Window("empty", 5, 5).apply(np.array([4.0, 5, 6]))).all()


def test_percentiles_pass_over_background_and_metal() -> None:
    random = np.random.default_rng(0)
    tissue = random.normal(500, 50, 20_000)
    values = np.concatenate([np.zeros(60_000), tissue, [30_000] * 20]).reshape(-1, 10, 2)
    window = percentile_window(values)
    np.testing.assert_allclose((window.low, window.high), np.percentile(tissue, (1, 99)), rtol=0.02)
    assert full_window(values) == Window("everything", 0, 30_000)
    flat = percentile_window(np.full((4, 4, 4), 3))
    assert flat.low < flat.high


def test_thinning_is_bounded_and_even() -> None:
    values = np.broadcast_to(np.arange(400, dtype=np.int16), (400, 400, 400))
    sample = thinned(values)
    assert sample.size <= 2**21
    assert sample.mean() == pytest.approx(values[0, 0].mean(), rel=0.02)


def test_a_stated_modality_is_believed_and_a_silent_file_is_guessed() -> None:
    random = np.random.default_rng(1)
    air, tissue = random.normal(-1000, 20, 4000), random.normal(40, 30, 4000)
    silent = Volume(np.concatenate([air, tissue]).reshape(20, 20, 20).astype(np.int16), np.eye(4))
    modality, sentence = modality_of(silent)
    assert modality == "CT"
    assert "does not state its modality" in sentence
    assert windows(silent)[0].name == "soft tissue"
    stated = Volume(silent.values, np.eye(4), modality="MR")
    assert modality_of(stated) == ("MR", None)
    assert windows(stated)[0].name == "1 to 99 %"


def test_real_scans_are_guessed_right(sample_data: Path) -> None:
    folder = sample_data / "volumes"
    for name, expected in {
        "ct_body/ct": "CT",
        "ct_heart/ct": "CT",
        "ct_aorta/ct": "CT",
        "mr_body/mr": None,
        "mni152/t1": None,
        "mra/mra": None,
    }.items():
        assert modality_of(open_volume(folder / f"{name}.nii.gz"))[0] == expected
