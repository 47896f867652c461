"""tools/browse.py: pictures show what the model gets, the check reports faults and exits accordingly."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dense3d.apis.browsing import browse, check_data, denormalised
from dense3d.errors import ConfigError

CLASSES = ("disk", "box")
CONFIG = """
model = dict(
    type="mmdet.DETR",
    data_preprocessor=dict(
        type="DetDataPreprocessor", mean=[120, 110, 100], std=[50, 60, 70], bgr_to_rgb=True,
    ),
)
train_dataloader = dict(
    batch_size=2, num_workers=2, persistent_workers=True, sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="CocoDataset", data_root={root!r}, ann_file="annotations.json", data_prefix=dict(img="images/"),
        metainfo=dict(classes=("disk", "box")),
        pipeline=[
            dict(type="mmdet.LoadImageFromFile"),
            dict(type="mmdet.LoadAnnotations", with_bbox=True),
            dict(type="mmdet.PackDetInputs"),
        ],
    ),
)
val_dataloader = train_dataloader
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Three red images of 64 x 32 pixels, each with one box in class 0."""
    (tmp_path / "images").mkdir()
    images, annotations = [], []
    for i in range(3):
        Image.new("RGB", (64, 32), (200, 30, 10)).save(tmp_path / "images" / f"{i}.png")
        images.append(dict(id=i, file_name=f"{i}.png", width=64, height=32))
        annotations.append(dict(id=i, image_id=i, category_id=0, bbox=[16, 8, 32, 16], area=512, iscrowd=0))
    categories = [dict(id=i, name=name) for i, name in enumerate(CLASSES)]
    document = dict(images=images, annotations=annotations, categories=categories)
    (tmp_path / "annotations.json").write_text(json.dumps(document))
    path = tmp_path / "config.py"
    path.write_text(CONFIG.format(root=str(tmp_path)))
    return path


def test_sheet_shows_the_images_in_their_colours(config: Path, tmp_path: Path) -> None:
    result = browse(config, tmp_path / "out", number=2)
    assert result.drawn == 2
    (sheet,) = result.sheets
    pixels = np.asarray(Image.open(sheet))
    assert pixels.shape == (424, 2 * 564, 3)
    # The middle of the first picture lies inside the box, which is not filled.
    assert np.abs(pixels[212, 282].astype(int) - (200, 30, 10)).max() <= 2


def test_more_samples_than_fit_on_a_sheet(config: Path, tmp_path: Path) -> None:
    result = browse(config, tmp_path / "out", number=100)
    assert result.drawn == 3  # one epoch


def test_missing_split_is_named(config: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no test_dataloader"):
        browse(config, tmp_path / "out", split="test")


@pytest.mark.parametrize("bgr_to_rgb", [True, False])
def test_denormalising_undoes_the_preprocessor(bgr_to_rgb: bool) -> None:
    from mmengine.model import ImgDataPreprocessor

    preprocessor = ImgDataPreprocessor(mean=[120, 110, 100], std=[50, 60, 70], bgr_to_rgb=bgr_to_rgb)
    bgr = torch.randint(0, 256, (3, 8, 9), dtype=torch.uint8)
    image = preprocessor(dict(inputs=[bgr]))["inputs"][0]
    expected = bgr.flip(0).permute(1, 2, 0).numpy()
    assert np.array_equal(denormalised(image, preprocessor), expected)


def test_no_samples_and_no_place_are_told(config: Path, tmp_path: Path) -> None:
    for number in (0, -3):
        with pytest.raises(ConfigError, match=f"{number} samples cannot be drawn: give 1 or more"):
            browse(config, tmp_path / "out", number=number)
    with pytest.raises(ConfigError, match="/dev/null is no folder"):
        browse(config, "/dev/null")


def test_check_scans_each_data_set_once(config: Path, tmp_path: Path) -> None:
    (report,) = check_data(config)
    assert report.ok
    assert report.found == 3
    (tmp_path / "images" / "1.png").write_bytes(b"")
    (report,) = check_data(config)
    assert [fault.rule for fault in report.faults] == ["zero-bytes"]


def test_command_line(config: Path, tmp_path: Path, repository: Path) -> None:
    (tmp_path / "images" / "1.png").unlink()
    report = tmp_path / "report.json"
    command = [sys.executable, repository / "tools" / "browse.py", config, "--check", "--json", report]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "file-missing" in done.stdout
    assert "1.png" in done.stdout
    assert json.loads(report.read_text())[0]["missing"] == 1
