"""Evaluate KITTI results against labels, on the CPU.

AP of 2D, BEV and 3D boxes and of orientation.
"""

from __future__ import annotations

import argparse

EPILOG = (
    "Every frame needs a result file, an empty one where nothing is detected. The number behind a "
    "metric is the overlap that a match must exceed; the columns are difficulties. Example: "
    "dense3d eval-kitti data/kitti/training/label_2 results --split data/kitti/ImageSets/val.txt"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("labels", metavar="GT_DIR", help="label files, training/label_2")
    parser.add_argument(
        "results",
        metavar="RESULT_DIR",
        help="result files, directly or in its folder data, results (of dense3d infer) "
        "or predictions (of dense3d test)",
    )
    parser.add_argument(
        "--classes",
        nargs="+",
        default=["Car", "Pedestrian", "Cyclist"],
        metavar="NAME",
        help="which of Car, Pedestrian and Cyclist (default: all three)",
    )
    parser.add_argument(
        "--extra-classes",
        nargs="+",
        default=[],
        metavar="NAME=CLASS",
        help="further classes, each with the one of the three whose limits it takes, such as Bus=Car",
    )
    parser.add_argument(
        "--ap",
        type=int,
        choices=(11, 40),
        help="show the mean over 11 or 40 recalls (default: both; official: 40)",
    )
    parser.add_argument(
        "--split", metavar="FILE", help="evaluate the frames listed here, such as ImageSets/val.txt"
    )
    parser.add_argument("--json", metavar="FILE", help="also write all figures here")
    parser.add_argument("--plots", metavar="DIR", help="also draw precision-recall curves here")


def _pairs(words: list[str]) -> dict[str, str]:
    from dense3d.errors import ConfigError

    for word in words:
        if not all(word.partition("=")):
            raise ConfigError(f"--extra-classes: {word!r} is no NAME=CLASS, such as Bus=Car")
    return {name: like for name, _, like in (word.partition("=") for word in words)}


def run(arguments: argparse.Namespace) -> None:
    from dense3d.apis.kitti_evaluation import evaluate_kitti

    result = evaluate_kitti(
        arguments.labels,
        arguments.results,
        arguments.classes,
        image_set=arguments.split,
        json_file=arguments.json,
        plot_folder=arguments.plots,
        extra_classes=_pairs(arguments.extra_classes),
    )
    print(f"{result.frames} frames, {result.detections} detections\n")
    print(result.table((arguments.ap,) if arguments.ap else (40, 11)))
    for notice in result.notices():
        print(f"\nnote: {notice}")
    for written in filter(None, (arguments.json, arguments.plots)):
        print(f"\nwritten: {written}")
