"""Render a synthetic data set in the layouts of real ones."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from dense3d.datasets.synthetic.generate import LAYOUTS, SCENES, make_dataset

EPILOG = "example: dense3d make-synthetic coco data/synthetic/coco --size 160x120"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("layout", choices=LAYOUTS, help="layout to write")
    parser.add_argument("out", type=Path, help="folder to create; all layouts share it")
    parser.add_argument(
        "--layouts",
        nargs="+",
        choices=LAYOUTS,
        default=[],
        metavar="LAYOUT",
        help="further layouts of the same scenes",
    )
    parser.add_argument("--train", type=int, default=1000, help="training images (default: 1000)")
    parser.add_argument("--val", type=int, default=200, help="validation images (default: 200)")
    parser.add_argument(
        "--size", type=image_size, default=(320, 240), metavar="WxH", help="image size (default: 320x240)"
    )
    parser.add_argument("--scenes", choices=SCENES, help="what is shown (default: what the layout needs)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the world (default: 0)")
    parser.add_argument("--workers", type=int, help="processes (default: one a CPU core)")
    parser.add_argument("--overwrite", action="store_true", help="replace a data set of another recipe")


def image_size(text: str) -> tuple[int, int]:
    """``"320x240"`` -> (320, 240)."""
    width, cross, height = text.partition("x")
    if not (cross and width.isdigit() and height.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not WIDTHxHEIGHT, for instance 320x240")
    return int(width), int(height)


def run(arguments: argparse.Namespace) -> None:
    start = time.perf_counter()
    made = make_dataset(
        arguments.out,
        layouts=(arguments.layout, *arguments.layouts),
        train=arguments.train,
        val=arguments.val,
        size=arguments.size,
        seed=arguments.seed,
        scenes=arguments.scenes,
        workers=arguments.workers,
        overwrite=arguments.overwrite,
    )
    if made:
        seconds = time.perf_counter() - start
        print(f"{arguments.train} train and {arguments.val} val images in {seconds:.1f} s: {arguments.out}")
    else:
        print(f"nothing to do: {arguments.out} holds this data set already")
