"""Convert panoptic data sets, instances and maps of classes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from dense3d.errors import DataError

EPILOG = """The names are those of panopticapi's converters; rules: docs/panoptic.md of the repository.
Examples:

  dense3d convert-panoptic panoptic2detection panoptic_val2017.json instances.json
  dense3d convert-panoptic panoptic2semantic panoptic_val2017.json semantic_val2017
  dense3d convert-panoptic detection2panoptic instances_val2017.json panoptic.json \\
      --categories panoptic_coco_categories.json --semantic-dir semantic_val2017 --overlap smallest
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="conversion", required=True)

    to_instances = commands.add_parser(
        "panoptic2detection", help="things of a panoptic data set as instances"
    )
    to_instances.add_argument("panoptic", metavar="PANOPTIC_JSON", help="annotations of the data set")
    to_instances.add_argument(
        "out", metavar="OUT_JSON", help="COCO instances to write; masks are run lengths"
    )
    add_source_options(to_instances)

    to_semantic = commands.add_parser("panoptic2semantic", help="classes of a panoptic data set as png files")
    to_semantic.add_argument("panoptic", metavar="PANOPTIC_JSON", help="annotations of the data set")
    to_semantic.add_argument("out", metavar="OUT_DIR", help="folder of 8-bit png files to write")
    add_source_options(to_semantic)
    add_values(to_semantic)

    to_panoptic = commands.add_parser(
        "detection2panoptic", help="instances, and maps of classes for the stuff, as a panoptic data set"
    )
    to_panoptic.add_argument("instances", metavar="INSTANCES_JSON", help="COCO instances; they lie on top")
    to_panoptic.add_argument("out", metavar="OUT_JSON", help="panoptic file to write")
    to_panoptic.add_argument(
        "--categories",
        metavar="FILE",
        required=True,
        help="JSON list of things and stuff with id, name and isthing, or a panoptic file that has it",
    )
    to_panoptic.add_argument(
        "--semantic-dir", metavar="DIR", help="maps of classes, named as the images but .png (default: none)"
    )
    add_values(to_panoptic)
    to_panoptic.add_argument(
        "--overlap",
        choices=("refuse", "first", "smallest"),
        default="refuse",
        help="instances that share pixels: refuse them, as panopticapi does, or give each pixel to the first "
        "in the file or to the smallest, and to crowd regions what others leave (default: refuse)",
    )
    to_panoptic.add_argument("--png-dir", metavar="DIR", help="png files (default: OUT_JSON without .json)")


def add_source_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--png-dir", metavar="DIR", help="png files (default: PANOPTIC_JSON without .json)")
    parser.add_argument(
        "--lenient",
        action="store_true",
        help="accept png and JSON that disagree (ADE20K's do): what is in only one of them is left out",
    )


def add_values(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--values",
        choices=("categories", "labels"),
        default="categories",
        help="numbers in the maps: ids of categories with 0 for void, as panopticapi, or positions in the "
        "list of categories with 255 for void, as segmenters are trained (default: categories)",
    )


def run(arguments: argparse.Namespace) -> None:
    from dense3d.datasets import panoptic

    if arguments.conversion == "panoptic2detection":
        count = panoptic.panoptic_to_instances(
            arguments.panoptic, arguments.out, arguments.png_dir, not arguments.lenient, show
        )
        print(f"{count} instances: {arguments.out}")
    elif arguments.conversion == "panoptic2semantic":
        count = panoptic.panoptic_to_semantic(
            arguments.panoptic,
            arguments.out,
            arguments.png_dir,
            arguments.values,
            not arguments.lenient,
            show,
        )
        print(f"{count} maps of classes: {arguments.out}")
    else:
        refuse_same(arguments.categories, arguments.out)
        count, left_out = panoptic.instances_to_panoptic(
            arguments.instances,
            arguments.out,
            panoptic.read_categories(arguments.categories),
            arguments.semantic_dir,
            arguments.png_dir,
            arguments.values,
            arguments.overlap,
            show,
        )
        print(f"{count} segments: {arguments.out}")
        if left_out:
            print(f"note: {left_out} instances have no pixel that is not another's and are left out")


def refuse_same(source: str, target: str) -> None:
    """Stop before the file that is read is replaced."""
    if Path(source).resolve() == Path(target).resolve():
        raise DataError(f"{target} is read for this conversion; give the result another name")


def show(done: int, total: int) -> None:
    """The number of images that are done, on a terminal only."""
    if sys.stderr.isatty() and (done % 10 == 0 or done == total):
        print(f"\r{done} of {total} images", end="\n" if done == total else "", file=sys.stderr, flush=True)
