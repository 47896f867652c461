"""Pictures of an evaluation: a picture an image, truth beside prediction, and no photograph replaced."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from dense3d.engine.pictures import PictureHook
from dense3d.errors import ConfigError

META = dict(classes=("cat", "dog"), palette=[(250, 0, 0), (0, 0, 250)])


def runner(warnings: list[str]) -> SimpleNamespace:
    dataset = SimpleNamespace(metainfo=META)
    return SimpleNamespace(
        model=SimpleNamespace(data_preprocessor=None),
        test_dataloader=SimpleNamespace(dataset=dataset),
        logger=SimpleNamespace(warning=warnings.append),
    )


def sample(path: Path, label: int, labelled: bool = True) -> DetDataSample:
    made = DetDataSample(metainfo=dict(img_path=str(path), ori_shape=(480, 640)))
    box = torch.tensor([[100.0, 100.0, 300.0, 300.0]])
    made.pred_instances = InstanceData(bboxes=box, scores=torch.tensor([0.9]), labels=torch.tensor([label]))
    made.gt_instances = InstanceData()
    if labelled:
        made.gt_instances = InstanceData(bboxes=box + 50, labels=torch.tensor([0]))
    return made


def photograph(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.zeros((480, 640, 3), np.uint8))
    return path


def test_images_of_one_name_get_pictures_of_their_own(tmp_path):
    names = ("a/x.jpg", "b/x.jpg", "b/X.png", "c/y.jpg")
    files = [photograph(tmp_path / name) for name in names]
    hook, warnings = PictureHook(str(tmp_path / "show")), []
    for file in files[:2], files[2:]:
        hook.after_test_iter(runner(warnings), 0, outputs=[sample(one, 1) for one in file])
    assert {path.name for path in (tmp_path / "show").iterdir()} == {"x.jpg", "x_2.jpg", "X_3.jpg", "y.jpg"}
    assert not warnings


def test_the_truth_stands_on_the_left(tmp_path):
    hook = PictureHook(str(tmp_path / "show"))
    file = photograph(tmp_path / "a/x.jpg")
    hook.after_test_iter(runner([]), 0, outputs=[sample(file, 1)])
    picture = cv2.imread(str(tmp_path / "show/x.jpg"))[..., ::-1].astype(int)
    assert picture.shape == (480 + 22, 2 * 640 + 4, 3)
    # The left edges of both boxes, in the colours of their classes.
    assert np.abs(picture[22 + 250, 150] - (250, 0, 0)).max() < 60
    assert np.abs(picture[22 + 250, 644 + 100] - (0, 0, 250)).max() < 60


def test_without_truth_there_is_one_picture(tmp_path):
    hook = PictureHook(str(tmp_path / "show"))
    hook.after_test_iter(runner([]), 0, outputs=[sample(photograph(tmp_path / "a/x.jpg"), 1, labelled=False)])
    assert cv2.imread(str(tmp_path / "show/x.jpg")).shape == (480, 640, 3)


def test_an_image_that_is_gone_is_told_of(tmp_path):
    hook, warnings = PictureHook(str(tmp_path / "show")), []
    files = [tmp_path / "a/gone.jpg", photograph(tmp_path / "a/y.jpg")]
    hook.after_test_iter(runner(warnings), 0, outputs=[sample(one, 1) for one in files])
    assert [path.name for path in (tmp_path / "show").iterdir()] == ["y.jpg"]
    assert "gone.jpg is not drawn" in warnings[0]


def test_the_folder_of_the_tested_images_is_refused(tmp_path):
    photographs = [photograph(tmp_path / name) for name in ("x.png", "x.jpg")]
    before = [path.read_bytes() for path in photographs]
    hook = PictureHook(str(tmp_path))
    with pytest.raises(ConfigError, match="holds the tested images, which pictures could replace"):
        hook.after_test_iter(runner([]), 0, outputs=[sample(one, 1) for one in photographs])
    assert [path.read_bytes() for path in photographs] == before
