"""Find the depth at which each image should leave.

Step B of ECO-M2F: the encoder depth of each training image for a trade-off beta.
"""

from __future__ import annotations

import argparse

from dense3d.cli.common import add_config_options, add_launcher, set_local_rank
from dense3d.errors import ConfigError

EPILOG = (
    "Measuring runs the model over the training images; --from makes the file of another beta at "
    "once. Example: dense3d derive-depths CONFIG CHECKPOINT --beta 0.003 --out depths.json"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
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


def run(arguments: argparse.Namespace) -> None:
    if (arguments.source is None) == (arguments.checkpoint is None):
        raise ConfigError("give a config and a checkpoint, or --from FILE, and not both")
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
