"""Every name of ``mmcv.ops``: it computes without a compiled extension, or it is refused by name.

Each name has a small call; a name that a later mmcv adds fails the first test until it has one too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch

from dense3d import ops
from dense3d.errors import OperatorUnavailableError

ops.install_mmcv_extension()
mmcv_ops = pytest.importorskip("mmcv.ops")

if not hasattr(sys.modules["mmcv._ext"], "stand_in_reason"):
    pytest.skip("the installed mmcv has a compiled extension that works", allow_module_level=True)

rand, ints = torch.rand, torch.tensor
MAPS = rand(1, 4, 8, 8)
ROI = torch.tensor([[0.0, 1, 2, 6, 7]])
ROTATED_ROI = torch.tensor([[0.0, 4, 4, 3, 2, 0.3]])
BOXES = torch.tensor([[0.0, 0, 4, 4], [1, 1, 5, 5]])
ROTATED = torch.tensor([[2.0, 2, 4, 2, 0.3], [2, 2, 4, 2, 0.0]])
QUADRI = torch.tensor([[0.0, 0, 2, 0, 2, 2, 0, 2]])
BOXES_3D = torch.tensor([[0.0, 0, 0, 4, 2, 2, 0.1], [0, 0, 0, 4, 2, 2, 0]])
SCORES = torch.tensor([0.8, 0.9])
POINTS = rand(1, 6, 3)
CLASSES, LOGITS = torch.tensor([0, 1]), rand(2, 3)
KERNEL = torch.ones(2, 2) / 4


def _attention() -> torch.Tensor:
    layer = mmcv_ops.MultiScaleDeformableAttention(8, 2, 1, 2, batch_first=True)
    sizes = {"spatial_shapes": ints([[2, 3]]), "level_start_index": ints([0])}
    return layer(rand(1, 5, 8), value=rand(1, 6, 8), reference_points=rand(1, 5, 1, 2), **sizes)


def _sparse() -> mmcv_ops.SparseConvTensor:
    return mmcv_ops.SparseConvTensor(rand(2, 4), ints([[0, 0, 0, 0], [0, 1, 1, 1]]).int(), [4, 4, 4], 1)


def _sparse_2d() -> mmcv_ops.SparseConvTensor:
    return mmcv_ops.SparseConvTensor(rand(2, 4), ints([[0, 0, 0], [0, 1, 1]]).int(), [4, 4], 1)


COMPUTED: dict[str, Callable] = {
    "CARAFE": lambda: mmcv_ops.CARAFE(3, 1, 2)(MAPS, rand(1, 9, 16, 16)),
    "CARAFENaive": lambda: mmcv_ops.CARAFENaive(3, 1, 2)(MAPS, rand(1, 9, 16, 16)),
    "CARAFEPack": lambda: mmcv_ops.CARAFEPack(4, 2)(MAPS),
    "Conv2d": lambda: mmcv_ops.Conv2d(4, 2, 3)(MAPS),
    "ConvTranspose2d": lambda: mmcv_ops.ConvTranspose2d(4, 2, 3)(MAPS),
    "CornerPool": lambda: mmcv_ops.CornerPool("top")(MAPS),
    "CrissCrossAttention": lambda: mmcv_ops.CrissCrossAttention(8)(rand(1, 8, 4, 4)),
    "DeformConv2d": lambda: mmcv_ops.DeformConv2d(4, 2, 3)(MAPS, rand(1, 18, 6, 6)),
    "DeformConv2dPack": lambda: mmcv_ops.DeformConv2dPack(4, 2, 3)(MAPS),
    "DeformRoIPool": lambda: mmcv_ops.DeformRoIPool(2)(MAPS, ROI),
    "DeformRoIPoolPack": lambda: mmcv_ops.DeformRoIPoolPack(2, 4)(MAPS, ROI),
    "FusedBiasLeakyReLU": lambda: mmcv_ops.FusedBiasLeakyReLU(4)(MAPS),
    "GroupAll": lambda: mmcv_ops.GroupAll()(POINTS, POINTS, rand(1, 4, 6)),
    "Linear": lambda: mmcv_ops.Linear(8, 2)(MAPS),
    "MaskedConv2d": lambda: mmcv_ops.MaskedConv2d(4, 2, 3, padding=1)(MAPS, torch.ones(1, 8, 8)),
    "MaxPool2d": lambda: mmcv_ops.MaxPool2d(2)(MAPS),
    "ModulatedDeformConv2d": lambda: mmcv_ops.ModulatedDeformConv2d(4, 2, 3)(
        MAPS, rand(1, 18, 6, 6), rand(1, 9, 6, 6)
    ),
    "ModulatedDeformConv2dPack": lambda: mmcv_ops.ModulatedDeformConv2dPack(4, 2, 3)(MAPS),
    "ModulatedDeformRoIPoolPack": lambda: mmcv_ops.ModulatedDeformRoIPoolPack(2, 4)(MAPS, ROI),
    "MultiScaleDeformableAttention": _attention,
    "PSAMask": lambda: mmcv_ops.PSAMask("collect", (3, 3))(rand(1, 9, 4, 4)),
    "RoIAlign": lambda: mmcv_ops.RoIAlign(2)(MAPS, ROI),
    "RoIAlignRotated": lambda: mmcv_ops.RoIAlignRotated(2, 1.0)(MAPS, ROTATED_ROI),
    "RoIPool": lambda: mmcv_ops.RoIPool(2)(MAPS, ROI),
    "SAConv2d": lambda: mmcv_ops.SAConv2d(4, 4, 3, padding=1)(MAPS),
    "SigmoidFocalLoss": lambda: mmcv_ops.SigmoidFocalLoss(2.0, 0.25)(LOGITS, CLASSES),
    "SimpleRoIAlign": lambda: mmcv_ops.SimpleRoIAlign(2, 1.0)(MAPS, ROI),
    "SoftmaxFocalLoss": lambda: mmcv_ops.SoftmaxFocalLoss(2.0, 0.25)(LOGITS, CLASSES),
    "SparseConvTensor": lambda: _sparse().dense(),
    "SparseModule": lambda: mmcv_ops.SparseModule(),
    "SparseSequential": lambda: mmcv_ops.SparseSequential(torch.nn.ReLU())(_sparse()).dense(),
    "SyncBatchNorm": lambda: mmcv_ops.SyncBatchNorm(4)(MAPS),
    "batched_nms": lambda: mmcv_ops.batched_nms(BOXES, SCORES, CLASSES, {"iou_threshold": 0.5})[0],
    "bbox_overlaps": lambda: mmcv_ops.bbox_overlaps(BOXES, BOXES),
    "bias_act": lambda: mmcv_ops.bias_act(MAPS, rand(4), act="lrelu"),
    "box_iou_rotated": lambda: mmcv_ops.box_iou_rotated(ROTATED, ROTATED),
    "boxes_iou3d": lambda: mmcv_ops.boxes_iou3d(BOXES_3D, BOXES_3D),
    "boxes_iou_bev": lambda: mmcv_ops.boxes_iou_bev(ROTATED, ROTATED),
    "boxes_overlap_bev": lambda: mmcv_ops.boxes_overlap_bev(BOXES_3D, BOXES_3D),
    "carafe": lambda: mmcv_ops.carafe(MAPS, rand(1, 9, 16, 16), 3, 1, 2),
    "carafe_naive": lambda: mmcv_ops.carafe_naive(MAPS, rand(1, 9, 16, 16), 3, 1, 2),
    "conv2d": lambda: mmcv_ops.conv2d(MAPS, rand(2, 4, 3, 3)),
    "conv_transpose2d": lambda: mmcv_ops.conv_transpose2d(MAPS, rand(4, 2, 3, 3)),
    "deform_conv2d": lambda: mmcv_ops.deform_conv2d(MAPS, rand(1, 18, 6, 6), rand(2, 4, 3, 3)),
    "deform_roi_pool": lambda: mmcv_ops.deform_roi_pool(MAPS, ROI, None, 2),
    "filter2d": lambda: mmcv_ops.filter2d(MAPS, KERNEL),
    "filtered_lrelu": lambda: mmcv_ops.filtered_lrelu(MAPS, KERNEL, KERNEL),
    "fused_bias_leakyrelu": lambda: mmcv_ops.fused_bias_leakyrelu(MAPS, rand(4)),
    "get_compiler_version": lambda: mmcv_ops.get_compiler_version(),
    "get_compiling_cuda_version": lambda: mmcv_ops.get_compiling_cuda_version(),
    "line_nms": lambda: mmcv_ops.line_nms(rand(2, 77), SCORES, 10.0, 5)[1],
    "masked_conv2d": lambda: mmcv_ops.masked_conv2d(
        MAPS, torch.ones(1, 8, 8), rand(2, 4, 3, 3), rand(2), 1, 1
    ),
    "modulated_deform_conv2d": lambda: mmcv_ops.modulated_deform_conv2d(
        MAPS, rand(1, 18, 6, 6), rand(1, 9, 6, 6), rand(2, 4, 3, 3)
    ),
    "nms": lambda: mmcv_ops.nms(BOXES, SCORES, 0.5)[0],
    "nms3d": lambda: mmcv_ops.nms3d(BOXES_3D, SCORES, 0.5),
    "nms3d_normal": lambda: mmcv_ops.nms3d_normal(BOXES_3D, SCORES, 0.5),
    "nms_bev": lambda: mmcv_ops.nms_bev(ROTATED, SCORES, 0.5),
    "nms_match": lambda: mmcv_ops.nms_match(torch.cat([BOXES, SCORES[:, None]], 1), 0.5)[0],
    "nms_normal_bev": lambda: mmcv_ops.nms_normal_bev(ROTATED, SCORES, 0.5),
    "nms_rotated": lambda: mmcv_ops.nms_rotated(ROTATED, SCORES, 0.5)[0],
    "point_sample": lambda: mmcv_ops.point_sample(MAPS, rand(1, 5, 2)),
    "points_in_boxes_all": lambda: mmcv_ops.points_in_boxes_all(POINTS, BOXES_3D[None]),
    "points_in_boxes_cpu": lambda: mmcv_ops.points_in_boxes_cpu(POINTS, BOXES_3D[None]),
    "points_in_boxes_part": lambda: mmcv_ops.points_in_boxes_part(POINTS, BOXES_3D[None]),
    "rel_roi_point_to_rel_img_point": lambda: mmcv_ops.rel_roi_point_to_rel_img_point(
        ROI, rand(1, 5, 2), (8, 8)
    ),
    "roi_align": lambda: mmcv_ops.roi_align(MAPS, ROI, 2),
    "roi_align_rotated": lambda: mmcv_ops.roi_align_rotated(MAPS, ROTATED_ROI, 2),
    "roi_pool": lambda: mmcv_ops.roi_pool(MAPS, ROI, 2),
    "scatter_nd": lambda: mmcv_ops.scatter_nd(ints([[0], [2]]), rand(2, 3), [4, 3]),
    "sigmoid_focal_loss": lambda: mmcv_ops.sigmoid_focal_loss(LOGITS, CLASSES),
    "soft_nms": lambda: mmcv_ops.soft_nms(BOXES, SCORES)[0],
    "softmax_focal_loss": lambda: mmcv_ops.softmax_focal_loss(LOGITS, CLASSES),
    "upfirdn2d": lambda: mmcv_ops.upfirdn2d(MAPS, KERNEL, up=2),
    "upsample2d": lambda: mmcv_ops.upsample2d(MAPS, KERNEL),
}

REFUSED: dict[str, Callable] = {
    "BezierAlign": lambda: mmcv_ops.BezierAlign((2, 2), 1.0, 1)(MAPS, rand(1, 17)),
    "BorderAlign": lambda: mmcv_ops.BorderAlign(2)(MAPS, rand(1, 64, 4)),
    "Correlation": lambda: mmcv_ops.Correlation()(MAPS, MAPS),
    "DynamicScatter": lambda: mmcv_ops.DynamicScatter([1.0] * 3, [0.0] * 3 + [4.0] * 3, True)(
        rand(6, 3), torch.zeros(6, 3).int()
    ),
    "PointsSampler": lambda: mmcv_ops.PointsSampler([2])(POINTS, rand(1, 4, 6)),
    "PrRoIPool": lambda: mmcv_ops.PrRoIPool(2)(MAPS, ROI),
    "QueryAndGroup": lambda: mmcv_ops.QueryAndGroup(1.0, 2)(POINTS, POINTS, rand(1, 4, 6)),
    "RiRoIAlignRotated": lambda: mmcv_ops.RiRoIAlignRotated(2, 1.0, 1, 4)(MAPS, ROTATED_ROI),
    "RoIAwarePool3d": lambda: mmcv_ops.RoIAwarePool3d(2)(BOXES_3D, POINTS[0], rand(6, 4)),
    "RoIPointPool3d": lambda: mmcv_ops.RoIPointPool3d(2)(POINTS, rand(1, 6, 4), BOXES_3D[None]),
    "SparseConv2d": lambda: mmcv_ops.SparseConv2d(4, 2, 3)(_sparse_2d()),
    "SparseConv3d": lambda: mmcv_ops.SparseConv3d(4, 2, 3)(_sparse()),
    "SparseConvTranspose2d": lambda: mmcv_ops.SparseConvTranspose2d(4, 2, 3)(_sparse_2d()),
    "SparseConvTranspose3d": lambda: mmcv_ops.SparseConvTranspose3d(4, 2, 3)(_sparse()),
    "SparseInverseConv2d": lambda: mmcv_ops.SparseSequential(
        mmcv_ops.SparseConv2d(4, 2, 3, indice_key="k"), mmcv_ops.SparseInverseConv2d(2, 4, 3, "k")
    )(_sparse_2d()),
    "SparseInverseConv3d": lambda: mmcv_ops.SparseSequential(
        mmcv_ops.SparseConv3d(4, 2, 3, indice_key="k"), mmcv_ops.SparseInverseConv3d(2, 4, 3, "k")
    )(_sparse()),
    "SparseMaxPool2d": lambda: mmcv_ops.SparseMaxPool2d(2)(_sparse_2d()),
    "SparseMaxPool3d": lambda: mmcv_ops.SparseMaxPool3d(2)(_sparse()),
    "SubMConv2d": lambda: mmcv_ops.SubMConv2d(4, 2, 3)(_sparse_2d()),
    "SubMConv3d": lambda: mmcv_ops.SubMConv3d(4, 2, 3)(_sparse()),
    "TINShift": lambda: mmcv_ops.TINShift()(rand(1, 4, 4, 9), torch.zeros(1, 2).int()),
    "Voxelization": lambda: mmcv_ops.Voxelization([1.0] * 3, [0.0] * 3 + [4.0] * 3, 2)(POINTS[0]),
    "active_rotated_filter": lambda: mmcv_ops.active_rotated_filter(
        rand(2, 2, 1, 3, 3), torch.ones(1, 3, 3, 2).int()
    ),
    "assign_score_withk": lambda: mmcv_ops.assign_score_withk(
        rand(1, 2, 3, 4), rand(1, 6, 4, 5), rand(1, 6, 4, 5), torch.zeros(1, 2, 3).long()
    ),
    "ball_query": lambda: mmcv_ops.ball_query(0.0, 1.0, 2, POINTS, POINTS),
    "bezier_align": lambda: mmcv_ops.bezier_align(MAPS, rand(1, 17), (2, 2)),
    "border_align": lambda: mmcv_ops.border_align(MAPS, rand(1, 64, 4), 2),
    "box_iou_quadri": lambda: mmcv_ops.box_iou_quadri(QUADRI, QUADRI),
    "chamfer_distance": lambda: mmcv_ops.chamfer_distance(rand(1, 4, 2), rand(1, 4, 2)),
    "contour_expand": lambda: mmcv_ops.contour_expand(
        np.ones((1, 4, 4), np.uint8), np.ones((4, 4), np.int32), 1, 1
    ),
    "convex_giou": lambda: mmcv_ops.convex_giou(rand(1, 18), QUADRI),
    "convex_iou": lambda: mmcv_ops.convex_iou(rand(1, 18), QUADRI),
    "diff_iou_rotated_2d": lambda: mmcv_ops.diff_iou_rotated_2d(ROTATED[None], ROTATED[None]),
    "diff_iou_rotated_3d": lambda: mmcv_ops.diff_iou_rotated_3d(BOXES_3D[None], BOXES_3D[None]),
    "dynamic_scatter": lambda: mmcv_ops.dynamic_scatter(rand(6, 3), torch.zeros(6, 3).int()),
    "furthest_point_sample": lambda: mmcv_ops.furthest_point_sample(POINTS, 2),
    "furthest_point_sample_with_dist": lambda: mmcv_ops.furthest_point_sample_with_dist(rand(1, 6, 6), 2),
    "gather_points": lambda: mmcv_ops.gather_points(rand(1, 4, 6), torch.zeros(1, 2).int()),
    "grouping_operation": lambda: mmcv_ops.grouping_operation(rand(1, 4, 6), torch.zeros(1, 2, 2).int()),
    "knn": lambda: mmcv_ops.knn(2, POINTS, POINTS),
    "min_area_polygons": lambda: mmcv_ops.min_area_polygons(rand(1, 18)),
    "nms_quadri": lambda: mmcv_ops.nms_quadri(QUADRI, torch.tensor([0.5]), 0.5),
    "pixel_group": lambda: mmcv_ops.pixel_group(
        *(np.ones((4, 4), np.float32), np.ones((4, 4), bool), np.ones((4, 4, 2), np.float32)),
        *(np.ones((4, 4), np.int32), np.ones((4, 4), np.uint8), 1, 0.5),
    ),
    "points_in_polygons": lambda: mmcv_ops.points_in_polygons(rand(3, 2), QUADRI),
    "prroi_pool": lambda: mmcv_ops.prroi_pool(MAPS, ROI, (2, 2)),
    "riroi_align_rotated": lambda: mmcv_ops.riroi_align_rotated(MAPS, ROTATED_ROI, 2, 1.0, 1, 4),
    "rotated_feature_align": lambda: mmcv_ops.rotated_feature_align(MAPS, rand(1, 8, 8, 5)),
    "three_interpolate": lambda: mmcv_ops.three_interpolate(
        rand(1, 4, 6), torch.zeros(1, 5, 3).int(), rand(1, 5, 3)
    ),
    "three_nn": lambda: mmcv_ops.three_nn(POINTS, POINTS),
    "tin_shift": lambda: mmcv_ops.tin_shift(rand(1, 4, 4, 9), torch.zeros(1, 2).int()),
    "voxelization": lambda: mmcv_ops.voxelization(POINTS[0], [1.0] * 3, [0.0] * 3 + [4.0] * 3, 2),
}


def test_every_name_has_a_call():
    assert not COMPUTED.keys() & REFUSED.keys()
    assert {*COMPUTED, *REFUSED} == {*mmcv_ops.__all__}


@pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")
@pytest.mark.parametrize("name", COMPUTED)
def test_it_computes(name):
    result = COMPUTED[name]()
    assert result is not None
    if isinstance(result, torch.Tensor):
        assert result.isfinite().all()


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_in_one_sentence(name):
    with pytest.raises(
        OperatorUnavailableError, match=r"^mmcv's operator '\w+' has no implementation"
    ) as error:
        REFUSED[name]()
    assert "\n" not in str(error.value)
