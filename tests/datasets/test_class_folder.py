"""Folders of classes: lists, counts, strange folders, images of any kind."""

from __future__ import annotations

import numpy as np
import pytest
from mmengine.registry import DefaultScope
from PIL import Image

from dense3d.datasets.class_folder import ClassFolder, read_classes
from dense3d.engine.data_classes import classes_of_config
from dense3d.errors import ConfigError, DataError
from dense3d.registry import TRANSFORMS

PIPELINE = [dict(type="LoadImageFromFile"), dict(type="ResizedCentre", size=(32, 32)), dict(type="PackImage")]


@pytest.fixture
def root(tmp_path):
    for name, count in {"cat": 2, "dog": 1}.items():
        (tmp_path / name / "deep").mkdir(parents=True)
        for number in range(count):
            pixels = np.full((40, 50, 3), 10 * number, np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / "deep" / f"{number}.png")
    return tmp_path


def of(root, **options) -> ClassFolder:
    with DefaultScope.overwrite_default_scope("dense3d"):
        return ClassFolder(data_root=str(root), pipeline=PIPELINE, **options)


def test_classes_are_folders_in_alphabetical_order(root):
    data = of(root)
    assert data.metainfo["classes"] == ("cat", "dog")
    assert [int(data[i]["data_samples"].gt_label) for i in range(len(data))] == [0, 0, 1]
    assert data.class_counts == {"cat": 2, "dog": 1}
    assert data[0]["inputs"].shape == (3, 32, 32)
    with DefaultScope.overwrite_default_scope("dense3d"):
        settings = dict(type="ClassFolder", data_root=str(root))
        known = classes_of_config({"training": dict(dataset=settings)})
    assert known.names == ("cat", "dog")


@pytest.mark.parametrize("as_file", [True, False])
def test_a_list_gives_the_order_and_may_have_classes_without_images(root, as_file):
    names = ["dog", "bird", "cat"]
    if as_file:
        (root / "classes.txt").write_text("\ufeffdog\n\nbird\ncat\n", encoding="utf-8")
    data = of(root, classes=str(root / "classes.txt") if as_file else names)
    assert data.metainfo["classes"] == tuple(names)
    assert data.class_counts == {"dog": 1, "bird": 0, "cat": 2}
    assert [data.get_data_info(i)["gt_label"] for i in range(len(data))] == [0, 2, 2]
    assert of(root, metainfo=dict(classes=names)).metainfo["classes"] == tuple(names)


def test_grey_transparent_and_16_bit_images_are_read_as_colours(root):
    for name, image in {
        "grey": Image.fromarray(np.full((40, 40), 200, np.uint8)),
        "alpha": Image.fromarray(np.full((40, 40, 4), 200, np.uint8)),
        "deep": Image.fromarray(np.full((40, 40), 200 * 257, np.uint16)),
    }.items():
        image.save(root / "dog" / f"{name}.png")
    data = of(root)
    for index in range(len(data)):
        path = data.get_data_info(index)["img_path"]
        if path.endswith(("grey.png", "alpha.png", "deep.png")):
            assert data[index]["inputs"].unique().tolist() == [200], path


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["cat"], "has one class"),
        (["cat", "bird"], "folders are none of the 2 listed classes, such as 'dog'"),
        (["cat", "dog", "cat"], "names 'cat' twice"),
        ("no/such/list.txt", "does not exist"),
    ],
)
def test_lists_that_do_not_fit_are_refused(root, classes, message):
    with pytest.raises(DataError, match=message):
        of(root, classes=classes)


def test_folders_without_classes_or_images_are_refused(tmp_path, root):
    with pytest.raises(DataError, match="does not exist"):
        read_classes(tmp_path / "nowhere")
    (tmp_path / "flat").mkdir()
    Image.new("RGB", (40, 40)).save(tmp_path / "flat" / "a.png")
    with pytest.raises(DataError, match="has no folders"):
        of(tmp_path / "flat")
    for name in ("a", "b"):
        (tmp_path / "empty" / name).mkdir(parents=True)
    with pytest.raises(DataError, match="none of its 2 classes has an image"):
        of(tmp_path / "empty")


def test_a_broken_file_is_named(root):
    (root / "dog" / "broken.png").write_bytes(b"no image")
    data = of(root, test_mode=True)
    broken = next(i for i in range(len(data)) if data.get_data_info(i)["img_path"].endswith("broken.png"))
    with pytest.raises(DataError, match=r"broken\.png"):
        data[broken]


def test_policies_of_timm_keep_size_and_kind():
    step = TRANSFORMS.build(dict(type="TimmAutoAugment", policy="rand-m9-mstd0.5-inc1"))
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    out = step({"img": image})["img"]
    assert out.shape == image.shape and out.dtype == np.uint8
    with pytest.raises(ConfigError, match="no policy 'rant-m9'"):
        TRANSFORMS.build(dict(type="TimmAutoAugment", policy="rant-m9"))
