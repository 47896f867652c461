"""Photographs that COLMAP has posed: a model beside the folder of its images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from dense3d.datasets.posed_rgb.colmap_files import (
    ColmapCamera,
    ColmapImage,
    model_suffix,
    read_cameras,
    read_images,
    read_points,
)
from dense3d.datasets.posed_rgb.distortion import Distortion
from dense3d.datasets.posed_rgb.frames import PosedFrame, PosedScene
from dense3d.datasets.posed_rgb.poses import UnknownPoseError, pinhole
from dense3d.errors import DataError
from dense3d.files import OutsideError, inside, is_file, is_folder
from dense3d.structures import PointCloud

MODEL_FOLDERS = ("sparse/0", "sparse", "colmap/sparse/0", ".")
IMAGE_FOLDERS = ("images", "input", "../images", "../../images", "../../../images", ".")
# Our lens, and OpenCV's names of the parameters after the focal lengths and the principal point.
LENSES = {
    "SIMPLE_PINHOLE": None,
    "PINHOLE": None,
    "SIMPLE_RADIAL": "opencv",
    "RADIAL": "opencv",
    "OPENCV": "opencv",
    "FULL_OPENCV": "opencv",
    "OPENCV_FISHEYE": "fisheye",
    "SIMPLE_RADIAL_FISHEYE": "fisheye",
    "RADIAL_FISHEYE": "fisheye",
}
ONE_FOCAL_LENGTH = ("SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE")


def is_colmap(root: Path) -> bool:
    """Whether a folder holds a model of COLMAP, at one of the usual places."""
    return _model_folder(root) is not None


def read_colmap(root: Path) -> PosedScene:
    """The photographs of a model, and the points that it triangulated.

    The folder of the images is ``images`` or ``input`` beside the model, or the folder itself.

    Raises:
        DataError: a file is damaged, a lens has no counterpart here, or no photograph is there.
    """
    folder = _model_folder(root)
    if folder is None:
        raise DataError(f"{root} holds no COLMAP model: cameras and images, as .bin or .txt")
    suffix = model_suffix(folder)
    cameras = read_cameras(folder / f"cameras{suffix}")
    listed = sorted(read_images(folder / f"images{suffix}"), key=lambda image: image.name)
    path = folder / f"images{suffix}"
    if not listed:
        raise DataError(f"{path} holds no photograph: none was registered; take more that overlap")
    images = _image_folder(root, folder, [image.name for image in listed])
    frames, left_out = [], []
    for image in listed:
        where = f"{path}: {image.name[:200]}"
        try:
            file = inside(images, image.name, path)
        except OutsideError as error:
            left_out.append(str(error))
            continue
        if not is_file(file):
            left_out.append(f"{where}: the photograph does not exist in {images}")
        elif image.camera_id not in cameras:
            raise DataError(f"{where} is of camera {image.camera_id}, which cameras{suffix} does not have")
        else:
            try:
                frames.append(_frame(image, cameras[image.camera_id], file, where))
            except UnknownPoseError as error:
                left_out.append(str(error))
    if not frames:
        raise DataError(f"{root}: none of its {len(left_out)} photographs can be used; {left_out[0]}")
    points = _points(folder / f"points3D{suffix}")
    return PosedScene(root, "colmap", tuple(frames), left_out=tuple(left_out), points=points)


def _model_folder(root: Path) -> Path | None:
    return next((root / name for name in MODEL_FOLDERS if model_suffix(root / name)), None)


def _image_folder(root: Path, model: Path, names: list[str]) -> Path:
    """The folder that has the first of the images, else the first folder of a usual name."""
    candidates = [root / name for name in IMAGE_FOLDERS[:2]] + [model / name for name in IMAGE_FOLDERS]
    for folder in candidates:
        if any(is_file(folder / name) for name in names[:20] if ".." not in name):
            return folder
    return next((folder for folder in candidates[:2] if is_folder(folder)), root / "images")


def _frame(image: ColmapImage, camera: ColmapCamera, file: Path, where: str) -> PosedFrame:
    if not np.isfinite([*image.rotation, *image.translation]).all():
        raise UnknownPoseError(f"{where}: the pose is not finite: the camera was lost there")
    length = np.linalg.norm(image.rotation)
    if not 0.9 < length < 1.1:
        raise DataError(f"{where}: the quaternion has the length {length:g}, not 1; copy the model again")
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_quat(np.roll(image.rotation, -1)).as_matrix().T  # SciPy has w last
    pose[:3, 3] = -pose[:3, :3] @ image.translation
    if camera.model not in LENSES:
        raise DataError(
            f"{where}: lenses of model {camera.model} cannot be undistorted here; make images of a pinhole "
            "camera with COLMAP's image_undistorter"
        )
    first = 1 if camera.model in ONE_FOCAL_LENGTH else 2
    focal, center = camera.params[:first] * (3 - first), camera.params[first : first + 2]
    rest, lens = camera.params[first + 2 :], LENSES[camera.model]
    distortion = Distortion(lens, rest) if lens is not None and (any(rest) or lens == "fisheye") else None
    return PosedFrame(
        name=image.name,
        image_path=file,
        camera=pinhole((camera.width, camera.height), focal, (center[0] - 0.5, center[1] - 0.5), pose, where),
        distortion=distortion,
    )


def _points(path: Path) -> PointCloud | None:
    if not is_file(path):
        return None
    points, colors = read_points(path)
    return PointCloud(points, colors=colors / 255, name=str(path)).finite()[0] if len(points) else None
