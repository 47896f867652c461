"""Draw what Gaussian2Scene or PiMAE makes of scenes.

Writes a picture for each scene: photographs, what was painted or rendered, and the cloud.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from dense3d.cli.common import add_checkpoint, add_config, add_config_options, at_least_one

EPILOG = (
    "example: dense3d draw-scenes gaussian2scene-stage2_pointnet2-tiny_synthetic-rooms FILE --out pictures"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    add_checkpoint(parser)
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the pictures")
    parser.add_argument("--split", choices=("train", "val", "test"), default="val", help="(default: val)")
    parser.add_argument("--number", type=at_least_one, default=4, help="of scenes (default: 4)")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, ... (default: a GPU if there is one)")
    add_config_options(parser)


def run(arguments: argparse.Namespace) -> None:
    from dense3d.apis.scene_pictures import draw_scenes
    from dense3d.config import parse_options

    results = draw_scenes(
        arguments.config,
        arguments.checkpoint,
        arguments.out,
        arguments.split,
        arguments.number,
        arguments.device,
        parse_options(arguments.cfg_options),
    )
    for result in results:
        print(result)
    print(f"{len(results)} pictures in {Path(arguments.out)}")
