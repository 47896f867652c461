"""Folders of images without labels, and what MAE does to them before training."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from dense3d.datasets.image_folder import ImageFolder, PackImage, RandomResizedCrop, ResizedCentre
from dense3d.datasets.strict import SampleError
from dense3d.errors import DataError

PIPELINE = [dict(type="LoadImageFromFile", _scope_="dense3d"), dict(type="PackImage", _scope_="dense3d")]


@pytest.fixture
def folder(tmp_path) -> Path:
    """Images at three depths, one with an upper-case suffix, and a file that is no image."""
    for number, name in enumerate(("b.png", "n01/c.JPEG", "n01/deep/a.jpg")):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        assert cv2.imwrite(str(path), np.full((20, 30 + number, 3), 40 * number, np.uint8))
    (tmp_path / "n01/labels.txt").write_text("no image")
    return tmp_path


def test_images_at_any_depth_in_the_order_of_their_paths(folder):
    dataset = ImageFolder(data_root=str(folder), pipeline=PIPELINE)
    names = [dataset.get_data_info(i)["img_path"] for i in range(len(dataset))]
    assert names == [str(folder / name) for name in ("b.png", "n01/c.JPEG", "n01/deep/a.jpg")]
    sample = dataset[2]
    assert sample["inputs"].shape == (3, 20, 32)
    assert sample["data_samples"].img_path == names[2]
    assert len(ImageFolder(data_root=str(folder), pipeline=[], indices=2)) == 2


def test_missing_and_empty_folders_are_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere is no folder: set data_root"):
        ImageFolder(data_root=str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="holds no image"):
        ImageFolder(data_root=str(tmp_path))


def test_a_broken_image_is_named_or_skipped(folder):
    (folder / "a.jpg").write_bytes(b"")
    with pytest.raises(SampleError, match=r"a\.jpg"):
        ImageFolder(data_root=str(folder), pipeline=PIPELINE)[0]
    dataset = ImageFolder(data_root=str(folder), pipeline=PIPELINE, skip_bad_samples=True)
    assert dataset[0]["data_samples"].img_path.endswith("b.png")
    assert len(dataset.bad_samples()) == 1


def test_crops_lie_in_the_image_and_cover_the_wanted_part():
    """Pixels hold their own place, so a crop tells where it was cut out."""
    height, width = 120, 160
    rows, columns = np.mgrid[0:height, 0:width].astype(np.uint8)
    image = np.stack([rows, columns, np.zeros_like(rows)], axis=2)
    crop = RandomResizedCrop((48, 48), area=(0.2, 1.0))
    torch.manual_seed(0)
    parts, ratios = [], []
    for _ in range(60):
        results = crop.transform({"img": image})
        low, high = results["img"][..., :2].min((0, 1)), results["img"][..., :2].max((0, 1))
        tall, wide = (high.astype(int) - low + 1).tolist()
        parts.append(tall * wide / (height * width))
        ratios.append(wide / tall)
        assert results["img"].shape == (48, 48, 3)
        assert results["img_shape"] == (48, 48)
    assert min(parts) > 0.17
    assert max(parts) > 0.8
    assert 0.7 < min(ratios) < 0.9 < 1.1 < max(ratios) < 1.42


def test_a_crop_is_what_pillow_makes_of_it():
    """The official code resizes with Pillow; torchvision draws the place."""
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    crop = RandomResizedCrop((16, 24))
    torch.manual_seed(3)
    got = crop.transform({"img": image})["img"]
    torch.manual_seed(3)
    top, left, height, width = crop.crop.make_params([torch.empty(3, 50, 70)]).values()
    cut = Image.fromarray(image).crop((left, top, left + width, top + height))
    assert np.array_equal(got, np.asarray(cut.resize((24, 16), Image.BICUBIC)))


@pytest.mark.parametrize("shape", [(40, 80), (80, 40), (33, 33), (200, 300)])
def test_the_middle_of_an_image_fills_the_crop(shape):
    image = np.zeros((*shape, 3), np.uint8)
    image[shape[0] // 2 :, :, 0] = 255
    image[:, shape[1] // 2 :, 1] = 255
    got = ResizedCentre((32, 32), margin=1.0).transform({"img": image})["img"]
    assert got.shape == (32, 32, 3)
    corners = {(0, 0): (0, 0, 0), (31, 0): (255, 0, 0), (0, 31): (0, 255, 0), (31, 31): (255, 255, 0)}
    for place, colour in corners.items():
        assert tuple(got[place]) == colour


def test_packing_keeps_the_pixels():
    image = np.random.default_rng(0).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    packed = PackImage().transform({"img": image, "img_path": "x.jpg", "ori_shape": (16, 18)})
    assert torch.equal(packed["inputs"], torch.from_numpy(image).permute(2, 0, 1))
    assert packed["data_samples"].ori_shape == (16, 18)
