"""Train and evaluate what a config describes."""

from __future__ import annotations

import argparse

from dense3d.cli.common import add_config, add_config_options, add_launcher, set_local_rank
from dense3d.garbage import paused_collection

EPILOG = "example: dense3d train dino_r18_synthetic-coco --amp"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    parser.add_argument("--work-dir", help="folder for checkpoints and logs (default: work_dirs/CONFIG)")
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        default=False,
        metavar="auto|PATH",
        help="continue from the newest valid checkpoint in the work dir, or from PATH",
    )
    parser.add_argument(
        "--resume-settings",
        choices=("config", "checkpoint"),
        help="whose optimizer, schedule, length and batch size hold if the config changed (default: config)",
    )
    parser.add_argument("--amp", action="store_true", help="automatic mixed precision")
    parser.add_argument("--seed", type=int, help="seed of all random numbers (default: the config's, or 0)")
    parser.add_argument("--deterministic", action="store_true", help="only deterministic algorithms")
    add_launcher(parser)
    add_config_options(parser)


def run(arguments: argparse.Namespace) -> None:
    set_local_rank(arguments)
    with paused_collection():
        from dense3d.apis import train
        from dense3d.config import parse_options

    train(
        arguments.config,
        work_dir=arguments.work_dir,
        resume=arguments.resume,
        amp=arguments.amp,
        options=parse_options(arguments.cfg_options),
        launcher=arguments.launcher,
        seed=arguments.seed,
        deterministic=arguments.deterministic,
        resume_settings=arguments.resume_settings,
    )
