"""Golden adapter of KITTI's evaluation (system ``kitti-eval``): label and result texts in, numbers out.

``main`` and ``edge_cases`` are whole evaluations; a check whose name ends in ``steps`` has the stages
between. Classes, difficulties and limits are those of the kit's config.
"""

from __future__ import annotations

import re

import numpy as np

from dense3d.datasets.kitti import KittiObjects, parse_objects
from dense3d.evaluation.kitti import DIFFICULTIES, Protocol, evaluate
from dense3d.evaluation.kitti.average_precision import class_flags, match
from dense3d.evaluation.kitti.frames import Comparison
from dense3d.evaluation.kitti.protocol import OVERLAPS
from tests.golden.checks import Arrays, Run, wanted
from tests.golden.kit import GoldenKit
from tests.golden.notes import full_note
from tests.golden.options import Options

# every edge case is evaluated together with a second frame, whose two lines the check's note gives
COMPANION = re.compile(r'label "([^"]+)" and result "([^"]+)"')
COMPANION_LABEL = "Car 0.00 0 0.00 600.00 100.00 700.00 180.00 1.50 1.60 4.00 0.00 1.60 30.00 0.20"
COMPANION_RESULT = "Car -1 -1 0.00 600.50 100.00 700.00 180.00 1.50 1.60 4.00 0.02 1.60 30.05 0.20 0.3000"


def open_kit(kit: GoldenKit) -> Run:
    """A runner for the rules of the kit's config."""
    protocol = _protocol(kit.options)

    def run(check: dict, inputs: Arrays) -> Arrays:
        labels = [parse_objects(str(text), "gt") for text in inputs["gt"]]
        results = [parse_objects(str(text), "dt", is_result=True) for text in inputs["dt"]]
        if "tags" in inputs:
            check = check | {"note": full_note(kit, check)}
            return _edge_cases(check, labels, results, [str(tag) for tag in inputs["tags"]], protocol)
        if check["name"].split(".")[0].endswith("steps"):
            return _steps(check, labels, results, protocol)
        return _whole(check, labels, results, protocol)

    return run


def _protocol(options: Options) -> Protocol:
    known = Protocol.of(options.take("classes", ("Car", "Pedestrian", "Cyclist")))
    options.only("recall_points", 41)
    limits = tuple(
        tuple(map(tuple, options.take(name, known.limits[s]))) for s, name in enumerate(("strict", "loose"))
    )
    names = ("min_height", "max_occlusion", "max_truncation")
    return Protocol(
        known.classes, limits, **{name: tuple(options.take(name, getattr(known, name))) for name in names}
    )


def _whole(
    check: dict, labels: list[KittiObjects], results: list[KittiObjects], protocol: Protocol
) -> Arrays:
    result = evaluate(labels, results, protocol)
    strict, loose = result.curves
    produced = {
        "ap11": result.ap11,
        "ap40": result.ap40,
        "precision_strict": strict,
        "precision_loose": loose,
    }
    return wanted(check, produced)


def _steps(
    check: dict, labels: list[KittiObjects], results: list[KittiObjects], protocol: Protocol
) -> Arrays:
    comparison = Comparison(labels, results)
    moderate = DIFFICULTIES.index("moderate")
    produced: Arrays = {}
    for c, name in enumerate(protocol.classes):
        for d in range(len(DIFFICULTIES)):
            flags = class_flags(comparison, protocol, c, d)
            produced[f"n_gt_{name}_{d}"] = np.array(flags.ground_truths)
            produced[f"ignored_gt_{name}_{d}"] = flags.labels
            produced[f"ignored_det_{name}_{d}"] = flags.detections
        flags = class_flags(comparison, protocol, c, moderate)
        for m in range(len(OVERLAPS)):
            matching = match(comparison, flags, m, protocol.limits[0][m][c])
            produced[f"tp_scores_{name}_{m}"] = matching.scores
            produced[f"thresholds_{name}_{m}"] = matching.thresholds
            produced[f"counts_{name}_{m}"] = matching.counts * [1, 1, 1, m == 0]
    return wanted(check, produced)


def _edge_cases(
    check: dict, labels: list[KittiObjects], results: list[KittiObjects], tags: list[str], protocol: Protocol
) -> Arrays:
    lines = COMPANION.search(check["note"])
    label, result = lines.groups() if lines else (COMPANION_LABEL, COMPANION_RESULT)
    label, result = parse_objects(label), parse_objects(result, is_result=True)
    car = protocol.classes.index("Car")
    produced: Arrays = {}
    for tag, gt, dt in zip(tags, labels, results):
        case = evaluate([gt, label], [dt, result], protocol)
        produced[f"{tag}_ap11"], produced[f"{tag}_ap40"] = case.ap11[0, :, car], case.ap40[0, :, car]
        produced[f"{tag}_precision"] = case.curves[0, :, car, :, :4]
    return wanted(check, produced)
