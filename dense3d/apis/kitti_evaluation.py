"""KITTI's evaluation of a folder of results."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from dense3d.evaluation.kitti.average_precision import evaluate
from dense3d.evaluation.kitti.files import read_pair
from dense3d.evaluation.kitti.protocol import Protocol
from dense3d.evaluation.kitti.result import KittiResult
from dense3d.files import atomic_write, require_writable_file, require_writable_folder


def evaluate_kitti(
    label_folder: str | Path,
    result_folder: str | Path,
    classes: Iterable[str] = ("Car", "Pedestrian", "Cyclist"),
    image_set: str | Path | None = None,
    json_file: str | Path | None = None,
    plot_folder: str | Path | None = None,
    extra_classes: Mapping[str, str] | None = None,
) -> KittiResult:
    """Evaluate result files against label files as KITTI's C++ devkit does, on the CPU.

    Args:
        label_folder: ``training/label_2``.
        result_folder: one file a frame, directly or in its subfolder ``data``, ``results`` (of ``dense3d
            infer --out``) or ``predictions`` (of ``dense3d test --out``).
        classes: which of Car, Pedestrian and Cyclist.
        image_set: list of frames such as ``ImageSets/val.txt``; all labelled frames by default.
        json_file: also write all figures there.
        plot_folder: also draw precision-recall curves there, a picture a class.
        extra_classes: further classes, each with the one whose limits it takes: ``{"Bus": "Car"}``.

    Raises:
        ConfigError: a class that KITTI does not evaluate.
        DataError: a frame without label or result, or a faulty file; the message names file and line.
    """
    if json_file:
        require_writable_file(json_file)
    if plot_folder:
        require_writable_folder(plot_folder)
    protocol = Protocol.of(list(classes), extra_classes)
    pairs = read_pair(label_folder, result_folder, image_set, extra_classes or ())
    result = evaluate(pairs.labels, pairs.results, protocol)
    if json_file:
        with atomic_write(json_file, "w") as file:
            json.dump(result.to_dict(), file, indent=1)
    if plot_folder:
        from dense3d.evaluation.kitti.result import draw_curves

        draw_curves(result, plot_folder)
    return result
