"""Golden adapter of mmcv's operators (system ``mmcv-ops``).

The longest operator name that a check's name begins with chooses the function; its arguments are the kit's
inputs by name, defaults included. Where the kit wants gradients they are those of ``sum(y * grad_output)``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

import numpy as np
import torch

from dense3d import ops
from dense3d.errors import DataError
from tests.golden import UnknownCheckError
from tests.golden.checks import Arrays, Run

SIZES = ("stride", "padding", "dilation", "output_size", "mask_size")
# other names that an argument of an operator may have in a kit
ALIASES = {
    "x": ("input", "features"),
    "features": ("x", "input"),
    "logits": ("input", "x", "pred"),
    "masks": ("mask",),
    "boxes1": ("bboxes1",),
    "boxes2": ("bboxes2",),
    "boxes": ("dets", "bboxes"),
    "rois": ("boxes",),
    "group_size": ("group",),
    "scale_factor": ("scale",),
}


def open_kit(_kit) -> Run:
    """There are no weights: every check stands alone."""
    return run


def run(check: dict, inputs: Arrays) -> Arrays:
    """Outputs of one check.

    Raises:
        UnknownCheckError: no operator's name begins the check's name.
    """
    name = check["name"]
    fitting = [op for op in OPERATORS if name == op or name.startswith((f"{op}_", f"{op}."))]
    if not fitting:
        raise UnknownCheckError(f"no operator's name begins {name!r}; known are {', '.join(OPERATORS)}")
    operator = max(fitting, key=len)
    variant = name.removeprefix(operator).strip("_.").split("_")
    return OPERATORS[operator](check, variant, {key: _argument(key, value) for key, value in inputs.items()})


def _argument(name: str, value: np.ndarray) -> object:
    """A Python scalar or string, a tuple for a size, otherwise a tensor."""
    if value.ndim == 0:
        return value.item()
    if name in SIZES:
        sizes = tuple(int(v) for v in value)
        return sizes[0] if len(sizes) == 1 else sizes
    return torch.from_numpy(value)


def _bind(function: Callable, arguments: dict) -> dict:
    """Keyword arguments of ``function`` by name or alias; an argument left over is an error."""
    left, bound = dict(arguments), {}
    for parameter in inspect.signature(function).parameters:
        for name in (parameter, *ALIASES.get(parameter, ())):
            if name in left:
                bound[parameter] = left.pop(name)
                break
    if left:
        raise DataError(f"input {next(iter(left))!r} is no argument of {function.__name__}")
    return bound


def _differentiable(function: Callable) -> Callable:
    """A check of one output and of the gradients that it lists as ``grad_<input>``."""

    def run_operator(check: dict, _variant: list[str], arguments: dict) -> Arrays:
        wanted = [output.removeprefix("grad_") for output in check["outputs"] if output.startswith("grad_")]
        grad_output = arguments.pop("grad_output", None)
        for name in wanted:
            if not isinstance(arguments.get(name), torch.Tensor):
                raise DataError(f"output 'grad_{name}' is wanted, but there is no input {name!r}")
            arguments[name].requires_grad_()
        y = function(**_bind(function, arguments))
        results = {_value_name(check): y.detach().numpy()}
        if wanted:
            grad_output = torch.ones_like(y) if grad_output is None else torch.as_tensor(grad_output).to(y)
            gradients = torch.autograd.grad(y, [arguments[name] for name in wanted], grad_output)
            results |= {f"grad_{name}": gradient.numpy() for name, gradient in zip(wanted, gradients)}
        return results

    return run_operator


def _value_name(check: dict) -> str:
    """The output that is not a gradient; ``y`` where that does not tell."""
    values = [output for output in check["outputs"] if not output.startswith("grad_")]
    return values[0] if len(values) == 1 else "y"


def _suppression(function: Callable) -> Callable:
    def run_operator(_check: dict, _variant: list[str], arguments: dict) -> Arrays:
        dets, keep = function(**_bind(function, arguments))
        return {"dets": dets.numpy(), "keep": keep.numpy()}

    return run_operator


def _soft_nms(check: dict, variant: list[str], arguments: dict) -> Arrays:
    for method in ("naive", "linear", "gaussian"):
        if method in variant:
            arguments.setdefault("method", method)
    return _suppression(ops.soft_nms)(check, variant, arguments)


def _batched_nms(check: dict, variant: list[str], arguments: dict) -> Arrays:
    class_agnostic = bool(arguments.pop("class_agnostic", "agnostic" in variant))
    tensors = {key: arguments.pop(key) for key in ("boxes", "scores", "idxs")}
    dets, keep = ops.batched_nms(**tensors, nms_cfg=arguments or None, class_agnostic=class_agnostic)
    return {"dets": dets.numpy(), "keep": keep.numpy()}


def _nms_match(_check: dict, _variant: list[str], arguments: dict) -> Arrays:
    groups = ops.nms_match(**_bind(ops.nms_match, arguments))
    return {f"group{number:03d}": group.numpy() for number, group in enumerate(groups)}


def _nms_rotated(check: dict, variant: list[str], arguments: dict) -> Arrays:
    arguments.pop("labels", None)  # mmcv takes them and suppresses across labels all the same
    return _suppression(ops.nms_rotated)(check, variant, arguments)


def _overlaps(function: Callable) -> Callable:
    """A check that may want several modes of overlap, each named after its mode."""

    def run_operator(check: dict, _variant: list[str], arguments: dict) -> Arrays:
        bound = _bind(function, arguments)
        modes = [output for output in check["outputs"] if output in ("iou", "iof")]
        if "mode" in bound or not modes:
            return {_value_name(check): function(**bound).numpy()}
        return {mode: function(**bound, mode=mode).numpy() for mode in modes}

    return run_operator


def _roi_align(check: dict, variant: list[str], arguments: dict) -> Arrays:
    if "legacy" in variant:
        arguments.setdefault("aligned", False)
    if "max" in variant:
        arguments.setdefault("pool_mode", "max")
    return _differentiable(ops.roi_align)(check, variant, arguments)


def _points_in_boxes(function: Callable) -> Callable:
    def run_operator(check: dict, _variant: list[str], arguments: dict) -> Arrays:
        return {_value_name(check): function(**_bind(function, arguments)).numpy()}

    return run_operator


OPERATORS: dict[str, Callable[[dict, list[str], dict], Arrays]] = {
    "batched_nms": _batched_nms,
    "bbox_overlaps": _overlaps(ops.bbox_overlaps),
    "box_iou_rotated": _overlaps(ops.box_iou_rotated),
    "carafe": _differentiable(ops.carafe),
    "carafe_naive": _differentiable(ops.carafe),
    "deform_conv2d": _differentiable(ops.deform_conv2d),
    "deform_roi_pool": _differentiable(ops.deform_roi_pool),
    "masked_conv2d": _differentiable(ops.masked_conv2d),
    "modulated_deform_conv2d": _differentiable(ops.modulated_deform_conv2d),
    "multi_scale_deformable_attention": _differentiable(ops.multi_scale_deformable_attention),
    "nms": _suppression(ops.nms),
    "nms_match": _nms_match,
    "nms_rotated": _nms_rotated,
    "point_sample": _differentiable(ops.point_sample),
    "points_in_boxes": _points_in_boxes(ops.points_in_boxes_all),
    "points_in_boxes_all": _points_in_boxes(ops.points_in_boxes_all),
    "points_in_boxes_cpu": _points_in_boxes(ops.points_in_boxes_all),
    "points_in_boxes_part": _points_in_boxes(ops.points_in_boxes_part),
    "psa_mask": _differentiable(ops.psa_mask),
    "roi_align": _roi_align,
    "roi_align_rotated": _differentiable(ops.roi_align_rotated),
    "roi_pool": _differentiable(ops.roi_pool),
    "sigmoid_focal_loss": _differentiable(ops.sigmoid_focal_loss),
    "soft_nms": _soft_nms,
    "softmax_focal_loss": _differentiable(ops.softmax_focal_loss),
}
