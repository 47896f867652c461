"""Transforms of KITTI frames: loading, flip and crop, targets of monocular detectors, packing.

pipeline = [
    dict(type="LoadKittiFrame"),
    dict(type="RandomKittiWarp", size=(1280, 384), flip_prob=0.5, crop_prob=0.5),
    dict(type="EncodeMonoTargets"),
    dict(type="PackKittiFrame"),
]
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.structures import BaseDataElement, InstanceData

from dense3d.datasets.kitti.mono_targets import MonoTargets, encode_mono_targets
from dense3d.datasets.kitti.velodyne import lidar_depth_map, read_velodyne
from dense3d.datasets.kitti.warp import draw_warp
from dense3d.datasets.scan.images import check_image
from dense3d.errors import DataError
from dense3d.image_files import Reader
from dense3d.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadKittiFrame(BaseTransform):
    """Read the files that the data set names.

    Adds ``img`` (H, W, 3) RGB uint8, unless it is there already, and ``ori_shape``; ``right_img`` where
    ``right_img_path`` is given; ``points`` (N, 4) where ``velodyne_path`` is.

    Args:
        with_depth: also make ``depth_map`` (H, W), sparse, in metres, from the points.

    Raises:
        DataError: a file cannot be read, or a depth map is wanted without a lidar scan.
    """

    def __init__(self, with_depth: bool = False) -> None:
        self.with_depth = with_depth

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Read the files."""
        if "img" not in results:
            results["img"] = _read_image(results["img_path"])
        results["ori_shape"] = results["img"].shape[:2]
        if "right_img_path" in results:
            results["right_img"] = _read_image(results["right_img_path"])
        if "velodyne_path" in results:
            results["points"] = read_velodyne(results["velodyne_path"])
        if self.with_depth:
            if "points" not in results:
                raise DataError(
                    f"{results['img_path']}: a depth map needs with_velodyne=True in the data set"
                )
            size = results["ori_shape"][::-1]
            results["depth_map"] = lidar_depth_map(results["points"], results["calibration"], size)
        return results


@TRANSFORMS.register_module()
class RandomKittiWarp(BaseTransform):
    """Flip, crop and scale the left image into a fixed size, see ``warp.ImageWarp``.

    Replaces ``img`` and adds ``warp``. Other images, points and depth maps do not move along, so that they
    must not be there. With both probabilities 0 it only scales, as in evaluation.

    Args:
        size: width and height of the result.
        flip_prob, crop_prob: how often.
        scale, shift: spread of the crop, see :func:`~dense3d.datasets.kitti.warp.draw_warp`.

    Raises:
        DataError: the frame has data that would not move along.
    """

    def __init__(
        self,
        size: tuple[int, int] = (1280, 384),
        flip_prob: float = 0.0,
        crop_prob: float = 0.0,
        scale: float = 0.05,
        shift: float = 0.05,
    ) -> None:
        self.size = tuple(size)
        self.settings = dict(flip_prob=flip_prob, crop_prob=crop_prob, scale=scale, shift=shift)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Draw a warp and apply it."""
        for key in ("right_img", "points", "depth_map"):
            if key in results:
                raise DataError(f"{results['img_path']}: {key} does not move along with RandomKittiWarp")
        height, width = results["img"].shape[:2]
        warp = draw_warp(
            (width, height), self.size, np.random.random, np.random.standard_normal, **self.settings
        )
        results["img"], results["warp"] = warp.move_image(results["img"]), warp
        results["img_shape"] = results["img"].shape[:2]
        return results


@TRANSFORMS.register_module()
class EncodeMonoTargets(BaseTransform):
    """Add ``targets``, see :func:`~dense3d.datasets.kitti.mono_targets.encode_mono_targets`.

    Args:
        classes: in the order of the class indices.
    """

    def __init__(self, classes: Sequence[str] = ("Pedestrian", "Car", "Cyclist")) -> None:
        self.classes = tuple(classes)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Encode the labels."""
        results["targets"] = encode_mono_targets(
            results["objects"], results["calibration"], results["warp"], self.classes
        )
        return results


@TRANSFORMS.register_module()
class PackKittiFrame(BaseTransform):
    """Tensors for a model: ``inputs`` (3, H, W) uint8 RGB, and a data sample.

    The sample's metainfo holds ``frame``, ``img_path``, ``ori_shape``, ``img_shape``, ``calibration``,
    ``objects`` and ``warp``, as far as they are there; ``gt_instances`` the targets with the fields
    of :class:`~dense3d.datasets.kitti.mono_targets.MonoTargets`, and ``bboxes``, the 2D boxes in pixels;
    ``right``, ``points`` and ``depth_map`` are tensors.
    """

    META = ("frame", "sample_idx", "img_path", "ori_shape", "img_shape", "calibration", "objects", "warp")

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Pack a frame."""
        results.setdefault("img_shape", results["img"].shape[:2])
        metainfo = {key: results[key] for key in self.META if key in results}
        sample = BaseDataElement(metainfo=metainfo | {"channel_order": "rgb"})
        if "targets" in results:
            sample.gt_instances = _instances(results["targets"], results["img_shape"])
        if "right_img" in results:
            sample.right = _image_tensor(results["right_img"])
        for key in ("points", "depth_map"):
            if key in results:
                sample.set_data({key: torch.from_numpy(results[key])})
        return {"inputs": _image_tensor(results["img"]), "data_samples": sample}


def _read_image(path: str) -> np.ndarray:
    """RGB, upright and of 8 bits, as all loaders give it."""
    try:
        return np.ascontiguousarray(Reader().decode(Path(path).read_bytes())[..., ::-1])
    except (OSError, ValueError) as error:
        raise DataError(str(check_image(path, decode=True) or f"{path}: {error}")) from None


def _image_tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


def _instances(targets: MonoTargets, shape: tuple[int, int]) -> InstanceData:
    """Targets as tensors, and ``bboxes`` in pixels: integers stay, the rest becomes float32."""
    tensors = {name: torch.from_numpy(value) for name, value in vars(targets).items()}
    center, size = (targets.boxes * np.tile(shape[::-1], 2)).reshape(-1, 2, 2).transpose(1, 0, 2)
    tensors["bboxes"] = torch.from_numpy(np.concatenate([center - size / 2, center + size / 2], axis=1))
    return InstanceData(**{k: v.float() if v.is_floating_point() else v for k, v in tensors.items()})
