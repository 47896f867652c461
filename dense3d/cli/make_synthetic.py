"""Render a synthetic data set in the layouts of real ones."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from dense3d.datasets.synthetic.clouds import CLOUD_LAYOUTS, VIEW_SIZE, make_clouds
from dense3d.datasets.synthetic.clouds import DEFAULTS as CLOUD_DEFAULTS
from dense3d.datasets.synthetic.generate import LAYOUTS, SCENES, make_dataset
from dense3d.datasets.synthetic.grids import DEFAULTS as GRID_DEFAULTS
from dense3d.datasets.synthetic.grids import GRIDS, make_grids
from dense3d.datasets.synthetic.volumes import VOLUMES, make_volumes
from dense3d.errors import ConfigError

STEREO, POSED, CLASSES = "stereo", "posed", "classes"
# number of training and validation samples, image size, and what the samples are called
DEFAULTS = {
    None: (1000, 200, (320, 240), "images"),
    STEREO: (250, 50, (320, 160), "pairs"),
    POSED: (1, 0, (240, 180), "sequences"),
    CLASSES: (2000, 400, (64, 64), "images"),
}
EPILOG = "example: dense3d make-synthetic coco data/synthetic/coco --size 160x120"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("layout", choices=(*LAYOUTS, VOLUMES, GRIDS, *CLOUD_LAYOUTS), help="layout to write")
    parser.add_argument("out", type=Path, help="folder to create; all layouts share it")
    parser.add_argument(
        "--layouts",
        nargs="+",
        choices=LAYOUTS,
        default=[],
        metavar="LAYOUT",
        help="further layouts of the same scenes",
    )
    parser.add_argument(
        "--train",
        type=int,
        help="training images (default: 1000, of classes 2000), stereo pairs (250), posed sequences (1), "
        "volumes (4), grids (60), shapes (1050) or rooms (40)",
    )
    parser.add_argument(
        "--val",
        type=int,
        help="validation images (default: 200, of classes 400), pairs (50), sequences (0), grids (20), "
        "shapes (210) or rooms (10)",
    )
    parser.add_argument("--points", type=int, help="of each cloud (default: 2048 of shapes, 40000 of rooms)")
    parser.add_argument(
        "--scan", action="store_true", help="shapes seen from one side, rooms from places in them"
    )
    parser.add_argument(
        "--views",
        type=int,
        default=0,
        help="photographs with depth of each room, of rooms and grids (default: none)",
    )
    parser.add_argument(
        "--size",
        type=image_size,
        metavar="WxH",
        help="image size (default: 320x240, of classes 64x64, of pairs 320x160, of posed sequences "
        "240x180, of photographs of rooms 128x96, beside grids always 240x180), or WxHxD of volumes "
        "(default: 128x112x96), or the longest side of grids (default: 64)",
    )
    parser.add_argument("--finer", type=int, metavar="N", help="also grids of this longest side")
    parser.add_argument("--scenes", choices=SCENES, help="what is shown (default: what the layout needs)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the world (default: 0)")
    parser.add_argument("--workers", type=int, help="processes (default: one a CPU core)")
    parser.add_argument("--overwrite", action="store_true", help="replace a data set of another recipe")


def image_size(text: str) -> tuple[int, ...]:
    """``"320x240"`` -> (320, 240); ``"128x112x96"`` of a volume; ``"64"`` of a grid."""
    sides = text.split("x")
    if len(sides) not in (1, 2, 3) or not all(side.isdigit() for side in sides):
        raise argparse.ArgumentTypeError(f"{text!r} is not WIDTHxHEIGHT, for instance 320x240")
    return tuple(int(side) for side in sides)


def run(arguments: argparse.Namespace) -> None:
    start = time.perf_counter()
    if arguments.layout in CLOUD_LAYOUTS:
        _make_clouds(arguments, start)
        return
    if arguments.points is not None or arguments.scan:
        raise ConfigError(f"--points and --scan are of {' and '.join(CLOUD_LAYOUTS)}")
    if arguments.layout == GRIDS:
        _make_grids(arguments, start)
        return
    if arguments.views:
        raise ConfigError(f"--views is of rooms and {GRIDS}")
    if arguments.finer is not None:
        raise ConfigError(f"--finer is of {GRIDS}")
    if arguments.layout == VOLUMES:
        _make_volumes(arguments, start)
        return
    train, val, size, noun = DEFAULTS.get(arguments.layout, DEFAULTS[None])
    train = train if arguments.train is None else arguments.train
    val = val if arguments.val is None else arguments.val
    if len(arguments.size or (0, 0)) != 2:
        raise ConfigError(f"--size {'x'.join(map(str, arguments.size))}: images have a width and a height")
    made = make_dataset(
        arguments.out,
        layouts=(arguments.layout, *arguments.layouts),
        train=train,
        val=val,
        size=arguments.size or size,
        seed=arguments.seed,
        scenes=arguments.scenes,
        workers=arguments.workers,
        overwrite=arguments.overwrite,
    )
    if made:
        seconds = time.perf_counter() - start
        print(f"{train} train and {val} val {noun} in {seconds:.1f} s: {arguments.out}")
    else:
        print(f"nothing to do: {arguments.out} holds this data set already")


def _make_volumes(arguments: argparse.Namespace, start: float) -> None:
    for option in ("layouts", "val", "scenes"):
        if getattr(arguments, option):
            raise ConfigError(
                f"--{option} is of images; volumes take --train, --size WxHxD, --seed and --overwrite"
            )
    count = 4 if arguments.train is None else arguments.train
    size = arguments.size or (128, 112, 96)
    if len(size) == 1:
        raise ConfigError(f"--size {size[0]}: volumes have a width, a height and a depth")
    if make_volumes(arguments.out, count, size, arguments.seed, arguments.overwrite):
        print(f"{count} labelled volumes in {time.perf_counter() - start:.1f} s: {arguments.out}")
        print(f"next: dense3d transfer-function {arguments.out / 'body_000' / 'ct.nii.gz'}")
    else:
        print(f"nothing to do: {arguments.out} holds this data set already")


def _make_grids(arguments: argparse.Namespace, start: float) -> None:
    for option in ("layouts", "scenes", "workers"):
        if getattr(arguments, option):
            raise ConfigError(
                f"--{option} is of images; grids take --train, --val, --size N, --finer N, --views N, "
                "--seed and --overwrite"
            )
    if len(arguments.size or (0,)) != 1:
        raise ConfigError(
            f"--size {'x'.join(map(str, arguments.size))}: of grids give the longest side alone, such as 64"
        )
    given = (arguments.train, arguments.val, arguments.size[0] if arguments.size else None)
    options = (arguments.seed, arguments.finer, arguments.overwrite, arguments.views)
    if not make_grids(arguments.out, *given, *options):
        print(f"nothing to do: {arguments.out} holds this data set already")
        return
    train, val, size = (usual if value is None else value for value, usual in zip(given, GRID_DEFAULTS))
    seconds = time.perf_counter() - start
    print(f"{train} train and {val} val grids of {size} voxels a side in {seconds:.1f} s: {arguments.out}")


def _make_clouds(arguments: argparse.Namespace, start: float) -> None:
    for option in ("layouts", *(() if arguments.views else ("size",)), "scenes", "workers"):
        if getattr(arguments, option):
            raise ConfigError(
                f"--{option} is of images; {arguments.layout} take --train, --val, --points, --scan, --seed, "
                "--overwrite and, of rooms, --views with --size"
            )
    if len(arguments.size or VIEW_SIZE) != 2:
        raise ConfigError("--size of photographs of rooms is WxH")
    given = (arguments.train, arguments.val, arguments.points)
    made = make_clouds(
        arguments.out,
        arguments.layout,
        *given,
        arguments.seed,
        arguments.scan,
        arguments.overwrite,
        arguments.views,
        arguments.size or VIEW_SIZE,
    )
    if not made:
        print(f"nothing to do: {arguments.out} holds this data set already")
        return
    train, val, points = (
        usual if value is None else value for value, usual in zip(given, CLOUD_DEFAULTS[arguments.layout])
    )
    seconds = time.perf_counter() - start
    what = f"{train} train and {val} val {arguments.layout} of {points} points"
    print(f"{what} in {seconds:.1f} s: {arguments.out}")
