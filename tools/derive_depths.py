#!/usr/bin/env python3
"""Step B of ECO-M2F: the encoder depth that each training image should leave at, for a trade-off beta."""

import argparse
import sys

from dense3d.apis.command import add_config_options, add_launcher, command, set_local_rank


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="Measuring runs the model over the training images; --from makes the file of another beta at "
        "once. Example: python tools/derive_depths.py CONFIG CHECKPOINT --beta 0.003 --out depths.json",
    )
    parser.add_argument("config", nargs="?", help="config of the parent (step A)")
    parser.add_argument("checkpoint", nargs="?", help="checkpoint of the parent")
    parser.add_argument("--beta", type=float, required=True,
                        help="quality in 0 .. 1 that one more layer has to earn")  # fmt: skip
    parser.add_argument("--out", required=True, metavar="FILE", help="JSON file to write")
    parser.add_argument("--from", dest="source", metavar="FILE",
                        help="take the qualities from a file of another beta: no model is run")  # fmt: skip
    parser.add_argument("--work-dir", help="folder for the log (default: work_dirs/CONFIG)")
    add_launcher(parser)
    add_config_options(parser)
    arguments = parser.parse_args()
    if (arguments.source is None) == (arguments.checkpoint is None):
        parser.error("give a config and a checkpoint, or --from FILE, and not both")
    return arguments


@command
def main() -> None:
    arguments = parse()
    set_local_rank(arguments)
    from dense3d.apis.depth_derivation import derive_depths, print_targets, rederive_depths
    from dense3d.config import parse_options

    if arguments.source is not None:
        targets = rederive_depths(arguments.source, arguments.out, arguments.beta)
    else:
        targets = derive_depths(
            arguments.config,
            arguments.checkpoint,
            arguments.out,
            arguments.beta,
            work_dir=arguments.work_dir,
            options=parse_options(arguments.cfg_options),
            launcher=arguments.launcher,
        )
    print_targets(targets)
    print(f"written: {arguments.out}")


if __name__ == "__main__":
    sys.exit(main())
