"""Convert an official checkpoint into our models' layout."""

from __future__ import annotations

import argparse

EPILOG = (
    "examples: dense3d convert resnet resnet50-11ad3fa6.pth resnet50.pth; "
    "dense3d convert ccnext encoder.pth decoder.pth ccnext.pth"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("system", help="name of the official layout; a wrong name lists the known ones")
    parser.add_argument(
        "source", metavar="IN", nargs="+", help="official checkpoint; several files where it is in several"
    )
    parser.add_argument("target", metavar="OUT", help="file to write")


def run(arguments: argparse.Namespace) -> None:
    from dense3d.apis import convert_checkpoint

    count = convert_checkpoint(arguments.system, arguments.source, arguments.target, tell=print)
    print(f"{count} tensors written to {arguments.target}")
