"""SUN RGB-D with its photographs: one frame a scene, in the upright depth frame."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dense3d.datasets.pointcloud.loading import Arrays, reader
from dense3d.datasets.pointcloud.sunrgbd import SunRgbdPoints
from dense3d.datasets.posed_rgb.frames import PosedFrame
from dense3d.datasets.posed_rgb.poses import pinhole, pose_of
from dense3d.datasets.posed_rgb.scannet import size_of
from dense3d.datasets.prepared.sunrgbd import V2, list_frames, read_frame
from dense3d.errors import DataError
from dense3d.files import is_file, is_folder
from dense3d.registry import DATASETS

FOLDER = "sunrgbd_trainval"  # of VoteNet's export: calib and image
# x right, y forward, z up, to OpenCV's axes
AXES = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


@DATASETS.register_module()
class SunRgbdViews(SunRgbdPoints):
    """Clouds of :class:`~dense3d.datasets.pointcloud.sunrgbd.SunRgbdPoints` with photograph and camera.

    Layouts: VoteNet's clouds beside ``sunrgbd_trainval/{image/<id>.jpg,calib/<id>.txt}``, as PiMAE reads
    them; ``sunrgbd_infos.json`` with ``image`` and ``depth2img`` of each sample; or the data set as it is
    distributed (``SUNRGBD/``, ``SUNRGBDMeta3DBB_v2.mat``, ``SUNRGBDtoolbox/``).

    Args:
        **kwargs: of :class:`~dense3d.datasets.pointcloud.sunrgbd.SunRgbdPoints`.

    Raises:
        DataError: a photograph or its calibration is missing or damaged.
    """

    def records(self) -> Iterator[dict[str, Any]]:
        """The frames in the order of their names."""
        if is_file(self.root / V2) or is_file(self.root / "OFFICIAL_SUNRGBD" / V2):
            yield from self._official()
            return
        known = _cameras_of_infos(self.root)
        for record in super().records():
            name = record["sample_id"]
            camera = known.get(name) or _calibration(self.root / FOLDER, name)
            frame = _frame(name, *camera)
            needs = (*record.get("needs", (record["path"],)), str(frame.image_path))
            yield {**record, "frames": (frame,), "needs": needs}

    def _official(self) -> Iterator[dict[str, Any]]:
        for entry in list_frames(self.root, self.version):
            if entry["split"] != self.split:
                continue
            intrinsics, tilt = np.array(entry["intrinsics"]), np.array(entry["tilt"])
            frame = _frame(entry["id"], Path(entry["image"]), intrinsics, tilt, "its table")
            yield dict(
                sample_id=entry["id"],
                reader="sunrgbd_frame",
                path=entry["depth"],
                needs=(entry["depth"], entry["image"]),
                entry=entry,
                frames=(frame,),
            )


def is_sunrgbd(root: Path) -> bool:
    """Whether a folder has one of the layouts that :class:`SunRgbdViews` reads."""
    names = ("sunrgbd_infos.json", V2, f"OFFICIAL_SUNRGBD/{V2}")
    return is_folder(root / FOLDER) or any(is_file(root / name) for name in names)


@reader("sunrgbd_frame")
def _read_frame(record: dict[str, Any]) -> Arrays:
    return read_frame(record["entry"])


def _frame(name: str, image: Path, intrinsics: np.ndarray, tilt: np.ndarray, where: str) -> PosedFrame:
    """A frame whose intrinsics count pixels from 1, tilted by ``tilt``, at the origin."""
    if not is_file(image):
        raise DataError(f"{image} does not exist: pre-training on scenes needs the photograph of {name}")
    pose = np.eye(4)
    pose[:3, :3] = tilt @ AXES.T
    pose = pose_of(pose, f"the tilt of {name} in {where}")
    focal = (intrinsics[0, 0], intrinsics[1, 1])
    middle = (intrinsics[0, 2] - 1, intrinsics[1, 2] - 1)
    return PosedFrame(name, image, pinhole(size_of(image), focal, middle, pose, f"{name} in {where}"))


def _calibration(folder: Path, name: str) -> tuple[Path, np.ndarray, np.ndarray, str]:
    """Photograph, intrinsics and tilt of VoteNet's export; both matrices are stored column by column."""
    file = folder / "calib" / f"{name}.txt"
    try:
        lines = [line.split() for line in file.read_text().splitlines() if line.strip()]
        tilt, intrinsics = (np.array([float(x) for x in row]).reshape(3, 3, order="F") for row in lines[:2])
    except (OSError, ValueError) as error:
        raise DataError(
            f"{file} cannot be read as two matrices of 3 x 3 ({error}): pre-training on scenes needs the "
            f"calibration and photographs of {FOLDER} beside VoteNet's clouds"
        ) from None
    return folder / "image" / f"{name}.jpg", intrinsics, tilt, str(file)


def _cameras_of_infos(root: Path) -> dict[str, tuple[Path, np.ndarray, np.ndarray, str]]:
    """Photograph, intrinsics and tilt of the samples of ``sunrgbd_infos.json``, if it is there."""
    file = root / "sunrgbd_infos.json"
    if not is_file(file):
        return {}
    try:
        samples = json.loads(file.read_text(encoding="utf-8"))["samples"]
        entries = [
            (Path(s["points"]).stem, root / s["image"], np.array(s["depth2img"], float)) for s in samples
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file}: samples have no image and depth2img ({error!r})") from None
    return {
        name: (image, *parts_of_projection(matrix, str(file)), str(file)) for name, image, matrix in entries
    }


def parts_of_projection(matrix: np.ndarray, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Intrinsics and tilt of a 3 x 3 matrix that takes upright points to pixels.

    Args:
        matrix: ``K`` times axes times the transposed tilt.
        where: for messages.

    Raises:
        DataError: it is no such product.

    Example:
        >>> K = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])
        >>> found, tilt = parts_of_projection(K @ AXES, "an example")
        >>> np.allclose(found, K), np.allclose(tilt, np.eye(3))
        (True, True)
    """
    from scipy.linalg import rq

    if matrix.shape != (3, 3) or not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-9:
        raise DataError(f"{where}: depth2img is no invertible matrix of 3 x 3")
    upper, rotation = rq(matrix)
    signs = np.diag(np.sign(np.diag(upper)))
    upper, rotation = upper @ signs, signs @ rotation
    if np.linalg.det(rotation) < 0:
        raise DataError(f"{where}: depth2img mirrors; points are x right, y forward, z up")
    return upper / upper[2, 2], (AXES.T @ rotation).T
