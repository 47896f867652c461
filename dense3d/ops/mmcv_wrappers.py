"""dense3d's operators in the place of the autograd functions of ``mmcv.ops``, where the stand-in is in use.

mmcv splits an operator into a forward and a backward call of its extension, some of which refuse the
CPU or lack a gradient. Ours differentiate as a whole, so each takes the place of the function's ``apply``
and of the name bound to it, right after mmcv's module is imported and before anybody else sees it.

Multi-scale deformable attention on the CPU is exchanged next to a compiled extension as well: mmcv has no
compiled operator there, only the ``grid_sample`` form that ours is measured against.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType

from dense3d import ops


def correct(module: ModuleType) -> None:
    """Exchange what :data:`CORRECTIONS` lists for ``module``, which was just imported."""
    if hasattr(sys.modules["mmcv._ext"], "stand_in_reason"):
        CORRECTIONS[module.__name__](module)
    elif module.__name__ == "mmcv.ops.multi_scale_deform_attn":
        module.multi_scale_deformable_attn_pytorch = _attention


def _replace(function_class: str, name: str, implementation: Callable) -> Callable[[ModuleType], None]:
    """A correction that puts ``implementation`` behind ``module.<name>`` and the class's ``apply``."""

    def apply_to(module: ModuleType) -> None:
        getattr(module, function_class).apply = staticmethod(implementation)
        setattr(module, name, implementation)

    return apply_to


def _both(*corrections: Callable[[ModuleType], None]) -> Callable[[ModuleType], None]:
    def apply_to(module: ModuleType) -> None:
        for correction in corrections:
            correction(module)

    return apply_to


def _ours(name: str) -> Callable:
    """``dense3d.ops.<name>``, imported at its first call."""

    def call(*args, **kwargs):
        return getattr(ops, name)(*args, **kwargs)

    call.__name__ = name
    return call


def _attention(value, spatial_shapes, sampling_locations, attention_weights):
    return ops.multi_scale_deformable_attention(value, spatial_shapes, sampling_locations, attention_weights)


def _attention_function(
    value, spatial_shapes, _level_start_index, sampling_locations, attention_weights, im2col_step
):
    if not _divides(im2col_step, len(value)):
        raise RuntimeError(f"a batch of {len(value)} cannot be divided by an im2col_step of {im2col_step}")
    return _attention(value, spatial_shapes, sampling_locations, attention_weights)


def _divides(im2col_step: int, batch: int) -> bool:
    """Whether mmcv's kernels can take the batch in steps: nothing here works in steps, but it refuses."""
    step = min(im2col_step, batch)
    return batch == 0 or (step > 0 and batch % step == 0)


def _deform_conv2d(
    x, offset, weight, stride=1, padding=0, dilation=1, groups=1, deform_groups=1, bias=False, im2col_step=32
):
    if bias:
        raise ValueError("deform_conv2d has no bias; modulated_deform_conv2d does")
    if not _divides(im2col_step, len(x)):
        raise AssertionError(f"batch size must be divisible by im2col_step: {len(x)} images, {im2col_step}")
    return ops.deform_conv2d(x, offset, weight, stride, padding, dilation, groups, deform_groups)


def _masked_conv2d(features, mask, weight, bias, padding=0, stride=1):
    if stride not in (1, (1, 1), [1, 1]):
        raise ValueError(f"masked_conv2d has stride 1 only, not {stride}")
    return ops.masked_conv2d(features, mask, weight, bias, padding)


def _psa_mask(x, psa_type: int, mask_size):
    from torch.nn.modules.utils import _pair

    return ops.psa_mask(x, ("collect", "distribute")[psa_type], _pair(mask_size))


def _sync_bn(module: ModuleType) -> None:
    """``MMSyncBN`` becomes torch's synchronised batch norm, which needs no extension."""
    import torch
    from mmengine.registry import MODELS

    class SyncBatchNorm(torch.nn.SyncBatchNorm):
        def __init__(
            self,
            num_features,
            eps=1e-5,
            momentum=0.1,
            affine=True,
            track_running_stats=True,
            group=None,
            stats_mode="default",
        ):
            if stats_mode not in ("default", "N"):
                raise ValueError(f"stats_mode must be 'default' or 'N', not {stats_mode!r}")
            super().__init__(num_features, eps, momentum, affine, track_running_stats, process_group=group)

    module.SyncBatchNorm = SyncBatchNorm
    MODELS.register_module("MMSyncBN", module=SyncBatchNorm, force=True)


def _fused_bias_leakyrelu(module: ModuleType) -> None:
    """mmcv asks for ``is_musa``, which tensors have with a plugin only; its own torch form serves all."""
    _replace("FusedBiasLeakyReLUFunction", "fused_bias_leakyrelu", module.bias_leakyrelu_ref)(module)


def _furthest_point_sample(module: ModuleType) -> None:
    """Refused by name: without an accelerator mmcv's wrapper fails before it gets to its extension."""
    refuse = sys.modules["mmcv._ext"].furthest_point_sampling_forward
    _replace("FurthestPointSampling", "furthest_point_sample", refuse)(module)


CORRECTIONS: dict[str, Callable[[ModuleType], None]] = {
    "mmcv.ops.carafe": _both(
        _replace("CARAFENaiveFunction", "carafe_naive", _ours("carafe")),
        _replace("CARAFEFunction", "carafe", _ours("carafe")),
    ),
    "mmcv.ops.deform_conv": _replace("DeformConv2dFunction", "deform_conv2d", _deform_conv2d),
    "mmcv.ops.deform_roi_pool": _replace(
        "DeformRoIPoolFunction", "deform_roi_pool", _ours("deform_roi_pool")
    ),
    "mmcv.ops.focal_loss": _both(
        _replace("SigmoidFocalLossFunction", "sigmoid_focal_loss", _ours("sigmoid_focal_loss")),
        _replace("SoftmaxFocalLossFunction", "softmax_focal_loss", _ours("softmax_focal_loss")),
    ),
    "mmcv.ops.furthest_point_sample": _furthest_point_sample,
    "mmcv.ops.fused_bias_leakyrelu": _fused_bias_leakyrelu,
    "mmcv.ops.masked_conv": _replace("MaskedConv2dFunction", "masked_conv2d", _masked_conv2d),
    "mmcv.ops.modulated_deform_conv": _replace(
        "ModulatedDeformConv2dFunction", "modulated_deform_conv2d", _ours("modulated_deform_conv2d")
    ),
    "mmcv.ops.multi_scale_deform_attn": _both(
        _replace("MultiScaleDeformableAttnFunction", "multi_scale_deformable_attn", _attention_function),
        lambda module: setattr(module, "multi_scale_deformable_attn_pytorch", _attention),
    ),
    "mmcv.ops.psa_mask": _replace("PSAMaskFunction", "psa_mask", _psa_mask),
    "mmcv.ops.roi_align": _replace("RoIAlignFunction", "roi_align", _ours("roi_align")),
    "mmcv.ops.roi_align_rotated": _replace(
        "RoIAlignRotatedFunction", "roi_align_rotated", _ours("roi_align_rotated")
    ),
    "mmcv.ops.roi_pool": _replace("RoIPoolFunction", "roi_pool", _ours("roi_pool")),
    "mmcv.ops.sync_bn": _sync_bn,
}
