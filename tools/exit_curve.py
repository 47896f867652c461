#!/usr/bin/env python3
"""Quality against cost of a model with exits (ECO-M2F): every fixed depth, and a gate for each beta."""

import argparse
import sys

from dense3d.apis.command import add_config_options, command


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example: python tools/exit_curve.py CONFIG CHECKPOINT depths.json --beta 0 0.003 --out curve",
    )
    parser.add_argument("config", help="config of the parent (step A)")
    parser.add_argument("checkpoint", help="checkpoint of the parent")
    parser.add_argument("targets", help="file of tools/derive_depths.py, of any beta (step B)")
    parser.add_argument("--beta", type=float, nargs="+", required=True, help="trade-offs")
    parser.add_argument("--out", metavar="DIR", help="folder for curve.json and curve.png")
    parser.add_argument("--work-dir", help="folder for the log (default: work_dirs/CONFIG)")
    add_config_options(parser)
    return parser.parse_args()


@command
def main() -> None:
    arguments = parse()
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


if __name__ == "__main__":
    sys.exit(main())
