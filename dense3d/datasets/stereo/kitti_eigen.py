"""KITTI's raw data by lists of frames, such as those of Eigen's split."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from dense3d.datasets.stereo.base import StereoDataset, choice, pair_record
from dense3d.datasets.stereo.rigs import read_rig
from dense3d.datasets.stereo.velodyne_depth import PROTOCOLS
from dense3d.errors import DataError
from dense3d.files import is_file, is_folder
from dense3d.registry import DATASETS
from dense3d.structures.rectified_rig import RectifiedRig

CAMERAS = {"l": "02", "r": "03"}
OTHER = {"l": "r", "r": "l"}
_LINE = re.compile(r"(?P<date>[^/\s]+)/(?P<drive>[^/\s]+)\s+(?P<frame>\d+)(?:\s+(?P<side>[lr]))?")
_PATH = re.compile(
    r"(?P<date>[^/\s]+)/(?P<drive>[^/\s]+)/image_0(?P<camera>[23])/data/(?P<frame>\d+)\.\w+(\s.*)?"
)


@dataclass(frozen=True)
class RawFrame:
    """A line of a list: the frame of a drive, and whose image is the first one, ``"l"`` or ``"r"``."""

    date: str
    drive: str
    frame: int
    side: str = "l"


@DATASETS.register_module()
class KittiEigenDepth(StereoDataset):
    """Frames of KITTI's raw data that a list names, with depth from the lidar or the improved one.

    ``DATE/DRIVE/{image_02,image_03}/data/N.png`` (or jpg), ``DATE/DRIVE/velodyne_points/data/N.bin``,
    ``DATE/calib_{cam_to_cam,velo_to_cam}.txt``. Each line of the list is ``DATE/DRIVE FRAME l`` or ``r``,
    or the path of an image. In lines with r the right camera's image is the first one (``reference`` is
    ``"right"``).

    Args:
        data_root: folder with the dates.
        split_file: the list, in ``data_root`` or elsewhere.
        depth: ``"velodyne"``, ``"improved"`` or None. Frames without an improved depth map, as the first and
            last five of each drive, are left out, and their number is told.
        depth_root: folder of the improved depth, ``DRIVE/proj_depth/groundtruth/image_02/N.png`` below it or
            below ``train`` or ``val`` in it; ``data_root`` unless given.
        protocol: of the lidar's depth: ``"eigen"``, with the slips that published numbers have, or
            ``"exact"``; see :mod:`~dense3d.datasets.stereo.velodyne_depth`.
        **kwargs: of :class:`~dense3d.datasets.stereo.base.StereoDataset`.

    Raises:
        ConfigError: an unknown kind of depth or protocol.
        DataError: a line is of another form, or files are missing.
    """

    def __init__(
        self,
        data_root: str = "",
        split_file: str = "",
        depth: str | None = "velodyne",
        depth_root: str | None = None,
        protocol: str = "eigen",
        **kwargs: Any,
    ) -> None:
        self.split_file, self.depth_root = split_file, depth_root
        self.depth = choice("depth", depth, ("velodyne", "improved", None))
        self.protocol = choice("protocol", protocol, PROTOCOLS)
        super().__init__(data_root=data_root, **kwargs)

    def pairs(self) -> Iterator[dict[str, Any]]:
        """The frames in the order of the list."""
        inside = self.root / self.split_file
        frames = read_split(inside if is_file(inside) else Path(self.split_file))
        depths = self._improved_folders() if self.depth == "improved" else []
        lost = 0
        for frame in frames:
            files = {}
            if self.depth == "improved":
                name = Path(frame.drive, "proj_depth", "groundtruth", f"image_{CAMERAS[frame.side]}")
                place = name / f"{frame.frame:010d}.png"
                found = next((path for folder in depths if is_file(path := folder / place)), None)
                if found is None:
                    lost += 1
                    continue
                files["depth"] = (found, "png/256")
            elif self.depth == "velodyne":
                scans = self.root / frame.date / frame.drive / "velodyne_points" / "data"
                scan = scans / f"{frame.frame:010d}.bin"
                files["depth"] = (scan, f"velodyne/{CAMERAS[frame.side][1]}/{self.protocol}")
            yield self._record(frame, files)
        if lost == len(frames):
            raise DataError(
                f"{self.split_file}: none of its {lost} frames has improved depth below "
                f"{self.depth_root or self.data_root}; set depth_root to the folder of data_depth_annotated"
            )
        if lost:
            text = f"{self.split_file}: {lost} of {len(frames)} frames have no improved depth"
            print_log(text, "current", 20)

    def _record(self, frame: RawFrame, files: dict[str, tuple[Path, str]]) -> dict[str, Any]:
        drive = self.root / frame.date / frame.drive
        images = []
        for side in (frame.side, OTHER[frame.side]):
            folder = drive / f"image_{CAMERAS[side]}" / "data"
            images.append(folder / f"{frame.frame:010d}{_suffix(folder, frame.frame)}")
        rig = _rig(str(self.root / frame.date / "calib_cam_to_cam.txt"))
        if rig is not None and frame.side == "r":
            rig = replace(rig, cx=rig.cx + rig.doffs)
        reference = "right" if frame.side == "r" else "left"
        name = f"{frame.date}/{frame.drive}/{frame.frame:010d}_{frame.side}"
        return pair_record(name, *images, rig, reference, **files)

    def _improved_folders(self) -> list[Path]:
        folder = Path(self.depth_root or self.data_root)
        return [place for name in ("train", "val", "") if is_folder(place := folder / name)]


def read_split(path: Path) -> list[RawFrame]:
    """Frames of a list.

    Raises:
        DataError: the file is missing or empty, or a line is of another form.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: the list of frames cannot be read ({error}); set split_file to a text file with "
            "DATE/DRIVE FRAME l|r in each line"
        ) from None
    frames = []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text:
            continue
        match = _LINE.fullmatch(text) or _PATH.fullmatch(text)
        if match is None:
            raise DataError(f"{path}, line {number}: {text[:80]!r} is not of the form DATE/DRIVE FRAME l|r")
        found = match.groupdict()
        side = found.get("side") or ("r" if found.get("camera") == "3" else "l")
        frames.append(RawFrame(found["date"], found["drive"], int(found["frame"]), side))
    if not frames:
        raise DataError(f"{path} lists no frame")
    return frames


def _suffix(folder: Path, frame: int) -> str:
    """Of a drive's images: .png as KITTI gives them, or .jpg as many have made of them."""
    suffix = _suffix_of(str(folder))
    if suffix is None:
        suffix = ".jpg" if is_file(folder / f"{frame:010d}.jpg") else ".png"
    return suffix


@lru_cache(maxsize=4096)
def _suffix_of(folder: str) -> str | None:
    names = next(iter(Path(folder).glob("*.*g")), None) if is_folder(folder) else None
    return names.suffix if names is not None and names.suffix in (".png", ".jpg", ".jpeg") else None


@lru_cache(maxsize=4096)
def _rig(path: str) -> RectifiedRig | None:
    return read_rig(path) if is_file(path) else None
