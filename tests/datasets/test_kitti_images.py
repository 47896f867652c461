"""Images of KITTI's layout are read as those of all other data sets, and drawn on as they were read."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from dense3d.datasets.kitti.transforms import LoadKittiFrame
from dense3d.errors import DataError
from dense3d.results import Result

RGB = cv2.resize(np.random.default_rng(0).integers(0, 256, (3, 5, 3), dtype=np.uint8), (60, 40))


def loaded(path) -> np.ndarray:
    return LoadKittiFrame()({"img_path": str(path)})["img"]


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_images_are_upright_and_drawn_on_upright(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"000000.{suffix}"
    Image.fromarray(RGB).save(path, exif=exif, quality=100)
    pixels = loaded(path)
    upright = {1: RGB, 3: RGB[::-1, ::-1], 6: np.rot90(RGB, -1)}[orientation]
    assert pixels.shape == upright.shape
    assert np.abs(pixels.astype(int) - upright).mean() < 4
    assert np.array_equal(Result("a", path=path).image, pixels)


def test_sixteen_bits_become_eight(tmp_path):
    cv2.imwrite(str(tmp_path / "0.png"), RGB[..., ::-1].astype(np.uint16) * 257)
    cv2.imwrite(str(tmp_path / "1.png"), RGB[..., 0].astype(np.uint16) * 257)
    assert np.array_equal(loaded(tmp_path / "0.png"), RGB)
    assert np.array_equal(loaded(tmp_path / "1.png"), np.repeat(RGB[..., :1], 3, axis=2))


def test_what_cannot_be_read_is_named(tmp_path):
    (tmp_path / "cut.png").write_bytes(cv2.imencode(".png", RGB)[1].tobytes()[:200])
    for name in ("cut.png", "gone.png"):
        with pytest.raises(DataError, match=name):
            loaded(tmp_path / name)
