"""Golden kits: dense3d compared with the numbers that official implementations give.

Each system has an adapter module with ``open_kit(kit) -> run``, where ``run(check, inputs)`` takes an entry
of the kit's ``checks`` and its input arrays and returns the output arrays. An adapter is driven by the kit
alone, so that a kit of other sizes or variants runs unchanged; for a check that it does not know it raises
:class:`UnknownCheckError`, which is a failure and not a pass.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from dense3d.errors import DataError, Dense3dError, did_you_mean

if TYPE_CHECKING:
    import numpy as np

    from tests.golden.compare import Row

    Run = Callable[[dict, dict[str, np.ndarray]], dict[str, np.ndarray]]

# system named in kit.json -> adapter module
SYSTEMS: dict[str, str] = {
    "beit": "tests.golden.beit",
    "convnext": "tests.golden.convnext",
    "dinov2": "tests.golden.dinov2",
    "dinov3": "tests.golden.dinov3",
    "eco-m2f": "tests.golden.eco_m2f",
    "kitti-eval": "tests.golden.kitti_eval",
    "kmax-deeplab": "tests.golden.kmax_deeplab",
    "mae-vit": "tests.golden.mae_vit",
    "mask2former": "tests.golden.mask2former",
    "mmcv-ops": "tests.golden.mmcv_ops",
    "monodetr": "tests.golden.monodino_detr",
    "monodino-detr": "tests.golden.monodino_detr",
    "obb-iou3d": "tests.golden.obb_iou3d",
    "panoptic-quality": "tests.golden.panoptic_quality",
    "relation-detr": "tests.golden.relation_detr",
    "rotated-iou": "tests.golden.rotated_iou",
    "swin": "tests.golden.swin",
    "vit-baseline": "tests.golden.vit_baseline",
    "vit-comer": "tests.golden.vit_comer",
}


class UnknownCheckError(Dense3dError):
    """The adapter has no rule for a check of the kit."""


def adapter(system: str) -> Callable:
    """``open_kit`` of the system's adapter.

    Raises:
        DataError: no adapter is known for the system; the message names those that are.
    """
    if system not in SYSTEMS:
        raise DataError(
            f"no golden adapter for the system {system!r}{did_you_mean(system, SYSTEMS)}; "
            f"known systems: {', '.join(sorted(SYSTEMS))}"
        )
    return importlib.import_module(SYSTEMS[system]).open_kit


def verify_kit(folder: str | Path) -> list[Row]:
    """Run every check of the kit in ``folder``.

    Returns:
        one row per output; a check that raises gives a failed row with the reason.

    Raises:
        DataError: the kit cannot be read, or its system has no adapter.
    """
    from tests.golden.kit import GoldenKit

    kit = GoldenKit(folder)
    with _one_thread():
        run = adapter(kit.system)(kit)
        return [row for check in kit.checks for row in _verify_check(kit, run, check)]


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


def _verify_check(kit, run: Run, check: dict) -> list[Row]:
    from tests.golden.compare import compare_check, failed

    inputs, stored = kit.inputs(check["name"]), kit.outputs(check["name"])
    absent = sorted(set(check["inputs"]) - set(inputs))
    if absent:
        return [failed(check["name"], "", f"input {absent[0]!r} is listed in kit.json but not stored")]
    if not stored:
        return [failed(check["name"], "", "the kit stores no outputs of this check")]
    try:
        produced = run(check, inputs)
    except Exception as error:  # whatever a check raises fails that check and no other
        return [failed(check["name"], "", f"{type(error).__name__}: {error}")]
    return compare_check(check, stored, produced)
