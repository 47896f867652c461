"""List pairs of views for cross-view pre-training.

Below the source, folders left and right beside each other hold rectified pairs; folders with transforms.json,
transforms_train.json or ScanNet's color and pose hold posed photographs, which are paired by what they see in
common; any other folder with pictures holds the frames of a video.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from dense3d.datasets.cross_view.rules import PairRules

EPILOG = (
    "example: dense3d make-pairs data/synthetic/stereo --split train --out data/synthetic/stereo/train.txt"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    usual = PairRules()
    parser.add_argument("source", type=Path, help="folder; names in the list are relative to it")
    parser.add_argument("--out", type=Path, required=True, help="list to write")
    parser.add_argument("--split", help="folders of this name only, or posed scenes' split of this name")
    parser.add_argument(
        "--covisibility",
        type=float,
        default=usual.covisibility,
        help=f"least part that posed views see of each other (default: {usual.covisibility})",
    )
    parser.add_argument(
        "--angle",
        type=float,
        nargs=2,
        default=usual.angle,
        metavar=("MIN", "MAX"),
        help="degrees between the directions that posed views are taken from (default: 1 60)",
    )
    parser.add_argument(
        "--distance", type=float, help="how far posed views' surfaces are, without depth (default: found out)"
    )
    parser.add_argument(
        "--gap",
        type=int,
        nargs=2,
        default=usual.gap,
        metavar=("MIN", "MAX"),
        help="how many frames of a video the two are apart (default: 1 5)",
    )
    parser.add_argument("--limit", type=int, help="take so many pairs at random")
    parser.add_argument("--both-orders", action="store_true", help="list each pair in both orders")
    parser.add_argument("--seed", type=int, default=usual.seed, help="of --limit (default: 0)")


def run(arguments: argparse.Namespace) -> None:
    from dense3d.datasets.cross_view.making import make_pairs

    rules = PairRules(
        covisibility=arguments.covisibility,
        angle=tuple(arguments.angle),
        distance=arguments.distance,
        gap=tuple(arguments.gap),
        split=arguments.split,
        limit=arguments.limit,
        both_orders=arguments.both_orders,
        seed=arguments.seed,
    )
    for line in make_pairs(arguments.source, arguments.out, rules).lines():
        print(line)
    root, out = arguments.source, arguments.out
    name = out.relative_to(root) if out.is_relative_to(root) else out.absolute()
    print(f"{out}: dict(type='CrossViewPairs', data_root={str(root)!r}, ann_file={str(name)!r})")
