"""What tools write into transforms files and scans, right and wrong; every fault is named with its file."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from dense3d.datasets.posed_rgb import Distortion, read_scene
from dense3d.errors import DataError

POSE = np.eye(4)
POSE[:3, 3] = (1, 2, 3)


def picture(path: Path, size=(40, 30), channels=3) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(0).integers(0, 255, (size[1], size[0], channels), dtype=np.uint8)
    cv2.imwrite(str(path), values)


@pytest.fixture
def scene(tmp_path: Path):
    """Writes a transforms.json of three photographs, with changes."""
    for number in range(3):
        picture(tmp_path / f"images/{number}.png")

    def write(frame=None, name="transforms.json", **content) -> Path:
        frames = [
            {
                "file_path": f"images/{number}.png",
                "transform_matrix": POSE.tolist(),
                **(frame or {} if number == 1 else {}),
            }
            for number in range(3)
        ]
        document = {"fl_x": 50.0, "cx": 20.5, "cy": 15.0, "w": 40, "h": 30, "frames": frames, **content}
        document = {key: value for key, value in document.items() if value is not None}
        (tmp_path / name).write_text(json.dumps(document))
        return tmp_path

    return write


def test_axes_and_pixels_become_opencv_s(scene) -> None:
    frame = read_scene(scene()).frames[0]
    np.testing.assert_array_equal(frame.camera.intrinsics, [[50, 0, 20], [0, 50, 14.5], [0, 0, 1]])
    # OpenGL's camera looks along -z with y up: the point two units before it
    pixels, depth = frame.project(np.array([[1.0, 2.0, 1.0], [1.1, 2.2, 1.0]]))
    np.testing.assert_allclose(pixels, [[20, 14.5], [20 + 50 * 0.05, 14.5 - 50 * 0.1]])
    np.testing.assert_allclose(depth, [2, 2])


def test_frames_may_have_cameras_masks_depth_and_time_of_their_own(scene, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "mask.png"), np.pad(np.full((30, 20), 255, np.uint8), ((0, 0), (0, 20))))
    cv2.imwrite(str(tmp_path / "depth.png"), np.full((30, 40), 1500, np.uint16))
    frame = dict(
        fl_x=60, fl_y=61, cx=19.5, k1=0.1, mask_path="mask.png", depth_file_path="depth.png", time=0.5,
        sharpness=7, transform_matrix=POSE[:3].tolist(), file_path=".\\images\\1.png",
    )  # fmt: skip
    read = read_scene(scene(frame, applied_scale=2.0, val_filenames=["./images/1.png"]))
    assert read.extra == {"applied_scale": 2.0} and not read.depth_is_known()
    (own,) = read.split("val").frames
    assert own.camera.intrinsics[[0, 1, 0], [0, 1, 2]].tolist() == [60, 61, 19]
    assert (
        own.distortion == Distortion("opencv", (0.1,)) and own.time == 0.5 and own.extra == {"sharpness": 7}
    )
    assert own.read_mask().sum() == 600 and read.frames[0].read_mask() is None
    np.testing.assert_allclose(own.read_depth(), 1.5)
    for unit, key in ((0.01, "integer_depth_scale"), (0.002, "depth_unit_scale_factor")):
        read = read_scene(scene(frame, **{key: unit}))
        np.testing.assert_allclose(read.frames[1].read_depth(), 1500 * unit)
    with pytest.raises(DataError, match="there is no depth"):
        read.frames[0].read_depth()


def test_angles_sizes_and_centres_may_stand_for_lengths(scene) -> None:
    angle = 2 * math.atan(0.5)
    frames = read_scene(scene(fl_x=None, cx=None, cy=None, w=None, h=None, camera_angle_x=angle)).frames
    np.testing.assert_allclose(frames[0].camera.intrinsics, [[40, 0, 19.5], [0, 40, 14.5], [0, 0, 1]])
    with pytest.raises(DataError, match="neither fl_x nor camera_angle_x"):
        read_scene(scene(fl_x=None))
    with pytest.raises(DataError, match="between 0 and pi"):
        read_scene(scene(fl_x=None, camera_angle_x=45))


def test_what_is_missing_or_lost_is_counted(scene) -> None:
    read = read_scene(scene(dict(file_path="images/gone.png")))
    assert [frame.name for frame in read.frames] == ["images/0.png", "images/2.png"]
    assert len(read.left_out) == 1 and "frame 1 (images/gone.png): the photograph" in read.left_out[0]
    lost = POSE.copy()
    lost[0, 3] = math.nan
    read = read_scene(scene(dict(transform_matrix=lost.tolist())))
    assert len(read.frames) == 2 and "is not finite: the camera was lost" in read.left_out[0]
    with pytest.raises(DataError, match="none of its 3 photographs can be used"):
        read_scene(
            scene(frames=[dict(file_path=f"{n}.png", transform_matrix=POSE.tolist()) for n in range(3)])
        )


@pytest.mark.parametrize(
    ("frame", "content", "told"),
    [
        ({}, dict(cx=80.0), "cx is 79.5 in an image of 40 x 30 pixels: the intrinsics belong to another"),
        ({}, dict(fl_x=-50.0), "must be finite, size and focal lengths positive"),
        ({}, dict(fl_x="50"), "frame 0 .images/0.png.: fl_x is '50', which is no number"),
        ({}, dict(camera_model="EQUIRECTANGULAR"), "camera model 'EQUIRECTANGULAR' is none of PINHOLE"),
        ({}, dict(k4=0.1), "k4 of OPENCV means one thing in nerfstudio"),
        ({}, dict(k1=1e999), "finite coefficients|cannot be read as JSON"),
        ({}, dict(w=1e999), "images of w = inf, h = 30 pixels"),
        ({}, dict(fl_x=10**400), "must be finite"),
        (dict(file_path="a\nb.png"), {}, r"frame 1: 'a.nb.png' is no name of a file"),
        (dict(depth_file_path=3), {}, "'3' is no name of a file"),
        ({}, dict(frames=[]), "has no list 'frames'"),
        ({}, dict(frames=[3]), "frame 0 names no photograph"),
        ({}, dict(train_filenames="a"), "train_filenames must be a list"),
        (dict(transform_matrix=np.diag([1.0, 1, -1, 1]).tolist()), {}, "frame 1 .*mirrors"),
        (dict(transform_matrix=np.diag([1.0, 2, 1, 1]).tolist()), {}, "is no rigid motion: it stretches"),
        (dict(transform_matrix=np.eye(3).tolist()), {}, "has the shape"),
        (dict(transform_matrix="x"), {}, "is no matrix of numbers"),
        (dict(depth_file_path="no.png"), {}, "no.png does not exist; restore it or take its name out"),
        (dict(mask_path="no.png"), {}, "no.png does not exist"),
    ],
)  # fmt: skip
def test_faults_of_transforms_files_are_named(scene, frame, content, told) -> None:
    with pytest.raises(DataError, match=f"transforms.json.*{told}" if "|" not in told else told):
        read_scene(scene(frame, **content))


def test_faults_of_pictures_are_named_when_they_are_read(scene, tmp_path: Path) -> None:
    read = read_scene(scene(w=80, h=60, cx=41.0, cy=30.0))
    with pytest.raises(DataError, match="is 40 x 30 pixels, but its camera is of images of 80 x 60: use"):
        read.frames[0].read_image()
    with pytest.raises(DataError, match="defines no split 'training'; did you mean 'train'"):
        read_scene(scene(train_filenames=["images/0.png"]), "training")
    with pytest.raises(DataError, match="no photograph of the split 'train'"):
        read_scene(scene(train_filenames=["images/7.png"]), "train")
    (tmp_path / "transforms.json").write_text("{")
    with pytest.raises(DataError, match="cannot be read as JSON"):
        read_scene(tmp_path)
    with pytest.raises(DataError, match="does not exist: name a folder"):
        read_scene(tmp_path / "no")
    with pytest.raises(DataError, match=r"neither transforms.json, nor"):
        read_scene(tmp_path / "images")


def test_cameras_are_of_pixels_as_they_are_stored(scene, tmp_path: Path) -> None:
    """COLMAP does not turn a photograph of a telephone as its EXIF data ask for."""
    from PIL import Image

    path = scene()
    image = Image.open(tmp_path / "images/0.png")
    exif = image.getexif()
    exif[0x0112] = 6  # a quarter turn
    for number in range(3):
        (tmp_path / f"images/{number}.png").unlink()
        image.save(tmp_path / f"images/{number}.jpg", quality=95, exif=exif)
    content = json.loads((path / "transforms.json").read_text())
    for number, entry in enumerate(content["frames"]):
        entry["file_path"] = f"images/{number}.jpg"
    for keys in ((), ("w", "h")):  # stated, and read from the header
        stated = {key: value for key, value in content.items() if key not in keys}
        (path / "transforms.json").write_text(json.dumps(stated))
        frame = read_scene(path).frames[1]
        assert (frame.camera.width, frame.camera.height) == (40, 30)
        for pixels in (frame.read_image(), frame.read_image(alpha=True)[..., :3]):
            np.testing.assert_array_equal(pixels, np.asarray(Image.open(frame.image_path).convert("RGB")))


def test_slightly_or_evenly_wrong_rotations_become_rigid(scene) -> None:
    rotation = cv2.Rodrigues(np.array([0.3, -0.2, 0.1]))[0]
    for matrix in (np.round(rotation, 4), 1.7 * rotation):
        pose = POSE.copy()
        pose[:3, :3] = matrix
        frame = read_scene(scene(dict(transform_matrix=pose.tolist()))).frames[1]
        np.testing.assert_allclose(frame.camera.rotation @ np.diag([1, -1, -1]), rotation, atol=1e-4)
        np.testing.assert_allclose(frame.camera.rotation.T @ frame.camera.rotation, np.eye(3), atol=1e-12)


def test_blender_s_files_leave_suffixes_out_and_share_names(tmp_path: Path) -> None:
    for split in ("train", "test"):
        picture(tmp_path / "all/r_0.png", channels=4)
        document = dict(
            camera_angle_x=0.7, frames=[dict(file_path="./all/r_0", transform_matrix=POSE.tolist())]
        )
        (tmp_path / f"transforms_{split}.json").write_text(json.dumps(document))
    read = read_scene(tmp_path)
    assert read.splits == {"train": ("all/r_0",), "test": ("test:all/r_0",)}
    assert read.frames[0].read_image().shape == (30, 40, 3)
    assert read.frames[0].read_image(alpha=True).shape == (30, 40, 4)
    assert len(read.split("test").frames) == 1


@pytest.mark.parametrize("model", ["OPENCV_FISHEYE", "FULL_OPENCV", "OPENCV"])
def test_lenses_invert_and_agree_with_opencv(scene, model: str) -> None:
    values = dict(k1=0.06, k2=-0.03, k3=0.01)
    values.update(
        {"OPENCV_FISHEYE": dict(k4=0.002), "FULL_OPENCV": dict(k4=0.01, p1=1e-3), "OPENCV": dict(p2=2e-3)}[
            model
        ]
    )
    frame = read_scene(scene(camera_model=model, **values)).frames[0]
    pixels = np.random.default_rng(0).uniform((0, 0), (40, 30), (50, 2))
    k = frame.camera.intrinsics
    seen = frame.distortion.distort(pixels, k)
    assert np.abs(seen - pixels).max() > 0.01
    np.testing.assert_allclose(frame.distortion.undistort(seen, k), pixels, atol=1e-6)
    points = frame.camera.unproject(pixels, np.full(50, 3.0))
    np.testing.assert_allclose(frame.project(points)[0], seen, atol=1e-9)
    x, y = (pixels[:, 0] - k[0, 2]) / k[0, 0], (pixels[:, 1] - k[1, 2]) / k[1, 1]
    r = np.hypot(x, y)
    if model == "OPENCV_FISHEYE":
        theta = np.arctan(r)
        powers = sum(values[f"k{i}"] * theta ** (2 * i) for i in range(1, 5))
        np.testing.assert_allclose(seen[:, 0], k[0, 0] * x * theta * (1 + powers) / r + k[0, 2], atol=1e-9)
    if model == "OPENCV":
        radial = 1 + 0.06 * r**2 - 0.03 * r**4 + 0.01 * r**6
        expected = x * radial + 2e-3 * (r**2 + 2 * x**2)
        np.testing.assert_allclose(seen[:, 0], k[0, 0] * expected + k[0, 2], atol=1e-9)


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """A scan of four frames: the second lost its pose, the third has no pose file."""
    (tmp_path / "pose").mkdir()
    (tmp_path / "intrinsic").mkdir()
    for number in range(4):
        picture(tmp_path / f"color/{number}.jpg")
        (tmp_path / "depth").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / f"depth/{number}.png"), np.full((15, 20), 2500, np.uint16))
        if number != 2:
            np.savetxt(tmp_path / f"pose/{number}.txt", np.full((4, 4), -np.inf) if number == 1 else POSE)
    np.savetxt(
        tmp_path / "intrinsic/intrinsic_color.txt",
        [[50, 0, 19, 0], [0, 51, 14, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
    )
    np.savetxt(
        tmp_path / "intrinsic/intrinsic_depth.txt", [[25, 0, 9, 0], [0, 25, 7, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    )
    return tmp_path


def test_scans_leave_out_lost_poses(scan: Path) -> None:
    read = read_scene(scan)
    assert [frame.name for frame in read.frames] == ["0", "3"]
    assert [Path(text.split(":")[0].split(" is ")[0]).stem for text in read.left_out] == ["1", "2"]
    frame = read.frames[0]
    np.testing.assert_array_equal(frame.camera.camera_to_world, POSE)
    assert frame.camera.intrinsics[1, 1] == 51 and frame.depth_model.intrinsics[1, 1] == 25
    depth = frame.read_depth()
    assert depth.shape == (15, 20) and np.allclose(depth, 2.5) and read.depth_is_known()


def test_faults_of_scans_are_named(scan: Path) -> None:
    color = scan / "intrinsic/intrinsic_color.txt"
    np.savetxt(color, np.diag([500.0, 500, 1, 1]) + np.eye(4, k=2) * 320)
    with pytest.raises(DataError, match="the intrinsics belong to another image size"):
        read_scene(scan)
    color.write_text("1 2\n3\n")
    with pytest.raises(DataError, match=r"intrinsic_color.txt cannot be read as a matrix"):
        read_scene(scan)
    color.unlink()
    shutil.rmtree(scan / "depth")
    np.savetxt(scan / "intrinsic/intrinsic_depth.txt", [[25, 0, 19], [0, 25, 14], [0, 0, 1]])
    assert read_scene(scan / ".").frames[0].camera.intrinsics[0, 0] == 25  # as in exports at the depth's size
    (scan / "intrinsic/intrinsic_depth.txt").unlink()
    with pytest.raises(DataError, match=r"has neither of intrinsic_color.txt, intrinsic_depth.txt"):
        read_scene(scan)
