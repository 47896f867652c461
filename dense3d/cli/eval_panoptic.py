"""Evaluate panoptic segmentation: PQ, SQ and RQ.

Of all classes, things, stuff and each class.
"""

from __future__ import annotations

import argparse

from dense3d.cli.common import at_least_one

EPILOG = (
    "Files are in COCO's panoptic format, the numbers those of panopticapi. Example: "
    "dense3d eval-panoptic data/coco/annotations/panoptic_val2017.json results/panoptic.json"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ground_truth", metavar="GT_JSON", help="annotations of the data set")
    parser.add_argument("predictions", metavar="PRED_JSON", help="predictions for all of its images")
    parser.add_argument("--gt-dir", metavar="DIR", help="png files (default: GT_JSON without .json)")
    parser.add_argument("--pred-dir", metavar="DIR", help="png files (default: PRED_JSON without .json)")
    parser.add_argument("--json", metavar="FILE", help="also write all figures here")
    parser.add_argument("--workers", type=at_least_one, help="threads (default: one a CPU core, at most 8)")
    parser.add_argument(
        "--lenient",
        action="store_true",
        help="accept ground truth whose png and JSON file disagree, as panopticapi does (ADE20K's do)",
    )


def run(arguments: argparse.Namespace) -> None:
    from dense3d.apis.panoptic_evaluation import evaluate_panoptic

    result = evaluate_panoptic(
        arguments.ground_truth,
        arguments.predictions,
        arguments.gt_dir,
        arguments.pred_dir,
        workers=arguments.workers,
        strict=not arguments.lenient,
        json_file=arguments.json,
    )
    print(f"{result.images} images\n")
    print(result.table())
    for notice in result.notices:
        print(f"\nnote: {notice}")
    if arguments.json:
        print(f"\nwritten: {arguments.json}")
