"""COLMAP's cameras, images and points, from binary and from text files.

pycolmap fills what a file that was cut off lacks with whatever memory holds, or does not come back; here
every number is known to lie in the file. Layouts: COLMAP's documentation, "Output Format".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dense3d.errors import DataError
from dense3d.files import is_file

# name and number of parameters, by the number that binary files have for it
MODELS = {
    0: ("SIMPLE_PINHOLE", 3), 1: ("PINHOLE", 4), 2: ("SIMPLE_RADIAL", 4), 3: ("RADIAL", 5),
    4: ("OPENCV", 8), 5: ("OPENCV_FISHEYE", 8), 6: ("FULL_OPENCV", 12), 7: ("FOV", 5),
    8: ("SIMPLE_RADIAL_FISHEYE", 4), 9: ("RADIAL_FISHEYE", 5), 10: ("THIN_PRISM_FISHEYE", 12),
}  # fmt: skip
COUNTS = dict(MODELS.values())
KEYPOINT, TRACK = 24, 8  # bytes of an image's keypoint and of a point's entry in its track
LONGEST_NAME = 4096


@dataclass(frozen=True)
class ColmapCamera:
    """Intrinsics; the corner of the first pixel is the origin of the principal point."""

    model: str
    width: int
    height: int
    params: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class ColmapImage:
    """A registered photograph: unit quaternion (w, x, y, z) and translation from the world to the camera."""

    name: str
    camera_id: int
    rotation: np.ndarray
    translation: np.ndarray


def model_suffix(folder: Path) -> str | None:
    """``".bin"`` or ``".txt"`` if ``folder`` holds a model, else None."""
    for suffix in (".bin", ".txt"):
        if is_file(folder / f"cameras{suffix}") and is_file(folder / f"images{suffix}"):
            return suffix
    return None


def read_cameras(path: Path) -> dict[int, ColmapCamera]:
    """Cameras by their number.

    Raises:
        DataError: the file is damaged or cut off, or has a camera model that is not known.
    """
    return dict(_text_cameras(path) if path.suffix == ".txt" else _binary_cameras(path))


def read_images(path: Path) -> list[ColmapImage]:
    """Registered photographs in the order of the file.

    Raises:
        DataError: the file is damaged or cut off.
    """
    return list(_text_images(path) if path.suffix == ".txt" else _binary_images(path))


def read_points(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(N, 3) float64 points in the world, and their (N, 3) uint8 colours.

    Raises:
        DataError: the file is damaged or cut off.
    """
    return _text_points(path) if path.suffix == ".txt" else _binary_points(path)


class _Bytes:
    """A binary file that is read in order and says when it ends too early."""

    def __init__(self, path: Path) -> None:
        try:
            self.path, self.content, self.place = path, path.read_bytes(), 0
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror})") from None

    def take(self, form: str) -> tuple:
        size = struct.calcsize(f"<{form}")
        self.skip(size)
        return struct.unpack_from(f"<{form}", self.content, self.place - size)

    def skip(self, size: int) -> None:
        self.place += size
        if self.place > len(self.content):
            raise self.damaged()

    def name(self) -> str:
        end = self.content.find(b"\0", self.place, self.place + LONGEST_NAME)
        if end < 0:
            raise self.damaged()
        found = self.content[self.place : end]
        self.place = end + 1
        try:
            return found.decode()
        except UnicodeDecodeError:
            raise self.damaged() from None

    def damaged(self) -> DataError:
        return DataError(f"{self.path} was cut off or damaged; copy the COLMAP model again")


def _camera(model: str, numbers: tuple[int, int, int], params: tuple, path: Path) -> tuple[int, ColmapCamera]:
    if model not in COUNTS:
        raise DataError(
            f"{path}: the camera model {model!r} is none of {', '.join(COUNTS)}; make images of a pinhole "
            "camera with COLMAP's image_undistorter"
        )
    number, width, height = numbers
    if len(params) != COUNTS[model]:
        raise DataError(f"{path}: a camera {model} has {COUNTS[model]} parameters, not {len(params)}")
    return number, ColmapCamera(model, width, height, tuple(map(float, params)))


def _binary_cameras(path: Path) -> Iterator[tuple[int, ColmapCamera]]:
    file = _Bytes(path)
    for _ in range(file.take("Q")[0]):
        number, code, width, height = file.take("IiQQ")
        model, count = MODELS.get(code, (f"number {code}", 0))
        yield _camera(model, (number, width, height), file.take(f"{count}d"), path)


def _binary_images(path: Path) -> Iterator[ColmapImage]:
    file = _Bytes(path)
    for _ in range(file.take("Q")[0]):
        _, *pose, camera = file.take("I7dI")
        name = file.name()
        file.skip(KEYPOINT * file.take("Q")[0])
        yield ColmapImage(name, camera, np.array(pose[:4]), np.array(pose[4:]))


def _binary_points(path: Path) -> tuple[np.ndarray, np.ndarray]:
    row = np.dtype([("id", "<u8"), ("xyz", "<f8", 3), ("rgb", "u1", 3), ("error", "<f8"), ("track", "<u8")])
    file = _Bytes(path)
    (count,) = file.take("Q")
    if count * row.itemsize > len(file.content):
        raise file.damaged()
    places = np.empty(count, dtype=np.int64)
    for number in range(count):
        places[number] = file.place
        file.skip(row.itemsize)
        file.skip(TRACK * struct.unpack_from("<Q", file.content, file.place - TRACK)[0])
    content = np.frombuffer(file.content, np.uint8)
    rows = content[places[:, None] + np.arange(row.itemsize)].reshape(-1).view(row)
    return rows["xyz"].copy(), rows["rgb"].copy()


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
            if not line.startswith("#"):
                yield number, line.strip()
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as text ({error})") from None


def _wrong(path: Path, number: int) -> DataError:
    return DataError(f"{path}, line {number}, is none of COLMAP's; copy the model again")


def _text_cameras(path: Path) -> Iterator[tuple[int, ColmapCamera]]:
    for number, line in _lines(path):
        if not line:
            continue
        words = line.split()
        try:
            sizes = (int(words[0]), int(words[2]), int(words[3]))
            params = tuple(float(word) for word in words[4:])
        except (ValueError, IndexError):
            raise _wrong(path, number) from None
        yield _camera(words[1], sizes, params, path)


def _text_images(path: Path) -> Iterator[ColmapImage]:
    """Two lines an image: its pose and name, and its keypoints, of which there may be none."""
    lines = list(_lines(path))
    while lines and not lines[-1][1] and len(lines) % 2:
        lines.pop()
    for number, line in lines[::2]:
        words = line.split(maxsplit=9)
        try:
            pose = np.array([float(word) for word in words[1:8]])
            camera, name = int(words[8]), words[9]
        except (ValueError, IndexError):
            raise _wrong(path, number) from None
        yield ColmapImage(name, camera, pose[:4], pose[4:])


def _text_points(path: Path) -> tuple[np.ndarray, np.ndarray]:
    rows = []
    for number, line in _lines(path):
        if not line:
            continue
        try:
            rows.append([float(word) for word in line.split(maxsplit=8)[1:7]])
            if len(rows[-1]) != 6:
                raise ValueError
        except ValueError:
            raise _wrong(path, number) from None
    table = np.array(rows, dtype=np.float64).reshape(-1, 6)
    return table[:, :3], table[:, 3:].clip(0, 255).astype(np.uint8)
