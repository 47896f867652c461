#!/usr/bin/env python3
"""Evaluate a checkpoint on the config's test data."""

import argparse
import sys

from dense3d.apis.command import add_config_options, add_launcher, command, set_local_rank


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: python tools/test.py CONFIG CHECKPOINT --out results --tta"
    )
    parser.add_argument("config", help="config file")
    parser.add_argument("checkpoint", help="checkpoint file")
    parser.add_argument("--out", metavar="DIR", help="write metrics.json and the predictions here")
    parser.add_argument("--show-dir", metavar="DIR", help="draw predictions beside ground truth here")
    parser.add_argument("--tta", action="store_true", help="test-time augmentation (flip, or tta_pipeline)")
    parser.add_argument("--work-dir", help="folder for the log (default: work_dirs/CONFIG)")
    add_launcher(parser)
    add_config_options(parser)
    return parser.parse_args()


@command
def main() -> None:
    arguments = parse()
    set_local_rank(arguments)
    from dense3d.apis import test
    from dense3d.config import parse_options

    test(
        arguments.config,
        arguments.checkpoint,
        out=arguments.out,
        show_dir=arguments.show_dir,
        tta=arguments.tta,
        work_dir=arguments.work_dir,
        options=parse_options(arguments.cfg_options),
        launcher=arguments.launcher,
    )


if __name__ == "__main__":
    sys.exit(main())
