"""Golden adapter of panoptic quality (system ``panoptic-quality``): id maps and segments in, figures out.

A check without inputs of its own uses those of the kit's first check.
"""

from __future__ import annotations

import numpy as np

from dense3d.evaluation.panoptic import Overlaps, PanopticResult, Segments, match_segments, summarise
from dense3d.evaluation.panoptic.result import GROUPS
from tests.golden.checks import Arrays, Run, first_inputs, wanted
from tests.golden.kit import GoldenKit


def open_kit(kit: GoldenKit) -> Run:
    """A runner for the sets of the kit."""
    first = first_inputs(kit)
    kit.options.neutral("categories", "image_size", "images")  # the inputs have them

    def run(check: dict, inputs: Arrays) -> Arrays:
        result = _evaluate(inputs or first)
        found = {
            "iou_sum": result.iou_sum,
            "pq_sq_rq": result.qualities,
            "tp_fp_fn": np.stack([result.tp, result.fp, result.fn], axis=1),
            **{name: np.array(result.group(name)) for name in GROUPS},
        }
        return wanted(check, found)

    return run


def _evaluate(inputs: Arrays) -> PanopticResult:
    categories = [{"id": int(i), "isthing": int(isthing)} for i, isthing in inputs["categories"]]
    positions = {category["id"]: position for position, category in enumerate(categories)}
    matches = []
    for image, maps in enumerate(zip(inputs["gt_id_map"], inputs["pred_id_map"])):
        truth, prediction = (
            [dict(zip(("image", "id", "category_id", "iscrowd", "area"), row)) for row in rows.tolist()]
            for rows in (
                inputs[name][inputs[name][:, 0] == image] for name in ("gt_segments", "pred_segments")
            )
        )
        segments = Segments.of(truth, positions), Segments.of(prediction, positions, is_prediction=True)
        matches.append(match_segments(Overlaps.of(*maps), *segments))
    return summarise(categories, matches, len(matches))
