"""Reading the files of a pair, with checks that show foreign or damaged data before a model sees them."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

from dense3d.datasets.stereo.formats import read_depth, read_disparity, read_flow, read_nonoccluded
from dense3d.datasets.stereo.pair_checks import check_rig, is_swapped
from dense3d.datasets.stereo.pictures import read_picture
from dense3d.errors import ConfigError, DataError
from dense3d.registry import TRANSFORMS

TRUTHS = ("disparity", "depth", "flow")


@TRANSFORMS.register_module()
class LoadStereo(BaseTransform):
    """Read images and ground truth of a record as :func:`~dense3d.datasets.stereo.base.pair_record` makes it.

    Adds ``left`` and ``right`` (H, W, 3) RGB uint8, ``ori_shape``, and what the record names of ``disparity``
    (H, W) float32 with ``inf`` for unknown, ``nonoccluded`` (H, W) bool, ``depth`` (H, W) float32 metres, 0
    for unknown, and ``flow`` (H, W, 2) with ``inf`` for unknown. Depth is made from
    disparity, or disparity from depth, where ``with_depth`` or ``with_disparity`` asks for it.

    Args:
        with_truth: read ground truth; without it only the images, as for self-supervised training.
        with_depth: make ``depth`` from disparity and rig where there is no file of it.
        with_disparity: make ``disparity`` from depth and rig where there is no file of it.
        double: of ground truth at twice the images' resolution (Spring): ``"subsample"`` takes the upper left
            of four pixels, ``"keep"`` leaves it for metrics that look at all four; then no transform that
            moves pixels may follow.
        nan_is_unknown: whether NaN in a depth map stands for unknown depth.
        allow_empty: let ground truth pass that has no known pixel.
        check_order: refuse a pair whose images are exchanged, where the ground truth shows it.

    Raises:
        DataError: a file is missing or damaged, left and right or the ground truth differ in size, the
            calibration belongs to another image, no pixel of the ground truth is known, its disparity
            exceeds the image, or the pair is exchanged.
    """

    def __init__(
        self,
        with_truth: bool = True,
        with_depth: bool = False,
        with_disparity: bool = False,
        double: str = "subsample",
        nan_is_unknown: bool = False,
        allow_empty: bool = False,
        check_order: bool = True,
    ) -> None:
        if double not in ("subsample", "keep"):
            raise ConfigError(f"double must be 'subsample' or 'keep', not {double!r}")
        self.with_truth, self.with_depth, self.with_disparity = with_truth, with_depth, with_disparity
        self.double, self.nan_is_unknown = double, nan_is_unknown
        self.allow_empty, self.check_order = allow_empty, check_order

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Read the files."""
        for side in ("left", "right"):
            if side not in results:
                results[side] = read_picture(results[f"{side}_path"])
        shape, other = results["left"].shape[:2], results["right"].shape[:2]
        if shape != other:
            raise DataError(
                f"{results.get('left_path', 'left')} is {shape[1]} x {shape[0]} pixels, but "
                f"{results.get('right_path', 'right')} is {other[1]} x {other[0]}: they are no rectified pair"
            )
        results["ori_shape"] = results["img_shape"] = shape
        self._settle_rig(results, shape)
        if self.with_truth:
            self._read_truth(results, shape)
        self._derive(results)
        return results

    def _settle_rig(self, results: dict[str, Any], shape: tuple[int, int]) -> None:
        rig = results.get("rig")
        if rig is None:
            results["rig"] = None
            return
        check_rig(rig, shape, results["left_path"])

    def _read_truth(self, results: dict[str, Any], shape: tuple[int, int]) -> None:
        files = results.get("files", {})
        for name in TRUTHS:
            if name not in files:
                continue
            path, form = files[name]
            results[name] = self._fit(path, self._read(results, name, path, form), shape)
            self._check_known(name, path, results[name], shape)
        for name in ("nonoccluded", "out_of_frame"):
            if name in files:
                path, form = files[name]
                seen = self._fit(path, read_nonoccluded(path, form), shape)
                results["nonoccluded"] = results.get("nonoccluded", True) & seen
        if self.check_order and "disparity" in results:
            self._check_order(results)

    def _read(self, results: dict[str, Any], name: str, path: str, form: str) -> np.ndarray:
        if name == "disparity":
            return read_disparity(path, form)
        if name == "flow":
            return read_flow(path, form)
        if form.startswith("velodyne"):
            from dense3d.datasets.stereo.velodyne_depth import read_velodyne_depth

            return read_velodyne_depth(path, form, results["left"].shape[:2])
        return read_depth(path, form, self.nan_is_unknown)

    def _fit(self, path: str, values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        if values.shape[:2] == (2 * shape[0], 2 * shape[1]):
            return values[::2, ::2] if self.double == "subsample" else values
        if values.shape[:2] != shape:
            height, width = values.shape[:2]
            raise DataError(
                f"{path} is {width} x {height} pixels, but the images are {shape[1]} x {shape[0]}: it "
                "belongs to other images"
            )
        return values

    def _check_known(self, name: str, path: str, values: np.ndarray, shape: tuple[int, int]) -> None:
        known = values > 0 if name == "depth" else np.isfinite(values)
        if not known.any():
            if self.allow_empty:
                return
            raise DataError(f"{path}: no pixel of the {name} is known; set allow_empty=True to let it pass")
        if name == "disparity" and np.median(values[known]) > shape[1]:
            raise DataError(
                f"{path}: half of the known disparities are above {np.median(values[known]):.0f} pixels, in "
                f"images {shape[1]} wide: is the number of units a pixel in the format right?"
            )

    def _check_order(self, results: dict[str, Any]) -> None:
        disparity = results["disparity"][:: results["disparity"].shape[0] // results["ori_shape"][0]]
        disparity = disparity[:, :: disparity.shape[1] // results["ori_shape"][1]]
        sign = -1 if results.get("reference") == "right" else 1
        if is_swapped(results["left"], results["right"], sign * disparity):
            raise DataError(
                f"{results['left_path']} and {results['right_path']} are exchanged: by the ground truth the "
                "first one is the right image; exchange them (check_order=False in LoadStereo lets it pass)"
            )

    def _derive(self, results: dict[str, Any]) -> None:
        rig = results.get("rig")
        wants_depth = self.with_depth and "depth" not in results and "disparity" in results
        wants_disparity = self.with_disparity and "disparity" not in results and "depth" in results
        if (wants_depth or wants_disparity) and rig is None:
            raise DataError(
                f"{results['left_path']}: depth and disparity turn into each other only with a calibration, "
                "and this data set has none"
            )
        if wants_depth:
            depth = rig.depth(results["disparity"])
            known = np.isfinite(results["disparity"]) & np.isfinite(depth)
            results["depth"] = np.where(known, depth, 0).astype(np.float32)
        if wants_disparity:
            known = results["depth"] > 0
            disparity = rig.disparity(np.where(known, results["depth"], 1))
            results["disparity"] = np.where(known & (disparity > 0), disparity, np.inf).astype(np.float32)
