"""ScanNet's frames as its tools export them: ``color``, ``depth``, ``pose``, ``intrinsic``.

Poses are camera to world with OpenCV's axes, in metres; a lost one is written with infinite numbers. Depth
is 16-bit png in millimetres, of its own camera, whose optical centre is taken for that of the colour camera.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import UnidentifiedImageError

from dense3d.datasets.posed_rgb.frames import PosedFrame, PosedScene
from dense3d.datasets.posed_rgb.poses import UnknownPoseError, pinhole, pose_of
from dense3d.datasets.scan.images import measure_image
from dense3d.errors import DataError
from dense3d.files import is_file, is_folder
from dense3d.image_files import IMAGE_SUFFIXES, open_image
from dense3d.structures.camera import PinholeCamera

MILLIMETRE = 0.001
EXIF_ORIENTATION, QUARTER_TURNS = 0x0112, (5, 6, 7, 8)


def is_scannet(root: Path) -> bool:
    """Whether a folder has the layout."""
    return is_folder(root / "color") and is_folder(root / "pose")


def read_scannet(root: Path) -> PosedScene:
    """The frames of one scan.

    Raises:
        DataError: intrinsics are missing or of another image size, a pose is no matrix, or no frame is left.
    """
    files = [path for path in (root / "color").iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
    color = _intrinsics(root, ("intrinsic_color", "intrinsic_depth"))
    depth_matrix = _intrinsics(root, ("intrinsic_depth",), needed=False)
    frames, left_out = [], []
    sizes: dict[str, tuple[int, int]] = {}
    for image in sorted(files, key=lambda path: (len(path.stem), path.stem)):
        pose_file = root / "pose" / f"{image.stem}.txt"
        if not is_file(pose_file):
            left_out.append(f"{image}: there is no {pose_file}")
            continue
        try:
            pose = pose_of(_matrix(pose_file), str(pose_file))
        except UnknownPoseError as error:
            left_out.append(str(error))
            continue
        if "color" not in sizes:
            sizes["color"] = size_of(image)
        depth = root / "depth" / f"{image.stem}.png"
        depth_camera = None
        if is_file(depth):
            if "depth" not in sizes:
                sizes["depth"] = size_of(depth)
            matrix = color if depth_matrix is None else depth_matrix
            depth_camera = _camera(sizes["depth"], matrix, pose, root)
        frames.append(
            PosedFrame(
                name=image.stem,
                image_path=image,
                camera=_camera(sizes["color"], color, pose, root),
                depth_path=depth if depth_camera is not None else None,
                depth_unit=MILLIMETRE,
                depth_camera=depth_camera,
            )
        )
    if not frames:
        reason = left_out[0] if left_out else "color holds no image"
        raise DataError(f"{root}: no frame can be used; {reason}")
    return PosedScene(root, "scannet", tuple(frames), left_out=tuple(left_out))


def size_of(image: Path) -> tuple[int, int]:
    """Width and height of an image file as its pixels are stored, from its header.

    Raises:
        DataError: it is missing or no image.
    """
    fault, size = measure_image(image)
    if fault is not None or size is None:
        raise DataError(str(fault or f"{image} cannot be read as an image; restore it"))
    try:
        with open_image(image) as header:
            return size[::-1] if header.getexif().get(EXIF_ORIENTATION, 1) in QUARTER_TURNS else size
    except UnidentifiedImageError:  # formats that OpenCV alone reads have no such data
        return size


def _camera(size: tuple[int, int], matrix: np.ndarray, pose: np.ndarray, root: Path) -> PinholeCamera:
    focal, center = (matrix[0, 0], matrix[1, 1]), (matrix[0, 2], matrix[1, 2])
    return pinhole(size, focal, center, pose, str(root / "intrinsic"))


def _intrinsics(root: Path, names: tuple[str, ...], needed: bool = True) -> np.ndarray | None:
    """(3, 3) of the first file that is there."""
    for name in names:
        path = root / "intrinsic" / f"{name}.txt"
        if is_file(path):
            matrix = _matrix(path)
            if matrix.shape not in ((4, 4), (3, 3)) or not np.isfinite(matrix).all():
                raise DataError(f"{path} is no finite 4 x 4 or 3 x 3 matrix")
            return matrix[:3, :3]
    if needed:
        raise DataError(f"{root / 'intrinsic'} has neither of {', '.join(f'{name}.txt' for name in names)}")
    return None


def _matrix(path: Path) -> np.ndarray:
    try:
        rows = [line.split() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
        return np.array([[float(number) for number in row] for row in rows])
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a matrix ({error})") from None
