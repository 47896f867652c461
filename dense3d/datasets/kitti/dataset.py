"""KITTI's object data as a data set of mmengine."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset

from dense3d.datasets.kitti.calibration_file import read_calibration
from dense3d.datasets.kitti.frames import read_image_set
from dense3d.datasets.kitti.mono_targets import DEPTH_RANGE, MIN_HEIGHT, count_learnable
from dense3d.datasets.kitti.objects import CLASSES, class_names, read_objects
from dense3d.datasets.scan.report import Fault
from dense3d.datasets.strict import StrictSamples
from dense3d.errors import ConfigError, DataError, did_you_mean
from dense3d.files import is_file, is_folder
from dense3d.image_files import IMAGE_SUFFIXES
from dense3d.registry import DATASETS
from dense3d.structures.kitti_calibration import SHAPES

FOLDERS = {"training": True, "testing": False}  # whether labels are there


@DATASETS.register_module()
class KittiDataset(StrictSamples, BaseDataset):
    """Frames of a split with image, calibration and labels, and the right image and lidar scan if asked for.

    Labels and calibrations are read and checked when the data set is made. A sample starts with ``frame``,
    ``img_path``, ``calibration`` (:class:`~dense3d.structures.KittiCalibration`), ``objects``
    (:class:`KittiObjects`; not in the test split), and ``right_img_path`` and ``velodyne_path`` if asked for.

    Args:
        data_root: folder with ``training``, ``testing`` and ``ImageSets``.
        ann_file: list of the frames, such as ``ImageSets/train.txt``, below ``data_root``.
        folder: ``"training"`` or ``"testing"``.
        classes: types that are learned, in the order of the class indices.
        with_right, with_velodyne: also name, and require, these files.
        img_suffix: of the images.
        any_frame_names: whether frames may be named otherwise than by six digits.
        p2_only: whether calibrations may lack all matrices but P2, and P3 with the right image, and
            R0_rect and Tr_velo_to_cam with lidar scans.
        extra_classes: types beside KITTI's own that labels, and ``classes``, may have; of a mapping as
            that of :class:`~dense3d.evaluation.kitti.KittiMetric` its keys.
        filter_cfg: ``dict(filter_empty_gt=True)`` leaves out frames without an object of the classes.
        skip_bad_samples: see :class:`~dense3d.datasets.strict.StrictSamples`.
        **kwargs: ``pipeline``, ``test_mode``, ``indices`` ... of mmengine's ``BaseDataset``.

    Raises:
        ConfigError: an unknown class or folder.
        DataError: a file is missing or faulty, a frame is listed twice, or no frame is left.
    """

    def __init__(
        self,
        data_root: str,
        ann_file: str,
        folder: str = "training",
        classes: Sequence[str] = ("Pedestrian", "Car", "Cyclist"),
        with_right: bool = False,
        with_velodyne: bool = False,
        img_suffix: str = ".png",
        any_frame_names: bool = False,
        p2_only: bool = False,
        extra_classes: Sequence[str] | Mapping[str, str] = (),
        **kwargs: Any,
    ) -> None:
        if folder not in FOLDERS:
            raise ConfigError(f"folder must be 'training' or 'testing', not {folder!r}")
        known = [*CLASSES[:-1], *class_names(extra_classes)]
        for name in classes:
            if name not in known:
                hint = did_you_mean(name, known) or f"; extra_classes=[{name!r}] adds it"
                raise ConfigError(f"KITTI has no objects of the class {name!r}{hint}")
        self.img_suffix, self.any_frame_names = img_suffix, any_frame_names
        self.extra_classes = class_names(extra_classes)
        self.matrices = _needed_matrices(with_right, with_velodyne) if p2_only else tuple(SHAPES)
        self.folder, self.with_right, self.with_velodyne = folder, with_right, with_velodyne
        super().__init__(
            data_root=data_root, ann_file=ann_file, metainfo=dict(classes=tuple(classes)), **kwargs
        )

    def load_data_list(self) -> list[dict[str, Any]]:
        """Read the split, and every frame's calibration and labels."""
        root = Path(self.data_root)
        if not is_folder(root):
            raise DataError(f"{root}: the data root does not exist; its layout is in data/README.md")
        frames = read_image_set(self.ann_file, self.any_frame_names)
        return [self._frame(root / self.folder, frame) for frame in frames]

    def filter_data(self) -> list[dict[str, Any]]:
        """Frames that pass ``filter_cfg``."""
        if self.test_mode or not (self.filter_cfg or {}).get("filter_empty_gt", False):
            return self.data_list
        classes = {name.lower() for name in self.metainfo["classes"]}  # as KITTI's evaluation compares
        kept = [
            data for data in self.data_list if not classes.isdisjoint(map(str.lower, data["objects"].names))
        ]
        if not kept:
            raise DataError(
                f"{self.ann_file}: none of its {len(self.data_list)} frames has an object of the classes "
                f"{', '.join(self.metainfo['classes'])}; choose others or turn filter_empty_gt off"
            )
        return kept

    def notes_on(self, samples: Sequence[dict[str, Any]], pipeline: Sequence[Any]) -> list[Fault]:
        """A note if most objects of the classes would not be learned, for the scan before training.

        Args:
            samples: as :meth:`load_data_list` gives them.
            pipeline: configs of transforms.
        """
        kinds = [str(step.get("type")).rpartition(".")[2] for step in pipeline if isinstance(step, dict)]
        unlearned = self.test_mode or not samples or not FOLDERS[self.folder]
        if "EncodeMonoTargets" not in kinds or unlearned:
            return []
        classes = self.metainfo["classes"]
        counts = [count_learnable(one["objects"], one["calibration"], classes) for one in samples]
        wanted, learned = (sum(numbers) for numbers in zip(*counts))
        if learned * 2 >= wanted:
            return []
        value = f"{wanted - learned} of the {wanted} objects of the classes are not learned"
        low, high = DEPTH_RANGE
        remedy = (
            f"a target needs a 2D box of {MIN_HEIGHT} pixels in height around the projected centre, a depth "
            f"of {low:g} to {high:g} m, and to be visible; are labels and calibration of this camera?"
        )
        return [Fault("few-targets", str(self.ann_file), value, remedy=remedy)]

    def _frame(self, folder: Path, frame: str) -> dict[str, Any]:
        files = {"img_path": folder / "image_2" / f"{frame}{self.img_suffix}"}
        if self.with_right:
            files["right_img_path"] = folder / "image_3" / f"{frame}{self.img_suffix}"
        if self.with_velodyne:
            files["velodyne_path"] = folder / "velodyne" / f"{frame}.bin"
        for path in files.values():
            if not is_file(path):
                hint = _other_suffix(path, frame)
                raise DataError(f"{path} does not exist, but {self.ann_file} lists the frame {frame}{hint}")
        data: dict[str, Any] = {"frame": frame}
        data |= {key: str(path) for key, path in files.items()}
        data["calibration"] = read_calibration(folder / "calib" / f"{frame}.txt", self.matrices)
        if FOLDERS[self.folder]:
            label = folder / "label_2" / f"{frame}.txt"
            data["objects"] = read_objects(label, extra_classes=self.extra_classes)
        return data


def _needed_matrices(with_right: bool, with_velodyne: bool) -> tuple[str, ...]:
    right = ("P3",) if with_right else ()
    return ("P2", *right, *(("R0_rect", "Tr_velo_to_cam") if with_velodyne else ()))


def _other_suffix(path: Path, frame: str) -> str:
    """A hint where an image lies there by another suffix."""
    found = sorted(
        p for p in path.parent.glob(f"{glob.escape(frame)}.*") if p.suffix.lower() in IMAGE_SUFFIXES
    )
    return f"; there is {found[0].name}: set img_suffix={found[0].suffix!r} in the data set" if found else ""
