"""Compare training runs: a metric over iterations.

As a table and a plot; runs of several seeds are averaged.
"""

from __future__ import annotations

import argparse
from pathlib import Path

EPILOG = (
    "example: dense3d compare-runs DINO=work_dirs/dino-0,work_dirs/dino-1 "
    "Relation-DETR=work_dirs/relation-0,work_dirs/relation-1 --out convergence.png"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "groups",
        nargs="+",
        metavar="NAME=DIR[,DIR...]",
        help="a name and the work directories of its runs, which differ by seed",
    )
    parser.add_argument(
        "--metric",
        default="coco/bbox_mAP",
        help="name of the metric in the logs (default: %(default)s; AP50 is coco/bbox_mAP_50)",
    )
    parser.add_argument("--out", metavar="PNG", help="draw the curves into this file")


def run(arguments: argparse.Namespace) -> None:
    from dense3d.apis.comparison import compare_runs, print_comparison
    from dense3d.errors import ConfigError

    groups = {}
    for group in arguments.groups:
        name, equals, runs = group.partition("=")
        if not (name and equals and runs):
            raise ConfigError(f"{group!r} is not NAME=DIR[,DIR...], such as DINO=work_dirs/a,work_dirs/b")
        if name in groups:
            raise ConfigError(f"two groups are named {name!r}: give each a name of its own")
        groups[name] = runs.split(",")
    curves = compare_runs(groups, arguments.metric, arguments.out)
    print_comparison(curves, arguments.metric)
    if arguments.out:
        print(f"plot: {Path(arguments.out)}")
