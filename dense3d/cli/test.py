"""Evaluate a checkpoint on the config's test data."""

from __future__ import annotations

import argparse

from dense3d.cli.common import (
    add_checkpoint,
    add_config,
    add_config_options,
    add_launcher,
    at_least_one,
    set_local_rank,
)

EPILOG = "example: dense3d test CONFIG CHECKPOINT --out results --tta"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    add_checkpoint(parser)
    parser.add_argument("--out", metavar="DIR", help="write metrics.json and the predictions here")
    parser.add_argument("--show-dir", metavar="DIR", help="draw predictions beside ground truth here")
    parser.add_argument("--tta", action="store_true", help="test-time augmentation (flip, or tta_pipeline)")
    parser.add_argument(
        "--repeat",
        type=at_least_one,
        metavar="N",
        help="test N times with other seeds, and print mean and spread: of tests that draw points at random",
    )
    parser.add_argument("--work-dir", help="folder for the log (default: work_dirs/CONFIG)")
    add_launcher(parser)
    add_config_options(parser)


def run(arguments: argparse.Namespace) -> None:
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
        repeat=arguments.repeat,
    )
