"""Print quality against cost of a model with exits.

Every fixed depth, and a gate for each beta (ECO-M2F).
"""

from __future__ import annotations

import argparse

from dense3d.cli.common import add_config_options

EPILOG = "example: dense3d exit-curve CONFIG CHECKPOINT depths.json --beta 0 0.003 --out curve"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", help="config of the parent (step A)")
    parser.add_argument("checkpoint", help="checkpoint of the parent")
    parser.add_argument("targets", help="file of dense3d derive-depths, of any beta (step B)")
    parser.add_argument("--beta", type=float, nargs="+", required=True, help="trade-offs")
    parser.add_argument("--out", metavar="DIR", help="folder for curve.json and curve.png")
    parser.add_argument("--work-dir", help="folder for the log (default: work_dirs/CONFIG)")
    add_config_options(parser)


def run(arguments: argparse.Namespace) -> None:
    from dense3d.apis.depth_curve import exit_curve, print_curve
    from dense3d.config import parse_options

    points = exit_curve(
        arguments.config,
        arguments.checkpoint,
        arguments.targets,
        arguments.beta,
        out=arguments.out,
        work_dir=arguments.work_dir,
        options=parse_options(arguments.cfg_options),
    )
    print_curve(points)
    if arguments.out:
        print(f"written: {arguments.out}/curve.json, {arguments.out}/curve.png")
