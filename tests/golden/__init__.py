"""Golden kits: dense3d compared with the numbers that official implementations give.

:data:`SYSTEMS` names for each system a function ``open(kit) -> run``, where ``run(check, inputs)`` takes an
entry of the kit's ``checks`` and its input arrays and returns the output arrays. An adapter is driven by the
kit alone, so that a kit of other sizes or variants runs unchanged; a check that it does not know raises
:class:`UnknownCheckError` and is a failure, not a pass. So is an argument of the kit's config that it has not
read from ``kit.options`` when the kit is open.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from dense3d.errors import DataError, Dense3dError, did_you_mean
from tests.golden.options import Options

if TYPE_CHECKING:
    import numpy as np

    from tests.golden.compare import Row
    from tests.golden.kit import GoldenKit

    Run = Callable[[dict, dict[str, np.ndarray]], dict[str, np.ndarray]]

# System named in kit.json -> "module.function" in this folder. Where a system's kits hold parts of it: a key
# that only the config of that part has, with "=" and the beginning of its value where the key does not tell,
# -> "module.function"; the first that fits is taken, and "" fits every config.
SYSTEMS: dict[str, str | dict[str, str]] = {
    "activator": "activator.open_kit",
    "backbone-battle": "backbone_battle.open_kit",
    "beit": "beit.open_kit",
    "caformer": "metaformer.open_kit",
    "ccnext": {
        "backbone": "ccnext.open_network",
        "window_size": "ccnext.open_network",
        "baseline": "ccnext.open_losses",
        "smooth_weight": "ccnext.open_losses",
        "min_depth": "ccnext.open_losses",
    },
    "convit": "convit.open_kit",
    "convnext": "convnext.open_kit",
    "crossvit": "crossvit.open_kit",
    "croco": {"num_channels": "croco_downstream.open_kit", "": "croco.open_kit"},
    "coswin": "coswin.open_kit",
    "crossformer": "crossformer.open_kit",
    "cvt": "cvt.open_kit",
    "depth-metrics": "depth_metrics.open_kit",
    "dinov2": "dino.open_v2",
    "dinov3": "dino.open_v3",
    "duoformer": "duoformer.open_kit",
    "eco-m2f": "eco_m2f.open_kit",
    "gaussian": "gaussian.open_kit",
    "ia-red2": "ia_red2.open_kit",
    "hornet": "hornet.open_kit",
    "hyena": {"modules": "hyena.open_operators", "": "hyena.open_vit"},
    "indoor-eval": "indoor_eval.open_kit",
    "kitti-eval": "kitti_eval.open_kit",
    "kmax-deeplab": {
        "dec_layers": "kmax_deeplab.open_model",
        "base_filter": "kmax_deeplab.open_layer",
        "pixel_insdis_sample_k": "kmax_deeplab.open_losses",
        "overlap_threshold": "kmax_deeplab.open_results",
    },
    "mae-vit": "mae_vit.open_kit",
    "mask2former": {
        "backbone": "mask2former.open_model",
        "oversample_ratio": "mask2former.open_losses",
        "overlap_threshold": "mask2former.open_results",
    },
    "mmcv-ops": "mmcv_ops.open_kit",
    "msm": "msm.open_kit",
    "monodetr": "monodino_detr.open_kit",
    "monodino-detr": "monodino_detr.open_kit",
    "nerf-mae": {
        "masking_prob": "nerf_mae.open_pretrain",
        "nominal_out_resolution": "nerf_mae.open_downstream",
        "out_channels": "nerf_mae.open_encoder",
    },
    "nerf-rpn": {
        "head": "nerf_rpn.open_fcos",
        "anchor_sizes": "nerf_rpn.open_anchor",
        "": "nerf_rpn.open_augmentation",
    },
    "ntf": {
        "model": "ntf_features.open_kit",
        "feature_shape": "ntf_similarity.open_similarity",
        "grid_defaults": "ntf_similarity.open_bilateral",
    },
    "obb-iou3d": "boxes3d.open_world",
    "panoptic-quality": "panoptic_quality.open_kit",
    "pyramid-tnt": "tnt.open_pyramid",
    "pimae": "pimae.open_kit",
    "point-mae": {
        "transformer_config": "point_mae.open_pretrain",
        "cls_dim": "point_mae.open_classify",
        "num_part": "point_mae.open_partseg",
    },
    "poolformer": "metaformer.open_poolformer",
    "poolformerv2": "metaformer.open_kit",
    "point-ops": "point_ops.open_kit",
    "ppma": "ppma.open_kit",
    "relation-detr": {
        "arch=swin": "swin.open_torchvision",
        "arch=focalnet": "focalnet.open_kit",
        "backbone": "relation_detr.open_model",
        "d_ffn": "relation_detr.open_decoder",
        "cost_class": "relation_detr_parts.open_criterion",
        "denoising_nums": "relation_detr_parts.open_denoising",
        "num_points": "relation_detr_parts.open_attention",
        "temperature": "relation_detr_parts.open_encodings",
        "select": "relation_detr_parts.open_results",
    },
    "rmt": "rmt.open_kit",
    "rope2d": "croco.open_positions",
    "rotated-iou": "boxes3d.open_camera",
    "sgformer": "sgformer.open_kit",
    "soft": "soft.open_kit",
    "spectformer": {
        "embed_dims": "spectformer.open_kit",
        "": "spectformer_plain.open_kit",
    },
    "svt": "spectformer.open_svt",
    "resformer": "resformer.open_kit",
    "swin": "swin.open_kit",
    "threedetr": "threedetr.open_kit",
    "uniformer": "uniformer.open_kit",
    "t2t": "t2t_vit.open_kit",
    "tnt": "tnt.open_kit",
    "vir": "vir.open_kit",
    "vidt": "vidt.open_kit",
    "vit-baseline": "vit_comer.open_baseline",
    "vit-comer": "vit_comer.open_kit",
    "vit-resnas": "vit_resnas.open_kit",
    "votenet": "votenet.open_kit",
    "volume-composite": "volume_composite.open_kit",
}

# What a config may say beside the arguments: where it is from, how its inputs were drawn.
DESCRIPTIONS = ("config_file", "seed")


class UnknownCheckError(Dense3dError):
    """The adapter has no rule for a check of the kit."""


def open_kit(kit: GoldenKit) -> Run:
    """Set up what the kit's checks need: ``run(check, inputs) -> outputs``.

    Raises:
        DataError: no adapter is known for the system or for this part of it; the message says which are. Or
            the adapter has not read an argument of the config.
    """
    module, function = adapter_of(kit).split(".")
    kit.options = Options(kit.meta.get("config") or {}, kit.folder)
    kit.options.neutral(*DESCRIPTIONS)
    run = getattr(importlib.import_module(f"{__name__}.{module}"), function)(kit)
    kit.options.refuse_rest()
    return run


def adapter_of(kit: GoldenKit) -> str:
    """``"module.function"`` of the adapter that opens a kit.

    Raises:
        DataError: there is none.
    """
    if kit.system not in SYSTEMS:
        raise DataError(
            f"no golden adapter for the system {kit.system!r}{did_you_mean(kit.system, SYSTEMS)}; "
            f"known systems: {', '.join(sorted(SYSTEMS))}"
        )
    parts = SYSTEMS[kit.system]
    parts = {"": parts} if isinstance(parts, str) else parts
    config = kit.meta.get("config") or {}
    fitting = [place for key, place in parts.items() if _fits(key, config)]
    if not fitting:
        raise DataError(
            f"the config of {kit.folder} has none of the keys {', '.join(parts)} that tell a part of "
            f"{kit.system}; restore the kit"
        )
    return fitting[0]


def _fits(key: str, config: dict) -> bool:
    name, _, start = key.partition("=")
    return not key or (name in config and str(config[name]).startswith(start))


def verify_kit(folder: str | Path, without: Collection[str] = ()) -> list[Row]:
    """Run every check of the kit in ``folder``, those named ``without`` excepted.

    Returns:
        one row per output; a check that raises, or an adapter that does, gives a failed row with the reason.

    Raises:
        DataError: the kit cannot be read, or its system has no adapter.
    """
    from tests.golden.compare import failed
    from tests.golden.kit import GoldenKit

    kit = GoldenKit(folder)
    adapter_of(kit)
    with _one_thread():
        try:
            run = open_kit(kit)
        except (Exception, SystemExit) as error:  # the kits after this one are verified all the same
            return [failed("set-up", "", one_line(error))]
        checks = [check for check in kit.checks if check["name"] not in without]
        return [row for check in checks for row in verify_check(kit, run, check)]


def verify_check(kit: GoldenKit, run: Run, check: dict) -> list[Row]:
    """Rows of one check; when it raises, one failed row with the reason.

    Networks with random weights may carry the rounding of float32 beyond a kit's tolerance, on one processor
    and not on another. Where outputs differ, the check is run again with inputs moved by one unit in their
    last place, and a difference that is no larger than what this moves them by says nothing.
    """
    from tests.golden.compare import compare_check, failed, rounding

    name = str(check["name"])
    try:
        inputs, stored = kit.inputs(name), kit.outputs(name)
        absent = sorted(set(check["inputs"]) - set(inputs))
        if absent:
            return [failed(name, "", f"input {absent[0]!r} is listed in kit.json but not stored")]
        if not stored:
            return [failed(name, "", "the kit stores no outputs of this check")]
        produced = run(check, inputs)
        rows = compare_check(check, stored, produced)
        if all(row.passed for row in rows):
            return rows
        return compare_check(check, stored, produced, rounding(produced, inputs, lambda x: run(check, x)))
    except (Exception, SystemExit) as error:  # whatever a check raises fails that check and no other
        return [failed(name, "", one_line(error))]


def one_line(error: BaseException) -> str:
    """Class and message of an error, without line breaks."""
    return " ".join(f"{type(error).__name__}: {error}".split())


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """torch on one thread: some kits magnify rounding, and sums are then in one order on every machine."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def print_verdict(folder: str | Path) -> bool:
    """Verify one kit, print a row per output and a summary line; whether everything passed.

    A kit that cannot be read, or whose system is not known, is one line on the standard error; one whose
    model cannot be built, or whose config is refused, is one failed row.
    """
    from tests.golden.compare import HEADER

    try:
        rows = verify_kit(folder)
    except Exception as error:  # the kits after this one are verified all the same
        print(f"error: {error if isinstance(error, Dense3dError) else one_line(error)}", file=sys.stderr)
        return False
    print(HEADER)
    for row in rows:
        print(row)
    failures = sum(not row.passed for row in rows)
    checks = len({row.check for row in rows})
    verdict = "PASS" if failures == 0 else f"FAIL: {failures} of {len(rows)} outputs"
    print(f"{folder}: {len(rows)} outputs of {checks} checks, {verdict}\n")
    return failures == 0
