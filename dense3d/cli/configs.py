"""List the shipped configs with their published results.

By task and data set; a result is that of the paper or of its official repository.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

EPILOG = (
    "train, test and infer take a name as it is; another config inherits with "
    "_base_ = 'dense3d::FOLDER/NAME.py'. Example: dense3d configs swin ade20k"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="WORD", help="only configs in which every word occurs")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the list")


def run(arguments: argparse.Namespace) -> None:
    from dense3d.config.catalog import list_configs, table

    configs = list_configs(arguments.words)
    print(json.dumps([asdict(config) for config in configs], indent=1) if arguments.json else table(configs))
