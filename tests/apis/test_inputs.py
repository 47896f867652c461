"""What a predictor takes: one and the same image in every form, and what is refused."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from dense3d.apis.inputs import as_inputs, as_rgb, each_once, is_single
from dense3d.errors import DataError

RGB = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
EXIF_ORIENTATION = 0x0112


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.png", "a.png", "below/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), RGB[..., ::-1])
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def test_every_form_of_an_image_gives_the_same_pixels():
    tensor = torch.from_numpy(RGB).permute(2, 0, 1)
    opaque = np.dstack([RGB, np.full(RGB.shape[:2], 255, np.uint8)])
    for form in (RGB, Image.fromarray(RGB), tensor, tensor / 255, opaque, Image.fromarray(opaque)):
        assert np.array_equal(as_rgb(form), RGB)
    flipped = as_rgb(RGB[:, ::-1])
    assert flipped.flags.c_contiguous


def test_grey_images_get_three_equal_channels():
    grey = RGB[..., 0]
    for form in (grey, grey[..., None], Image.fromarray(grey), torch.from_numpy(grey)[None]):
        assert np.array_equal(as_rgb(form), np.repeat(grey[..., None], 3, axis=2))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pil_images_are_turned_as_files_are(tmp_path, orientation):
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    path = tmp_path / "photo.jpg"
    Image.fromarray(RGB).resize((32, 16)).save(path, exif=exif, quality=95)
    expected = cv2.imread(str(path))[..., ::-1].astype(int)
    with Image.open(path) as image:
        turned = as_rgb(image)
    assert turned.shape == expected.shape == ((16, 32, 3) if orientation < 5 else (32, 16, 3))
    assert np.abs(turned - expected).max() <= 2  # two decoders of JPEG


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (RGB.astype(np.float32), "an array of float32 may mean anything: give uint8"),
        (RGB.astype(np.uint16), "an array of uint16"),
        (RGB[None], r"shape \(1, 6, 9, 3\) is several images: give list"),
        (RGB.transpose(2, 0, 1), r"shape \(3, 6, 9\) is no image: give \(H, W, 3\)"),
        (RGB[:0], r"shape \(0, 9, 3\) is no image"),
        (torch.from_numpy(RGB), r"a tensor of shape \(6, 9, 3\) is no image: give \(3, H, W\)"),
        (torch.zeros(2, 3, 4, 4), "is several images: give list"),
        (torch.full((3, 4, 4), 200.0), "floats from 200 to 200 is no image: give 0 .. 1"),
        (torch.full((3, 4, 4), torch.nan), "floats from nan to nan is no image"),
        (torch.zeros(3, 4, 4, dtype=torch.int64), "an array of int64"),
        (Image.fromarray(np.zeros((4, 4), np.uint16)), "mode 'I;16' has no 8-bit colours"),
        (None, "a NoneType is no image"),
    ],
)
def test_what_is_no_image_is_told(image, message):
    with pytest.raises(DataError, match=message):
        as_rgb(image)


def test_a_truncated_pil_image_is_told(tmp_path):
    Image.fromarray(RGB).resize((200, 200)).save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:900])
    (image,) = as_inputs(Image.open(tmp_path / "cut.jpg"))
    with pytest.raises(DataError, match="image-0: the PIL image cannot be read"):
        image.pixels()


def test_files_are_found_in_order(folder):
    names = [image.path.name for image in as_inputs(folder)]
    assert names == ["a.png", "b.png", "c.png"]
    assert [image.path.name for image in as_inputs(str(folder / "*.png"))] == ["a.png", "b.png"]
    mixed = as_inputs([folder / "b.png", RGB, str(folder / "below")])
    assert [image.name for image in mixed] == [f"{folder}/b.png", "image-1", f"{folder}/below/c.png"]
    assert [image.path for image in as_inputs(str(folder / "b.png"))] == [folder / "b.png"]
    assert len(each_once(as_inputs([folder, folder / "b.png"]))) == 3


def test_what_is_there_but_no_image_is_told_and_does_not_stop_the_rest(folder, tmp_path_factory):
    (folder / "nowhere.jpg").symlink_to("gone.jpg")
    (folder / "circle.jpg").symlink_to("circle.jpg")
    (folder / "album.jpg").mkdir()
    assert [image.path.name for image in as_inputs(folder)] == [
        "a.png", "b.png", "c.png", "circle.jpg", "nowhere.jpg",
    ]  # fmt: skip
    given = [str(path) for path in sorted(folder.iterdir()) if path.suffix in (".png", ".jpg")]
    faults = {Path(image.name).name: image.fault for image in as_inputs(given) if image.fault}
    assert list(faults) == ["album.jpg"]
    assert "album.jpg names no image" in faults["album.jpg"]
    with pytest.raises(DataError, match=r"album\.jpg names no image"):
        as_inputs(folder / "album.jpg")
    with pytest.raises(DataError, match="names no image"):
        as_inputs([folder / "a.png", "misspelt.jpg"])
    with pytest.raises(DataError, match="names no image"):
        as_inputs("x" * 5000)
    with pytest.raises(DataError, match="there is no input"):
        as_inputs([])


def test_one_image_is_told_from_several(folder):
    for single in (folder / "a.png", str(folder / "a.png"), RGB, Image.fromarray(RGB), torch.zeros(3, 4, 4)):
        assert is_single(single)
    for several in (folder, str(folder / "a.*"), [RGB], (folder / "a.png",), [folder]):
        assert not is_single(several)


def test_inputs_that_name_no_image(folder):
    (folder / "empty").mkdir()
    for item in (folder / "empty", "nowhere.jpg", "nowhere/*.jpg"):
        with pytest.raises(DataError, match=f"{item.name if isinstance(item, Path) else ''}.*names no image"):
            as_inputs(item)
    with pytest.raises(DataError, match="is an address: download the image"):
        as_inputs("https://host/photo.jpg")
    with pytest.raises(DataError, match="a int is no image"):
        as_inputs(3)
    with pytest.raises(DataError, match="input 1: a dict is no image"):
        as_inputs([RGB, {}])
