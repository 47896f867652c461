"""Every config of this repository loads and names nothing unknown."""

from __future__ import annotations

from pathlib import Path

import pytest

from dense3d.config import find_faults, load_config

FOLDER = Path(__file__).resolve().parents[2] / "configs"
CONFIGS = sorted(p for p in FOLDER.rglob("*.py") if "_base_" not in p.parts)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_config_has_no_faults(path):
    cfg = load_config(path)
    assert find_faults(cfg) == []
    untrained = path.stem.startswith(("sgbm_", "msm-features_"))
    trained = () if untrained else ("train_dataloader", "optim_wrapper")
    assert all(cfg.get(name) for name in ("model", "test_dataloader", *trained))
