"""Operators called through ``mmcv.ops``, forward and backward, as mmdet and mmseg call them."""

from __future__ import annotations

import importlib
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dense3d import ops
from dense3d.errors import OperatorUnavailableError
from dense3d.ops.mmcv_wrappers import CORRECTIONS
from tests.golden.kit import GoldenKit
from tests.golden.make import thinned

ops.install_mmcv_extension()
mmcv_ops = pytest.importorskip("mmcv.ops")

if not hasattr(sys.modules["mmcv._ext"], "stand_in_reason"):
    pytest.skip("the installed mmcv has a compiled extension that works", allow_module_level=True)


@pytest.fixture(scope="module")
def kit(golden_dir) -> GoldenKit:
    return GoldenKit(golden_dir / "mmcv-ops")


def tensors(kit: GoldenKit, check: str) -> dict:
    """Inputs of a check: scalars as numbers, arrays as tensors."""
    return {k: v.item() if v.ndim == 0 else torch.from_numpy(v) for k, v in kit.inputs(check).items()}


def assert_outputs(kit: GoldenKit, check: str, produced: dict[str, torch.Tensor]) -> None:
    stored = kit.outputs(check)
    assert set(produced) == set(stored)
    for name, value in produced.items():
        expected = torch.from_numpy(stored[name])
        torch.testing.assert_close(
            torch.from_numpy(thinned(value.detach().numpy())),
            expected,
            rtol=1e-3,
            atol=1e-4,
            check_dtype=False,
            msg=name,
        )


@pytest.mark.parametrize("check", ["nms", "nms_offset1"])
def test_nms(kit, check):
    dets, keep = mmcv_ops.nms(**tensors(kit, check))
    assert_outputs(kit, check, {"dets": dets, "keep": keep})


def test_nms_of_arrays_gives_arrays(kit):
    inputs = kit.inputs("nms")
    dets, _ = mmcv_ops.nms(inputs["boxes"], inputs["scores"], float(inputs["iou_threshold"]))
    assert isinstance(dets, np.ndarray)
    np.testing.assert_allclose(dets, kit.outputs("nms")["dets"])


@pytest.mark.parametrize("method", ["linear", "gaussian", "naive"])
def test_soft_nms(kit, method):
    dets, keep = mmcv_ops.soft_nms(**tensors(kit, f"soft_nms_{method}"), method=method)
    assert_outputs(kit, f"soft_nms_{method}", {"dets": dets, "keep": keep})


def test_batched_nms(kit):
    inputs = tensors(kit, "batched_nms")
    nms_cfg = {"type": "nms", "iou_threshold": inputs.pop("iou_threshold")}
    dets, keep = mmcv_ops.batched_nms(**inputs, nms_cfg=nms_cfg)
    assert_outputs(kit, "batched_nms", {"dets": dets, "keep": keep})


def test_nms_match(kit):
    groups = mmcv_ops.nms_match(**tensors(kit, "nms_match"))
    assert_outputs(kit, "nms_match", {f"group{i:03d}": group for i, group in enumerate(groups)})


def test_nms_rotated_and_its_overlaps(kit):
    inputs = tensors(kit, "nms_rotated")
    dets, keep = mmcv_ops.nms_rotated(inputs["boxes"], inputs["scores"], inputs["iou_threshold"])
    assert_outputs(kit, "nms_rotated", {"dets": dets, "keep": keep})
    boxes1, boxes2 = tensors(kit, "box_iou_rotated").values()
    overlaps = {mode: mmcv_ops.box_iou_rotated(boxes1, boxes2, mode) for mode in ("iou", "iof")}
    assert_outputs(kit, "box_iou_rotated", overlaps)
    aligned = mmcv_ops.box_iou_rotated(boxes1, boxes2, aligned=True)
    torch.testing.assert_close(aligned, overlaps["iou"].diagonal())


def test_bbox_overlaps():
    boxes = torch.tensor([[0.0, 0, 2, 2], [1, 0, 3, 2]])
    torch.testing.assert_close(mmcv_ops.bbox_overlaps(boxes, boxes), torch.tensor([[1, 1 / 3], [1 / 3, 1]]))
    assert mmcv_ops.bbox_overlaps(boxes, boxes.flip(0), "iof", aligned=True).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("check", ["roi_align_aligned_sr0", "roi_align_legacy_sr2", "roi_align_aligned_sr2"])
def test_roi_align_module(kit, check):
    inputs = tensors(kit, check)
    x = inputs["x"].requires_grad_()
    layer = mmcv_ops.RoIAlign(
        tuple(inputs["output_size"].tolist()),
        inputs["spatial_scale"],
        inputs["sampling_ratio"],
        aligned=inputs["aligned"],
    )
    y = layer(x, inputs["rois"])
    assert_outputs(kit, check, {"y": y, "grad_x": torch.autograd.grad(y, x, inputs["grad_output"])[0]})
    function = importlib.import_module("mmcv.ops.roi_align").RoIAlignFunction
    assert torch.equal(function.apply(x, inputs["rois"], *list(vars_of(layer))), y)


def vars_of(layer) -> tuple:
    return layer.output_size, layer.spatial_scale, layer.sampling_ratio, layer.pool_mode, layer.aligned


def test_roi_align_rotated_module(kit):
    inputs = tensors(kit, "roi_align_rotated")
    x, rois, grad_output = (inputs.pop(key) for key in ("x", "rois", "grad_output"))
    inputs["output_size"] = tuple(inputs["output_size"].tolist())
    y = mmcv_ops.RoIAlignRotated(**inputs)(x.requires_grad_(), rois)
    grad_x = torch.autograd.grad(y, x, grad_output)[0]
    assert_outputs(kit, "roi_align_rotated", {"y": y, "grad_x": grad_x})


def test_deform_conv_module(kit):
    inputs = tensors(kit, "deform_conv2d")
    layer = mmcv_ops.DeformConv2d(
        8, 4, 3, stride=2, padding=1, groups=inputs["groups"], deform_groups=inputs["deform_groups"]
    )
    layer.weight.data = inputs["weight"]
    x, offset = inputs["x"].requires_grad_(), inputs["offset"].requires_grad_()
    y = layer(x, offset)
    gradients = torch.autograd.grad(y, [x, offset, layer.weight], inputs["grad_output"])
    names = ("grad_x", "grad_offset", "grad_weight")
    assert_outputs(kit, "deform_conv2d", {"y": y} | dict(zip(names, gradients)))


def test_modulated_deform_conv_module(kit):
    inputs = tensors(kit, "modulated_deform_conv2d")
    layer = mmcv_ops.ModulatedDeformConv2d(8, 6, 3, padding=1)
    layer.weight.data, layer.bias.data = inputs["weight"], inputs["bias"]
    leaves = [inputs[key].requires_grad_() for key in ("x", "offset", "mask")]
    y = layer(*leaves)
    gradients = torch.autograd.grad(y, [*leaves, layer.weight, layer.bias], inputs["grad_output"])
    names = ("grad_x", "grad_offset", "grad_mask", "grad_weight", "grad_bias")
    assert_outputs(kit, "modulated_deform_conv2d", {"y": y} | dict(zip(names, gradients)))


@pytest.mark.parametrize("route", ["cpu", "cuda"])
def test_multi_scale_deformable_attention(kit, route):
    """mmcv takes one route for CPU tensors and another, an autograd function, for CUDA tensors."""
    module = importlib.import_module("mmcv.ops.multi_scale_deform_attn")
    inputs = tensors(kit, "multi_scale_deformable_attention")
    shapes = inputs["spatial_shapes"]
    leaves = [inputs[k].requires_grad_() for k in ("value", "sampling_locations", "attention_weights")]
    value, locations, weights = leaves
    if route == "cpu":
        y = module.multi_scale_deformable_attn_pytorch(value, shapes, locations, weights)
    else:
        starts = torch.cat([shapes.new_zeros(1), shapes.prod(1).cumsum(0)[:-1]])
        function = module.MultiScaleDeformableAttnFunction
        y = function.apply(value, shapes, starts, locations, weights, 64)
    gradients = torch.autograd.grad(y, leaves, inputs["grad_output"])
    names = ("grad_value", "grad_sampling_locations", "grad_attention_weights")
    assert_outputs(kit, "multi_scale_deformable_attention", {"y": y} | dict(zip(names, gradients)))


def test_multi_scale_deformable_attention_layer_trains():
    layer = mmcv_ops.MultiScaleDeformableAttention(32, 4, 2, 3, batch_first=True)
    shapes = torch.tensor([[6, 5], [3, 2]])
    query = torch.randn(2, 7, 32)
    y = layer(
        query,
        value=torch.randn(2, 36, 32),
        reference_points=torch.rand(2, 7, 2, 2),
        spatial_shapes=shapes,
        level_start_index=torch.tensor([0, 30]),
    )
    y.sum().backward()
    assert y.shape == query.shape
    assert all(p.grad is not None for p in layer.parameters())


@pytest.mark.parametrize("name", ["points_in_boxes_cpu", "points_in_boxes_all"])
def test_points_in_boxes(kit, name):
    inputs = tensors(kit, "points_in_boxes")
    mask = getattr(mmcv_ops, name)(inputs["points"], inputs["boxes"])
    assert_outputs(kit, "points_in_boxes", {"mask": mask})


def test_points_in_boxes_part(kit):
    inputs = tensors(kit, "points_in_boxes")
    first = mmcv_ops.points_in_boxes_part(inputs["points"], inputs["boxes"])[0]
    mask = mmcv_ops.points_in_boxes_all(inputs["points"], inputs["boxes"])[0].bool()
    for m in range(len(first)):
        assert first[m].item() == (mask[m].nonzero()[0].item() if mask[m].any() else -1)


@pytest.mark.parametrize("name", ["SigmoidFocalLoss", "SoftmaxFocalLoss"])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_focal_loss_modules(name, reduction):
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    target = torch.tensor([0, 1, 2, 3, 0, 1])
    loss = getattr(mmcv_ops, name)(2.0, 0.25, None, reduction)(logits, target)
    function = ops.sigmoid_focal_loss if name.startswith("Sig") else ops.softmax_focal_loss
    torch.testing.assert_close(loss, function(logits, target, 2.0, 0.25, None, reduction))
    assert torch.autograd.grad(loss.sum(), logits)[0].abs().sum() > 0


@pytest.mark.parametrize("name", ["CARAFE", "CARAFENaive"])
def test_carafe_modules(name):
    x, masks = torch.randn(1, 4, 3, 3, requires_grad=True), torch.randn(1, 50, 6, 6, requires_grad=True)
    y = getattr(mmcv_ops, name)(5, 2, 2)(x, masks)
    torch.testing.assert_close(y, ops.carafe(x, masks, 5, 2, 2))
    y.sum().backward()
    assert x.grad.abs().sum() > 0 and masks.grad.abs().sum() > 0


def test_carafe_pack_upsamples():
    assert mmcv_ops.CARAFEPack(8, 2)(torch.randn(1, 8, 4, 5)).shape == (1, 8, 8, 10)


def test_masked_conv_module():
    layer = mmcv_ops.MaskedConv2d(3, 5, 3, padding=1)
    x, mask = torch.randn(1, 3, 6, 7), torch.rand(1, 6, 7).round()
    y = layer(x, mask)
    expected = F.conv2d(x, layer.weight, layer.bias, padding=1) * mask[:, None]
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-5)
    y.sum().backward()
    assert layer.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("psa_type", ["collect", "distribute"])
def test_psa_mask_module(psa_type):
    x = torch.randn(2, 15, 4, 3, requires_grad=True)
    y = mmcv_ops.PSAMask(psa_type, (3, 5))(x)
    torch.testing.assert_close(y, ops.psa_mask(x, psa_type, (3, 5)))
    y.sum().backward()
    assert x.grad.max() == 1


def test_roi_pool_and_deform_roi_pool_modules():
    x, rois = torch.randn(1, 4, 8, 8, requires_grad=True), torch.tensor([[0.0, 1, 2, 25, 20]])
    pooled = mmcv_ops.RoIPool(2, 0.25)(x, rois)
    torch.testing.assert_close(pooled, ops.roi_pool(x, rois, 2, 0.25))
    pack = mmcv_ops.ModulatedDeformRoIPoolPack(2, 4, spatial_scale=0.25)
    (pooled.sum() + pack(x, rois).sum()).backward()
    assert x.grad.abs().sum() > 0
    assert pack.offset_fc[-1].bias.grad.abs().sum() > 0


def test_line_nms():
    lines = torch.zeros(3, 77)
    lines[:, 4], lines[2, 5:] = 72, 300
    keep, count, _ = mmcv_ops.line_nms(lines, torch.tensor([0.8, 0.9, 0.7]), 10.0, 5)
    assert keep[: count.item()].tolist() == [1, 2]


def test_sync_bn_is_torchs():
    from mmengine.registry import MODELS

    layer = MODELS.build({"type": "MMSyncBN", "num_features": 4, "momentum": 0.3})
    assert isinstance(layer, torch.nn.SyncBatchNorm)
    assert isinstance(MODELS.build({"type": "SyncBN", "num_features": 4}), torch.nn.SyncBatchNorm)
    plain = torch.nn.BatchNorm2d(4, momentum=0.3)
    x = torch.randn(3, 4, 5, 5)
    torch.testing.assert_close(layer(x), plain(x))
    torch.testing.assert_close(layer.running_var, plain.running_var)
    with pytest.raises(ValueError, match="stats_mode"):
        mmcv_ops.SyncBatchNorm(4, stats_mode="M")


def test_compiler_of_the_environment_report():
    assert "dense3d" in mmcv_ops.get_compiler_version()


@pytest.mark.parametrize("batch", [1, 2])
def test_dyhead_runs_forward_and_backward(batch):
    """A level's offset, larger than the next level's output, goes to that level's convolution too."""
    dyhead = pytest.importorskip("mmdet.models.necks.dyhead").DyHead(16, 16, num_blocks=1)
    torch.nn.init.normal_(dyhead.dyhead_blocks[0].spatial_conv_offset.weight)
    levels = [torch.randn(batch, 16, size, size, requires_grad=True) for size in (32, 16, 8)]
    outputs = dyhead(levels)
    assert [tuple(y.shape) for y in outputs] == [(batch, 16, size, size) for size in (32, 16, 8)]
    sum(y.square().sum() for y in outputs).backward()
    assert all(level.grad.abs().sum() > 0 for level in levels)
    assert all(p.grad.isfinite().all() for p in dyhead.parameters())
    apart = dyhead([level[-1:] for level in levels])
    for together, single in zip(outputs, apart):
        torch.testing.assert_close(together[-1:], single, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("batch", "step", "fits"), [(4, 2, True), (3, 2, False), (3, 32, True), (3, 0, False)]
)
def test_im2col_step_must_divide_the_batch(batch, step, fits):
    x, offset = torch.rand(batch, 2, 5, 5), torch.zeros(batch, 18, 3, 3)
    value, locations = torch.rand(batch, 4, 1, 2), torch.rand(batch, 1, 1, 1, 1, 2)
    attention = importlib.import_module("mmcv.ops.multi_scale_deform_attn").MultiScaleDeformableAttnFunction
    calls = {
        AssertionError: lambda: mmcv_ops.DeformConv2d(2, 3, 3, im2col_step=step)(x, offset),
        RuntimeError: lambda: attention.apply(
            value, torch.tensor([[2, 2]]), torch.tensor([0]), locations, locations[..., 0], step
        ),
    }
    for error, call in calls.items():
        if fits:
            assert len(call()) == batch
        else:
            with pytest.raises(error, match="im2col_step"):
                call()


def random_boxes_3d(seed: int, number: int = 40) -> torch.Tensor:
    """``(x, y, z, dx, dy, dz, heading)``, many of which meet."""
    random = torch.Generator().manual_seed(seed)
    centres = torch.rand(number, 3, generator=random) * torch.tensor([8.0, 8.0, 2.0])
    sizes = torch.rand(number, 3, generator=random) * 3 + 0.5
    return torch.cat([centres, sizes, torch.rand(number, 1, generator=random) * 6 - 3], 1)


def test_boxes_iou3d_is_ours():
    a, b = random_boxes_3d(0), random_boxes_3d(1, 7)
    torch.testing.assert_close(mmcv_ops.boxes_iou3d(a, b), ops.box_iou_3d(a, b), rtol=1e-4, atol=1e-5)


def test_boxes_overlap_bev_is_an_area():
    flat = torch.tensor([[0.0, 0, 5, 4, 2, 1, 0], [1, 0, -5, 4, 2, 1, torch.pi]])  # height does not count
    torch.testing.assert_close(mmcv_ops.boxes_overlap_bev(flat, flat), torch.tensor([[8.0, 6.0], [6.0, 8.0]]))


def test_nms3d_compares_footprints():
    boxes, scores = random_boxes_3d(2), torch.rand(40, generator=torch.Generator().manual_seed(3))
    footprint = [0, 1, 3, 4, 6]
    overlaps = ops.box_iou_rotated_reference(boxes[:, footprint], boxes[:, footprint])
    kept: list[int] = []
    for i in scores.argsort(descending=True).tolist():
        if all(overlaps[k, i] <= 0.3 for k in kept):
            kept.append(i)
    assert 1 < len(kept) < 40
    assert mmcv_ops.nms3d(boxes, scores, 0.3).tolist() == kept
    half = torch.tensor([[0.0, 0, 0, 2, 2, 1, 0], [0, 0, 9, 2, 1, 1, 0]])  # an IoU of 0.5 is not above 0.5
    assert mmcv_ops.nms3d(half, torch.tensor([0.9, 0.8]), 0.5).tolist() == [0, 1]
    assert mmcv_ops.nms3d(half, torch.tensor([0.9, 0.8]), 0.499).tolist() == [0]
    assert mmcv_ops.nms3d(boxes[:0], scores[:0], 0.3).tolist() == []


def test_nms3d_normal_takes_boxes_without_heading():
    boxes, scores = random_boxes_3d(4), torch.rand(40, generator=torch.Generator().manual_seed(5))
    upright = boxes * torch.tensor([1.0, 1, 1, 1, 1, 1, 0])
    expected = mmcv_ops.nms3d(upright, scores, 0.3).tolist()
    assert mmcv_ops.nms3d_normal(boxes, scores, 0.3).tolist() == expected
    corners = torch.cat([boxes[:, :2] - boxes[:, 3:5] / 2, boxes[:, :2] + boxes[:, 3:5] / 2], 1)
    flat = torch.cat([corners, boxes[:, 6:]], 1)
    with pytest.warns(DeprecationWarning):
        assert mmcv_ops.nms_normal_bev(flat, scores, 0.3).tolist() == expected


def test_overlaps_and_suppression_of_corners_with_a_heading():
    a, b = random_boxes_3d(6, 5), random_boxes_3d(7, 4)
    flat = [torch.cat([x[:, :2] - x[:, 3:5] / 2, x[:, :2] + x[:, 3:5] / 2, x[:, 6:]], 1) for x in (a, b)]
    footprints = [x[:, [0, 1, 3, 4, 6]] for x in (a, b)]
    with pytest.warns(DeprecationWarning):
        overlaps = mmcv_ops.boxes_iou_bev(*flat)
    torch.testing.assert_close(overlaps, ops.box_iou_rotated(*footprints), rtol=1e-4, atol=1e-5)
    with pytest.warns(DeprecationWarning):
        keep = mmcv_ops.nms_bev(flat[0], torch.arange(5.0), 0.3)
    assert keep.tolist() == ops.nms_rotated(footprints[0], torch.arange(5.0), 0.3)[1].tolist()


def test_fused_bias_leaky_relu_is_mmcvs_torch_form():
    layer, x = mmcv_ops.FusedBiasLeakyReLU(3), torch.randn(2, 3, 4)
    torch.nn.init.normal_(layer.bias)
    expected = F.leaky_relu(x + layer.bias[:, None], 0.2) * 2**0.5
    torch.testing.assert_close(layer(x), expected)


def test_an_operator_without_implementation_is_named():
    points = torch.rand(1, 5, 3)
    with pytest.raises(OperatorUnavailableError, match="'three_nn_forward' has no implementation"):
        mmcv_ops.three_nn(points, points)


def test_every_exchanged_module_exists():
    for name in CORRECTIONS:
        assert name in sys.modules
