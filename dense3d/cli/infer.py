"""Run a trained model on images.

Writes drawn pictures and results: COCO's format for boxes and masks, KITTI's for 3D boxes, label maps.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from dense3d.cli.common import add_config, add_config_options

EPILOG = (
    "examples: dense3d infer CONFIG CHECKPOINT 'photos/*.jpg' --out results; "
    "for 3D boxes: dense3d infer CONFIG CHECKPOINT image_2 --calib calib --out results"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    parser.add_argument("checkpoint", help="checkpoint file")
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="image, folder or glob")
    parser.add_argument(
        "--out",
        required=True,
        metavar="DIR",
        help="folder for pictures and predictions.json, of 3D boxes for pictures and results/NAME.txt",
    )
    parser.add_argument(
        "--calib",
        metavar="PATH",
        help="3D boxes only: KITTI calibration file of all images, or folder with NAME.txt for each "
        "(default: the folder calib beside that of the images)",
    )
    parser.add_argument("--score-threshold", type=float, default=0.3, help="leave out less (default: 0.3)")
    parser.add_argument("--tta", action="store_true", help="test-time augmentation, as in dense3d test")
    parser.add_argument("--batch-size", type=int, default=1, help="images at a time (default: 1)")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, ... (default: a GPU if there is one)")
    add_config_options(parser)


def run(arguments: argparse.Namespace) -> int:
    from dense3d.apis import infer
    from dense3d.config import parse_options

    report = infer(
        arguments.config,
        arguments.checkpoint,
        arguments.inputs,
        out=arguments.out,
        score_threshold=arguments.score_threshold,
        batch_size=arguments.batch_size,
        device=arguments.device,
        options=parse_options(arguments.cfg_options),
        tta=arguments.tta,
        calibration=arguments.calib,
    )
    print(
        f"{len(report.pictures)} pictures in {Path(arguments.out) / 'pictures'}, results in {report.results}"
    )
    if report.renamed:
        name, stem = next(iter(report.renamed.items()))
        print(f"note: {len(report.renamed)} images share a name with others: files of {name} are {stem}.*")
    if report.dropped:
        print(f"note: {report.dropped} predictions are left out: sizes or positions that nothing can have")
    for note in report.notes:
        print(f"note: {note}")
    for reason in report.left_out.values():
        print(f"left out: {reason}", file=sys.stderr)
    return 1 if report.left_out else 0
