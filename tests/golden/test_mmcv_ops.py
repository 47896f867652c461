"""The adapter of mmcv's operators on the kit, and on variants whose numbers come from elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision

from dense3d.errors import DataError
from tests.golden import UnknownCheckError
from tests.golden.compare import compare_check
from tests.golden.mmcv_ops import run


def randn(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def boxes(count: int) -> torch.Tensor:
    corner = randn(count, 2).abs() * 20
    return torch.cat([corner, corner + randn(count, 2).abs() * 20 + 1], 1)


def assert_check(name: str, inputs: dict, outputs: dict) -> None:
    """Run a check as a kit would hold it."""
    arrays = {
        side: {k: v.detach().numpy() if isinstance(v, torch.Tensor) else np.asarray(v) for k, v in d.items()}
        for side, d in (("in", inputs), ("out", outputs))
    }
    check = {"name": name, "inputs": list(inputs), "outputs": list(outputs), "rtol": 1e-3, "atol": 1e-4}
    rows = compare_check(check, arrays["out"], run(check, arrays["in"]))
    assert [str(row) for row in rows if not row.passed] == []
    assert {row.output for row in rows} == set(outputs)


def with_gradients(function, leaves: dict[str, torch.Tensor], names: dict[str, str] | None = None) -> dict:
    """``y`` and the gradients of ``sum(y * grad_output)``, and that ``grad_output``."""
    tensors = [leaf.clone().requires_grad_() for leaf in leaves.values()]
    y = function(*tensors)
    grad_output = randn(*y.shape)
    gradients = torch.autograd.grad(y, tensors, grad_output)
    return grad_output, {"y": y} | {f"grad_{k}": g for k, g in zip(leaves, gradients)}


@pytest.mark.parametrize("name", ["nms_offset0", "nms_large", "nms.second"])
def test_other_names_of_nms(name):
    b, scores = boxes(200), randn(200).sigmoid()
    keep = torchvision.ops.nms(b, scores, 0.3)
    inputs = {"boxes": b, "scores": scores, "iou_threshold": np.float32(0.3), "offset": 0}
    assert_check(name, inputs, {"dets": torch.cat([b[keep], scores[keep, None]], 1), "keep": keep})


def test_batched_nms_class_agnostic():
    b, scores = boxes(60), randn(60).sigmoid()
    keep = torchvision.ops.nms(b, scores, 0.5)
    inputs = {
        "boxes": b,
        "scores": scores,
        "idxs": np.arange(60) % 3,
        "iou_threshold": 0.5,
        "class_agnostic": True,
    }
    outputs = {"dets": torch.cat([b[keep], scores[keep, None]], 1), "keep": keep}
    assert_check("batched_nms_class_agnostic", inputs, outputs)


def test_soft_nms_method_from_the_name_and_from_the_inputs():
    b, scores = boxes(60), randn(60).sigmoid()
    keep = torchvision.ops.nms(b, scores, 0.5)
    outputs = {"dets": torch.cat([b[keep], scores[keep, None]], 1), "keep": keep}
    inputs = {"boxes": b, "scores": scores, "iou_threshold": 0.5}
    assert_check("soft_nms_naive_offset0", inputs, outputs)
    assert_check("soft_nms_other", inputs | {"method": "naive"}, outputs)


@pytest.mark.parametrize("name", ["roi_align_legacy_sr0", "roi_align_aligned_sr4", "roi_align_max"])
def test_variants_of_roi_align(name):
    x, ratio, aligned = randn(2, 3, 9, 11), 4 if name.endswith("sr4") else 1, "legacy" not in name
    rois = torch.cat([torch.arange(5.0)[:, None] % 2, boxes(5)], 1)
    ratio = 0 if name.endswith("sr0") else ratio
    grad_output, outputs = with_gradients(
        lambda x: torchvision.ops.roi_align(x, rois, (3, 2), 0.25, ratio, aligned), {"x": x}
    )
    inputs = {"x": x, "rois": rois, "output_size": [3, 2], "spatial_scale": 0.25, "sampling_ratio": ratio}
    # one sample a bin: its maximum is its mean
    assert_check(name, inputs | {"grad_output": grad_output}, outputs)


def test_deform_conv_of_other_geometry_and_without_optional_inputs():
    x, weight, bias = randn(1, 6, 8, 9), randn(3, 2, 3, 3), randn(3)
    offset, mask = randn(1, 54, 6, 3), randn(1, 27, 6, 3).sigmoid()
    geometry = {"stride": [1, 2], "padding": [1, 0], "dilation": [2, 2]}
    grad_output, outputs = with_gradients(
        lambda x, offset, weight, bias, mask: torchvision.ops.deform_conv2d(
            x, offset, weight, bias, (1, 2), (1, 0), (2, 2), mask
        ),
        {"x": x, "offset": offset, "weight": weight, "bias": bias, "mask": mask},
    )
    inputs = {"x": x, "offset": offset, "weight": weight, "bias": bias, "mask": mask} | geometry
    inputs |= {"grad_output": grad_output, "groups": 3, "deform_groups": 3}
    assert_check("modulated_deform_conv2d_groups3", inputs, outputs)
    x, weight, offset = randn(1, 2, 5, 5), randn(3, 2, 3, 3), torch.zeros(1, 18, 3, 3)
    inputs = {"x": x, "offset": offset, "weight": weight}
    assert_check("deform_conv2d_defaults", inputs, {"y": F.conv2d(x, weight)})


def test_operators_that_the_kit_lacks():
    x = randn(1, 4, 3, 3)
    middle = torch.zeros(1, 9, 6, 6)
    middle[:, 4] = 1
    inputs = {"features": x, "masks": middle, "kernel_size": 3, "group_size": 1, "scale_factor": 2}
    assert_check("carafe", inputs, {"y": F.interpolate(x, scale_factor=2)})
    assert_check("carafe_naive_k3", inputs, {"y": F.interpolate(x, scale_factor=2)})
    mask, weight, bias = randn(1, 3, 3) > 0, randn(2, 4, 3, 3), randn(2)
    inputs = {"features": x, "mask": mask, "weight": weight, "bias": bias, "padding": 1}
    assert_check("masked_conv2d", inputs, {"y": F.conv2d(x, weight, bias, padding=1) * mask[:, None]})
    rois = torch.tensor([[0.0, 0, 0, 2, 2]])
    pooled = x.amax((2, 3), keepdim=True)
    assert_check("roi_pool", {"x": x, "rois": rois, "output_size": 1, "spatial_scale": 1.0}, {"y": pooled})
    a, b = boxes(4), boxes(7)
    iou = torchvision.ops.box_iou(a, b)
    assert_check("bbox_overlaps", {"bboxes1": a, "bboxes2": b}, {"iou": iou})
    assert_check("bbox_overlaps_iou", {"bboxes1": a, "bboxes2": b, "mode": "iou"}, {"overlaps": iou})


@pytest.mark.parametrize("reduction", ["none", "sum"])
def test_sigmoid_focal_loss_with_gradient(reduction):
    target = torch.tensor([0, 2, 1, 3])
    one_hot = F.one_hot(target, 4)[:, :3].float()
    grad_output, outputs = with_gradients(
        lambda x: torchvision.ops.sigmoid_focal_loss(x, one_hot, 0.3, 1.5, reduction), {"input": randn(4, 3)}
    )
    inputs = {"input": randn(4, 3), "target": target, "gamma": 1.5, "alpha": 0.3, "reduction": reduction}
    outputs["loss"] = outputs.pop("y")
    assert_check("sigmoid_focal_loss", inputs | {"grad_output": grad_output}, outputs)


def test_points_in_boxes_part():
    points = torch.tensor([[[0.0, 0, 0.5], [9, 9, 9], [2.5, 0, 0.5]]])
    b = torch.tensor([[[0.0, 0, 0, 2, 2, 1, 0], [2, 0, 0, 2, 2, 1, 0]]])
    first = np.array([[0, -1, 1]], np.int32)
    assert_check("points_in_boxes_part", {"points": points, "boxes": b}, {"idx": first})


def test_unknown_checks_and_inputs_are_failures():
    check = {"name": "three_nn", "outputs": ["y"]}
    with pytest.raises(UnknownCheckError, match="'three_nn'"):
        run(check, {})
    with pytest.raises(UnknownCheckError, match="'nmsx'"):
        run(check | {"name": "nmsx"}, {})
    arrays = {"boxes": np.zeros((1, 4), np.float32), "scores": np.ones(1, np.float32)}
    with pytest.raises(DataError, match="input 'colour' is no argument of nms"):
        run(check | {"name": "nms"}, arrays | {"iou_threshold": np.array(0.5), "colour": np.array(1)})
    with pytest.raises(DataError, match="'grad_weight' is wanted, but there is no input 'weight'"):
        run({"name": "roi_align", "outputs": ["y", "grad_weight"]}, {"x": np.zeros((1, 1, 2, 2))})
