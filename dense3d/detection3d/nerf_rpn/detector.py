"""NeRF-RPN: a 3D backbone, a feature pyramid and a head that proposes boxes in radiance grids.

Hu et al., "NeRF-RPN: A general framework for object detection in NeRFs", CVPR 2023 (lyclyc52/NeRF_RPN). With
the encoder of NeRF-MAE (Irshad et al., ECCV 2024) it is the detector of that paper.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import Tensor

from dense3d.detection3d.nerf_rpn.box_codes import bounds_of
from dense3d.errors import ConfigError, DataError
from dense3d.radiance.data_preprocessor import GridDataPreprocessor, grids_of
from dense3d.registry import MODELS
from dense3d.structures.boxes3d import boxes_of_corners
from dense3d.structures.grid_sample import GridDataSample


@MODELS.register_module()
class NerfRPN(BaseModel):
    """Boxes of objects in radiance grids, whatever their class.

    Args:
        backbone: a model of the registry with ``out_channels`` and ``out_strides``, which gives levels of
            grids: :class:`~dense3d.radiance.swin3d.Swin3D`, :class:`~dense3d.radiance.resnet3d.ResNet3D` or
            :class:`~dense3d.radiance.vgg3d.VGG3D`.
        bbox_head: :class:`~dense3d.detection3d.nerf_rpn.FCOSHead3D` or
            :class:`~dense3d.detection3d.nerf_rpn.AnchorHead3D`; channels and strides come from the pyramid.
        neck: the pyramid; :class:`~dense3d.radiance.fpn3d.FPN3D` with its defaults unless given.
        freeze_backbone: train neither backbone nor pyramid; norms with statistics go on gathering them.
        data_preprocessor: :class:`~dense3d.radiance.data_preprocessor.GridDataPreprocessor`; its
            ``resolution`` is what NeRF-MAE's detector pads to.
        init_cfg: see mmengine's ``BaseModel``.

    Raises:
        ConfigError: a backbone of patches that are no cubes with the anchor-free head.

    Shape:
        grids ``(B, 4, X, Y, Z)`` to boxes, see :meth:`forward`. A location of the padding proposes nothing,
        but norms and attention see it: a scene's boxes depend a little on how far its batch is padded.

    Example:
        >>> backbone = dict(type="ResNet3D", depths=(1, 1), base_channels=4)
        >>> head = dict(type="AnchorHead3D", sizes=((8,), (16,)), num_convs=1)
        >>> model = NerfRPN(backbone, head, neck=dict(type="FPN3D", out_channels=8)).eval()
        >>> found = model(torch.rand(1, 4, 16, 16, 12), mode="predict")
        >>> found[0].pred_boxes.shape[1]
        7
    """

    def __init__(
        self,
        backbone: dict[str, Any],
        bbox_head: dict[str, Any],
        neck: dict[str, Any] | None = None,
        freeze_backbone: bool = False,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(data_preprocessor or GridDataPreprocessor(), init_cfg)
        self.backbone = MODELS.build(backbone)
        self.neck = MODELS.build({"in_channels": self.backbone.out_channels, **(neck or {"type": "FPN3D"})})
        given = {"in_channels": self.neck.out_channels[0]}
        if str(bbox_head["type"]).endswith("FCOSHead3D"):
            _require_cubes(self.backbone)
            given["strides"] = self.neck.out_strides(self.backbone.out_strides)
        self.bbox_head = MODELS.build({**given, **bbox_head})
        if freeze_backbone:
            for part in (self.backbone, self.neck):
                part.requires_grad_(False)

    def forward(
        self,
        inputs: Tensor | Mapping[str, Tensor],
        data_samples: list[GridDataSample] | None = None,
        mode: str = "tensor",
    ) -> Any:
        """Losses, boxes or raw predictions.

        Args:
            inputs: grids ``(B, 4, X, Y, Z)``, or what the data preprocessor gives.
            data_samples: with ``gt_boxes`` for ``"loss"``; ``"predict"`` adds to them.
            mode: ``"loss"``; ``"predict"``, samples with ``pred_boxes`` (P, 7) in voxels by falling score,
                ``pred_box_scores`` (P,), ``pred_box_labels`` (P,), all 0, and ``pred_box_levels`` (P,); or
                ``"tensor"``.

        Raises:
            DataError: a grid or a box is no good; the message says why.
        """
        grids, shapes = grids_of(inputs)
        _check_finite(grids, data_samples)
        found = self.bbox_head(self.pyramid(grids), tuple(grids.shape[2:]))
        if mode == "tensor":
            return found
        valid = self.bbox_head.valid(found, shapes)
        if mode == "loss":
            return self.bbox_head.losses(found, _truth(data_samples, shapes, len(grids)), valid)
        samples = data_samples or [GridDataSample() for _ in grids]
        for sample, proposals in zip(samples, self.bbox_head.proposals(found, shapes, valid)):
            sample.pred_boxes, sample.pred_box_scores = proposals.boxes, proposals.scores
            sample.pred_box_levels = proposals.levels
            sample.pred_box_labels = torch.zeros_like(proposals.levels)
        return samples

    def pyramid(self, grids: Tensor) -> list[Tensor]:
        """Levels of the feature pyramid of a batch, finest first."""
        return self.neck(self.backbone(grids))


def _require_cubes(backbone: torch.nn.Module) -> None:
    """Locations of the anchor-free head have one stride along all axes."""
    patch = getattr(backbone, "patch_size", (1,))
    if len(set(patch)) > 1:
        raise ConfigError(f"patch_size={patch}: FCOSHead3D takes cubic patches, AnchorHead3D others, too")


def _name(samples: list[GridDataSample] | None, index: int) -> str:
    return str(samples[index].get("sample_id", f"grid {index}")) if samples else f"grid {index}"


def _check_finite(grids: Tensor, samples: list[GridDataSample] | None) -> None:
    fine = grids.isfinite().flatten(1).all(1)
    if not fine.all():
        name = _name(samples, int((~fine).nonzero()[0]))
        raise DataError(f"{name} has voxels that are no numbers: extract the grid again")


def _truth(samples: list[GridDataSample] | None, shapes: Tensor, count: int) -> list[Tensor]:
    """``(K, 7)`` true boxes of each scene."""
    if not samples or any(sample.get("gt_boxes") is None for sample in samples):
        raise DataError("grids came without gt_boxes: use a data set that has boxes")
    truth = []
    for index in range(count):
        boxes = torch.as_tensor(samples[index].gt_boxes).to(shapes.device).float()
        boxes = boxes if len(boxes) else boxes.new_zeros(0, 7)
        boxes = boxes_of_corners(boxes) if boxes.shape[-1] == 6 else boxes
        check_boxes(boxes, shapes[index], _name(samples, index))
        truth.append(boxes)
    return truth


def check_boxes(boxes: Tensor, shape: Tensor, name: str) -> None:
    """Refuse true boxes that cannot be meant.

    Args:
        boxes: ``(K, 7)`` in voxels.
        shape: ``(3,)`` of the grid. A box may reach beyond it, or lie there after augmentation, but not all
            may lie farther out than half of its longest side.
        name: of the scene.

    Raises:
        DataError: another shape, numbers that are none, a side that is not positive, or no box in the grid.
    """
    if boxes.dim() != 2 or boxes.shape[1] != 7:
        raise DataError(
            f"{name}: boxes are (K, 7), centre, sizes and yaw in voxels, not {tuple(boxes.shape)}"
        )
    bad = ~(boxes.isfinite().all(1) & (boxes[:, 3:6] > 0).all(1))
    if bad.any():
        row = [round(value, 3) for value in boxes[bad][0].tolist()]
        raise DataError(
            f"{name} has a box without volume, or with a number that is none: {row} (x, y, z, sizes, yaw); "
            "correct its annotation"
        )
    bounds = bounds_of(boxes)
    reach = float(shape.max()) / 2  # farther than GridAugmentation moves a box
    outside = ((bounds[:, 3:] <= -reach) | (bounds[:, :3] >= shape.to(bounds) + reach)).any(1)
    if len(boxes) and outside.all():
        sides = " x ".join(map(str, shape.tolist()))
        raise DataError(
            f"{name}: none of its {len(boxes)} boxes lies in the grid of {sides} "
            "voxels: boxes are in voxels of the grid, not in metres (RadianceGrid.boxes_to_voxel converts)"
        )
