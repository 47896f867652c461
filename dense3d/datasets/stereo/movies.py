"""Pairs of two animated films: MPI Sintel and Spring."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dense3d.datasets.stereo.base import (
    StereoDataset,
    choice,
    image_size,
    pair_record,
    pictures,
    subfolders,
)
from dense3d.datasets.stereo.pfm import read_bytes
from dense3d.errors import DataError
from dense3d.files import is_file, is_folder
from dense3d.registry import DATASETS
from dense3d.structures.rectified_rig import RectifiedRig

SINTEL_BASELINE = 0.1  # metres
SPRING_BASELINE = 0.065
CAMERA_TAG = np.float32(202021.25)


@DATASETS.register_module()
class SintelStereo(StereoDataset):
    """``training/{clean_left,clean_right,disparities,occlusions,outofframe}/SCENE/frame_NNNN.png``.

    Not occluded is what neither of the two masks marks. The rig is known where ``camdata_left`` of the depth
    data is there.

    Args:
        data_root: folder with ``training``.
        passes: ``"clean"``, ``"final"`` or both.
        **kwargs: of :class:`~dense3d.datasets.stereo.base.StereoDataset`.

    Raises:
        ConfigError: an unknown pass.
        DataError: files are missing.
    """

    def __init__(
        self, data_root: str = "", passes: str | Sequence[str] = ("clean", "final"), **kwargs: Any
    ) -> None:
        passes = (passes,) if isinstance(passes, str) else tuple(passes)
        self.passes = [choice("passes", name, ("clean", "final")) for name in passes]
        super().__init__(data_root=data_root, **kwargs)

    def pairs(self) -> Iterator[dict[str, Any]]:
        """The frames of each pass, scene by scene."""
        folder = self.root / "training"
        for name in self.passes:
            for scene in subfolders(folder / f"{name}_left"):
                for left in pictures(scene):
                    place = Path(scene.name, left.name)
                    files = {"disparity": (folder / "disparities" / place, "sintel")}
                    if is_folder(folder / "occlusions"):
                        files["nonoccluded"] = (folder / "occlusions" / place, "occluded")
                    if is_folder(folder / "outofframe"):
                        files["out_of_frame"] = (folder / "outofframe" / place, "occluded")
                    camera = (folder / "camdata_left" / place).with_suffix(".cam")
                    rig = _sintel_rig(camera, image_size(left)) if is_file(camera) else None
                    right, sample_id = folder / f"{name}_right" / place, f"{name}/{scene.name}/{left.stem}"
                    yield pair_record(sample_id, left, right, rig, **files)


@DATASETS.register_module()
class SpringStereo(StereoDataset):
    """``train/NNNN/{frame_left/frame_left_NNNN.png,frame_right,disp1_left/disp1_left_NNNN.dsp5,disp1_right}``.

    Ground truth has twice the size of the images and values in pixels of the images;
    ``LoadStereo(double=...)`` says what becomes of it. It needs h5py. The rig comes from
    ``cam_data/intrinsics.txt`` where that is there.

    Args:
        data_root: folder with ``train`` and ``test``.
        split: ``"train"`` or ``"test"``, of which the second has no disparity.
        references: whose image is the first one: ``"left"``, ``"right"`` or both.
        **kwargs: of :class:`~dense3d.datasets.stereo.base.StereoDataset`.

    Raises:
        ConfigError: an unknown split or camera.
        DataError: files are missing.
    """

    def __init__(
        self,
        data_root: str = "",
        split: str = "train",
        references: str | Sequence[str] = ("left",),
        **kwargs: Any,
    ) -> None:
        self.split = choice("split", split, ("train", "test"))
        names = (references,) if isinstance(references, str) else tuple(references)
        self.references = [choice("references", name, ("left", "right")) for name in names]
        super().__init__(data_root=data_root, **kwargs)

    def pairs(self) -> Iterator[dict[str, Any]]:
        """The frames, sequence by sequence, those of the right camera after those of the left one."""
        for sequence in subfolders(self.root / self.split):
            table = spring_intrinsics(sequence)
            for side in self.references:
                other = "right" if side == "left" else "left"
                for image in pictures(sequence / f"frame_{side}"):
                    frame = image.stem.rpartition("_")[2]
                    files = {}
                    if self.split == "train":
                        truth = sequence / f"disp1_{side}" / f"disp1_{side}_{frame}.dsp5"
                        files["disparity"] = (truth, "dsp5")
                    second = sequence / f"frame_{other}" / f"frame_{other}_{frame}{image.suffix}"
                    rig = _spring_rig(table, frame, image)
                    yield pair_record(f"{sequence.name}/{side}_{frame}", image, second, rig, side, **files)


def spring_intrinsics(sequence: Path) -> np.ndarray | None:
    """Rows of fx, fy, cx, cy, one a frame; None where there is no file.

    Raises:
        DataError: the file holds something else.
    """
    path = sequence / "cam_data" / "intrinsics.txt"
    if not is_file(path):
        return None
    try:
        table = np.loadtxt(path, ndmin=2)
    except ValueError:
        table = np.zeros((0, 0))
    if table.shape[1:] != (4,) or not np.isfinite(table).all():
        raise DataError(f"{path}: four numbers a line were expected, fx fy cx cy")
    return table


def _spring_rig(table: np.ndarray | None, frame: str, image: Path) -> RectifiedRig | None:
    """The rig of a frame; frames count from 1."""
    size = image_size(image)
    if table is None or size is None or not frame.isdigit():
        return None
    if not 1 <= int(frame) <= len(table):
        raise DataError(f"{image}: intrinsics.txt of its sequence has {len(table)} lines, one a frame")
    focal, focal_y, cx, cy = (float(value) for value in table[int(frame) - 1])
    return RectifiedRig(focal, SPRING_BASELINE, cx, cy, *size, focal_y=focal_y)


def _sintel_rig(path: Path, size: tuple[int, int] | None) -> RectifiedRig | None:
    content = read_bytes(path)
    if len(content) < 76 or np.frombuffer(content, "<f4", 1)[0] != CAMERA_TAG:
        raise DataError(f"{path} is no camera file of Sintel's: it begins otherwise or is cut off")
    if size is None:
        return None
    intrinsics = np.frombuffer(content, "<f8", 9, offset=4).reshape(3, 3)
    rig = RectifiedRig(intrinsics[0, 0], SINTEL_BASELINE, intrinsics[0, 2], intrinsics[1, 2], *size)
    return replace(rig, focal_y=float(intrinsics[1, 1]))
