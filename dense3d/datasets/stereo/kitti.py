"""KITTI's stereo benchmarks of 2012 and 2015, and the pairs of its object benchmark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dense3d.datasets.stereo.base import StereoDataset, choice, image_size, pair_record, pictures
from dense3d.datasets.stereo.rigs import read_rig
from dense3d.files import is_file, is_folder
from dense3d.registry import DATASETS

# Folders of the left and right images, of disparity with occluded pixels, without them, and of calibrations.
LAYOUTS = {
    "2012": ("colored_0", "colored_1", "disp_occ", "disp_noc", "calib"),
    "2012-grey": ("image_0", "image_1", "disp_occ", "disp_noc", "calib"),
    "2015": ("image_2", "image_3", "disp_occ_0", "disp_noc_0", "calib_cam_to_cam"),
    "object": ("image_2", "image_3", "", "", "calib"),
}


@DATASETS.register_module()
class KittiStereo(StereoDataset):
    """``training/{image_2,image_3,disp_occ_0,disp_noc_0}/NNNNNN_10.png``, ``calib_cam_to_cam`` (of 2015).

    Of 2012 the folders are ``colored_0``, ``colored_1`` (or ``image_0``, ``image_1``), ``disp_occ``,
    ``disp_noc`` and ``calib``. ``disp_noc`` and the calibration may be absent; where the first is there,
    ``nonoccluded`` are the pixels that it knows. Of the object benchmark, whose frames have no disparity,
    depth comes from ``velodyne`` where that is there.

    Args:
        data_root: folder with ``training`` and ``testing``.
        benchmark: ``"2015"``, ``"2012"``, ``"2012-grey"`` or ``"object"``.
        split: ``"training"`` or ``"testing"``, of which the second has no disparity.
        **kwargs: of :class:`~dense3d.datasets.stereo.base.StereoDataset`.

    Raises:
        ConfigError: an unknown benchmark or split.
        DataError: files are missing.
    """

    def __init__(
        self, data_root: str = "", benchmark: str = "2015", split: str = "training", **kwargs: Any
    ) -> None:
        self.benchmark = choice("benchmark", str(benchmark), tuple(LAYOUTS))
        self.split = choice("split", split, ("training", "testing"))
        super().__init__(data_root=data_root, **kwargs)

    def pairs(self) -> Iterator[dict[str, Any]]:
        """The frames, ``_10`` of the benchmarks' two, in the order of their numbers."""
        folder = self.root / self.split
        left, right, occluded, seen, calibrations = (folder / name for name in LAYOUTS[self.benchmark])
        is_object = self.benchmark == "object"
        for image in pictures(left, "*" if is_object else "*_10.*"):
            files: dict[str, tuple[Path, str]] = {}
            if is_object:
                scan = folder / "velodyne" / f"{image.stem}.bin"
                if is_file(scan):
                    files["depth"] = (scan, "velodyne/2/exact")
            elif self.split == "training":
                files["disparity"] = (occluded / f"{image.stem}.png", "png/256")
                if is_folder(seen):
                    files["nonoccluded"] = (seen / f"{image.stem}.png", "known/png/256")
            calibration = calibrations / f"{image.stem.removesuffix('_10')}.txt"
            size = image_size(image)
            rig = None
            if size is not None and is_file(calibration):
                rig = read_rig(calibration, size, grey=self.benchmark == "2012-grey")
            yield pair_record(image.stem, image, right / image.name, rig, **files)
