"""Render a synthetic data set in the layouts of real ones."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from dense3d.datasets.synthetic.generate import LAYOUTS, make_dataset
from dense3d.errors import Dense3dError


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example: make_synthetic.py coco data/synthetic/coco --train 1000 --val 200",
    )
    parser.add_argument("layout", choices=LAYOUTS, help="layout to write")
    parser.add_argument("out", type=Path, help="folder to create; all layouts share it")
    parser.add_argument(
        "--layouts", nargs="+", choices=LAYOUTS, default=[], metavar="LAYOUT", help="further layouts"
    )
    parser.add_argument("--train", type=int, default=1000, help="training images (default %(default)s)")
    parser.add_argument("--val", type=int, default=200, help="validation images (default %(default)s)")
    parser.add_argument(
        "--size", type=image_size, default=(320, 240), metavar="WxH", help="image size (default 320x240)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the world (default %(default)s)")
    parser.add_argument("--workers", type=int, help="processes (default: all CPU cores)")
    parser.add_argument("--overwrite", action="store_true", help="replace a data set of another recipe")
    return parser.parse_args(arguments)


def image_size(text: str) -> tuple[int, int]:
    """``"320x240"`` -> (320, 240)."""
    width, cross, height = text.partition("x")
    if not (cross and width.isdigit() and height.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not WIDTHxHEIGHT, for instance 320x240")
    return int(width), int(height)


def main(arguments: list[str] | None = None) -> int:
    """Make the data set and say where it is."""
    options = parse_arguments(arguments)
    start = time.perf_counter()
    try:
        made = make_dataset(
            options.out,
            layouts=(options.layout, *options.layouts),
            train=options.train,
            val=options.val,
            size=options.size,
            seed=options.seed,
            workers=options.workers,
            overwrite=options.overwrite,
        )
    except Dense3dError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if made:
        seconds = time.perf_counter() - start
        print(f"{options.train} train and {options.val} val images in {seconds:.1f} s: {options.out}")
    else:
        print(f"nothing to do: {options.out} holds this data set already")
    return 0


if __name__ == "__main__":
    sys.exit(main())
