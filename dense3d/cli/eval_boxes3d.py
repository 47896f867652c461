"""Evaluate predicted 3D boxes of rooms: AP25, AP50 and AR.

Of each class, under a protocol that is named with the numbers.
"""

from __future__ import annotations

import argparse

EPILOG = (
    "Files are .json or .npz, see docs/indoor-detection-data.md; dense3d test --out writes them. Example: "
    "dense3d eval-boxes3d results/predictions.boxes3d.npz results/predictions.boxes3d.truth.npz "
    "--protocol scannet"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("predictions", metavar="PRED", help="boxes with scores: .json or .npz")
    parser.add_argument("ground_truth", metavar="GT", help="boxes of the same scenes: .json or .npz")
    parser.add_argument(
        "--protocol",
        required=True,
        metavar="NAME",
        help="scannet, sunrgbd, indoor (the classes of GT), or nerf-rpn (proposals without classes); is "
        "printed with the numbers",
    )
    parser.add_argument(
        "--thresholds", nargs="+", type=float, metavar="IOU", help="to be exceeded (default: 0.25 0.5)"
    )
    parser.add_argument(
        "--top",
        type=int,
        metavar="N",
        help="of nerf-rpn: AP of the best N proposals of a scene (default: all)",
    )
    parser.add_argument("--out", metavar="FILE", help="also write all figures here, .json or .csv")


def run(arguments: argparse.Namespace) -> None:
    from dense3d.apis.boxes3d_evaluation import evaluate_boxes3d

    result = evaluate_boxes3d(
        arguments.predictions,
        arguments.ground_truth,
        arguments.protocol,
        arguments.thresholds,
        arguments.top,
        arguments.out,
    )
    print(result.table())
    for notice in result.notices:
        print(f"\nnote: {notice}")
    if arguments.out:
        print(f"\nwritten: {arguments.out}")
