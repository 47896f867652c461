"""The picture of the page, small, from the real volumes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import cv2
import numpy as np

SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "draw_volumes.py"


def test_the_picture_of_the_page_is_drawn(sample_data, tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("draw_volumes", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.setattr(script, "SIDE", 48)
    target = tmp_path / "picture.png"
    monkeypatch.setattr(sys, "argv", ["draw", "--data", str(sample_data / "volumes"), "--out", str(target)])
    script.main()
    pixels = cv2.imread(str(target))
    assert pixels.shape == (48, 4 * 48, 3)
    for part in np.split(pixels, 4, axis=1):
        assert len(np.unique(part.reshape(-1, 3), axis=0)) > 30
