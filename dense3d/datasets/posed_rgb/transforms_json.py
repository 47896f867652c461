"""``transforms.json`` of nerfstudio and instant-ngp, and Blender's ``transforms_{train,val,test}.json``.

The files' camera axes are OpenGL's, and the corner of the first pixel is the origin of ``cx`` and ``cy``.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from dense3d.datasets.posed_rgb.distortion import Distortion
from dense3d.datasets.posed_rgb.frames import PosedFrame, PosedScene
from dense3d.datasets.posed_rgb.poses import OPENCV_FROM_OPENGL, UnknownPoseError, pinhole, pose_of
from dense3d.datasets.posed_rgb.scannet import size_of
from dense3d.errors import DataError
from dense3d.files import CONTROL, is_file
from dense3d.image_files import IMAGE_SUFFIXES
from dense3d.structures import read_cloud

SPLITS = ("train", "val", "test")
PINHOLES = ("PINHOLE", "SIMPLE_PINHOLE", "PERSPECTIVE")
LENSES = ("OPENCV", "FULL_OPENCV", "RADIAL", "SIMPLE_RADIAL")
FISHEYES = ("OPENCV_FISHEYE", "FISHEYE")
NERFSTUDIO_DEPTH_UNIT = 1e-3
# What is read of a frame; the rest is kept as it is.
FRAME_KEYS = {"file_path", "transform_matrix", "mask_path", "depth_file_path", "depth_path", "time"}
CAMERA_KEYS = {
    *("fl_x", "fl_y", "cx", "cy", "w", "h", "camera_angle_x", "camera_angle_y", "camera_model", "is_fisheye"),
    *("k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2"),
}
SCENE_KEYS = {*CAMERA_KEYS, "frames", "ply_file_path", *(f"{name}_filenames" for name in SPLITS)}


def read_transforms(path: Path) -> PosedScene:
    """One file with all frames of a scene.

    Raises:
        DataError: the file is damaged, a frame lacks something or its numbers are nonsense, a camera model is
            none of perspective or fisheye lenses, or no photograph is there.
    """
    content = _load(path)
    frames, left_out = _frames(path, content)
    if not frames:
        raise DataError(f"{path}: none of its {len(left_out)} photographs can be used; {left_out[0]}")
    splits = {}
    for name in SPLITS:
        listed = content.get(f"{name}_filenames")
        if listed is not None:
            if not isinstance(listed, list):
                raise DataError(f"{path}: {name}_filenames must be a list of file names")
            splits[name] = tuple(_tidy(str(file)) for file in listed)
    extra = {key: value for key, value in content.items() if key not in SCENE_KEYS}
    cloud = _other(path, content.get("ply_file_path"), str(path))
    points = None if cloud is None else read_cloud(cloud)
    return PosedScene(path.parent, "transforms", tuple(frames), splits, tuple(left_out), extra, points)


def read_blender(root: Path) -> PosedScene:
    """The files of all splits together; names are unique since the splits have folders of their own.

    Raises:
        DataError: as for :func:`read_transforms`.
    """
    frames: list[PosedFrame] = []
    left_out: list[str] = []
    splits, extra = {}, {}
    for name in SPLITS:
        path = root / f"transforms_{name}.json"
        if not is_file(path):
            continue
        content = _load(path)
        own, missing = _frames(path, content)
        taken = {frame.name for frame in frames}
        own = [replace(f, name=f"{name}:{f.name}") if f.name in taken else f for f in own]
        frames += own
        left_out += missing
        splits[name] = tuple(frame.name for frame in own)
        extra.update({key: value for key, value in content.items() if key not in SCENE_KEYS})
    if not frames:
        raise DataError(f"{root}: none of its {len(left_out)} photographs can be used; {left_out[0]}")
    return PosedScene(root, "blender", tuple(frames), splits, tuple(left_out), extra)


def _load(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as JSON ({error})") from None
    frames = content.get("frames") if isinstance(content, dict) else None
    if not isinstance(frames, list) or not frames:
        raise DataError(f"{path} has no list 'frames' with photographs: it is no transforms file")
    return content


def _frames(path: Path, content: dict[str, Any]) -> tuple[list[PosedFrame], list[str]]:
    """Usable frames, and a sentence for each of the others."""
    frames, left_out = [], []
    sizes: dict[str, tuple[int, int]] = {}
    for number, entry in enumerate(content["frames"]):
        where = f"{path}, frame {number}"
        if not isinstance(entry, dict) or not isinstance(entry.get("file_path"), str):
            raise DataError(f"{where} names no photograph (file_path)")
        image = _image(path.parent, _named(entry["file_path"], where))
        where = f"{where} ({entry['file_path'][:200]})"
        if image is None:
            left_out.append(f"{where}: the photograph does not exist")
            continue
        try:
            frames.append(_frame(path, content, entry, image, where, sizes))
        except UnknownPoseError as error:
            left_out.append(str(error))
    return frames, left_out


def _frame(
    path: Path,
    content: dict[str, Any],
    entry: dict[str, Any],
    image: Path,
    where: str,
    sizes: dict[str, tuple[int, int]],
) -> PosedFrame:
    if "transform_matrix" not in entry:
        raise DataError(f"{where} has no transform_matrix")
    pose = pose_of(entry["transform_matrix"], f"{where}: transform_matrix") @ OPENCV_FROM_OPENGL
    camera = {key: entry.get(key, content.get(key)) for key in CAMERA_KEYS}
    numbers = {key: _number(value, key, where) for key, value in camera.items() if key not in _WORDS}
    size = _size(numbers, image, sizes, where)
    focal, center = _focal(numbers, size, where), _center(numbers, size)
    depth = entry.get("depth_file_path") or entry.get("depth_path")
    unit = _number(content.get("integer_depth_scale"), "integer_depth_scale", where)
    if unit is None:  # instant-ngp's name, else nerfstudio's and its default
        unit = _number(content.get("depth_unit_scale_factor"), "depth_unit_scale_factor", where)
    is_png = str(depth).lower().endswith(".png")
    if unit is None:
        unit = NERFSTUDIO_DEPTH_UNIT if is_png else 1.0
    return PosedFrame(
        name=_tidy(entry["file_path"]),
        image_path=image,
        camera=pinhole(size, focal, center, pose, where),
        distortion=_distortion(camera, numbers, where),
        mask_path=_other(path, entry.get("mask_path"), where),
        depth_path=_other(path, depth, where),
        depth_unit=unit,
        time=_number(entry.get("time"), "time", where),
        extra={key: value for key, value in entry.items() if key not in FRAME_KEYS | CAMERA_KEYS},
    )


_WORDS = ("camera_model", "is_fisheye")


def _number(value: Any, key: str, where: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise DataError(f"{where}: {key} is {str(value)[:80]!r}, which is no number")
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _size(
    numbers: dict[str, Any], image: Path, sizes: dict[str, tuple[int, int]], where: str
) -> tuple[int, int]:
    """Width and height as stated, else those of the first image: a header is read once."""
    if numbers["w"] is not None and numbers["h"] is not None:
        if not (1 <= numbers["w"] < 1e9 and 1 <= numbers["h"] < 1e9):
            raise DataError(f"{where}: images of w = {numbers['w']:g}, h = {numbers['h']:g} pixels")
        return int(numbers["w"]), int(numbers["h"])
    if "" not in sizes:
        sizes[""] = size_of(image)
    return sizes[""]


def _focal(numbers: dict[str, Any], size: tuple[int, int], where: str) -> tuple[float, float]:
    """fl_x and fl_y, each else from its field of view, else like the other one."""
    focal: list[float | None] = []
    for number, (length, angle) in enumerate((("fl_x", "camera_angle_x"), ("fl_y", "camera_angle_y"))):
        value = numbers[length]
        if value is None and numbers[angle] is not None:
            if not 0 < numbers[angle] < math.pi:
                raise DataError(f"{where}: {angle} is {numbers[angle]:g}, but lies between 0 and pi radians")
            value = size[number] / (2 * math.tan(numbers[angle] / 2))
        focal.append(value)
    x, y = focal
    if x is None and y is None:
        raise DataError(f"{where} has no focal length: neither fl_x nor camera_angle_x, for it or for all")
    return (y if x is None else x), (x if y is None else y)


def _center(numbers: dict[str, Any], size: tuple[int, int]) -> tuple[float, float]:
    x, y = (size[i] / 2 if numbers[key] is None else numbers[key] for i, key in enumerate(("cx", "cy")))
    return x - 0.5, y - 0.5


def _distortion(camera: dict[str, Any], numbers: dict[str, Any], where: str) -> Distortion | None:
    model = str(camera["camera_model"] or "OPENCV").upper()
    if model not in (*PINHOLES, *LENSES, *FISHEYES):
        known = ", ".join((*PINHOLES, *LENSES, *FISHEYES))
        raise DataError(f"{where}: the camera model {str(camera['camera_model'])[:80]!r} is none of {known}")
    fisheye = bool(camera["is_fisheye"]) or model in FISHEYES
    names = ("k1", "k2", "k3", "k4") if fisheye else ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")
    if not fisheye and model != "FULL_OPENCV":
        names = names[:5]
        if numbers["k4"]:
            raise DataError(
                f"{where}: k4 of {model} means one thing in nerfstudio and another in OpenCV: set it to 0, "
                "or name the model FULL_OPENCV or OPENCV_FISHEYE"
            )
    values = tuple(numbers[name] or 0.0 for name in names)
    if model in PINHOLES and not fisheye:
        return None
    if not any(values) and not fisheye:
        return None
    return Distortion("fisheye" if fisheye else "opencv", values)


def _tidy(name: str) -> str:
    """A file's name as both lists and frames may write it: ``./images\\0.png`` is ``images/0.png``."""
    return PurePosixPath(name.replace("\\", "/")).as_posix()


def _named(name: Any, where: str) -> str:
    if not isinstance(name, str) or not name.strip() or CONTROL.search(name):
        raise DataError(f"{where}: {str(name)[:80]!r} is no name of a file")
    return name


def _image(root: Path, name: str) -> Path | None:
    """The photograph; Blender's files leave the suffix out."""
    path = root / _tidy(name)
    if is_file(path):
        return path
    if not path.name:
        return None
    candidates = (path.with_name(path.name + suffix) for suffix in (".png", *IMAGE_SUFFIXES))
    return next((candidate for candidate in candidates if is_file(candidate)), None)


def _other(path: Path, name: Any, where: str) -> Path | None:
    if name is None:
        return None
    file = path.parent / _tidy(_named(name, where))
    if not is_file(file):
        raise DataError(f"{where}: {file} does not exist; restore it or take its name out of {path.name}")
    return file
