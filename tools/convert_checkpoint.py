#!/usr/bin/env python3
"""Convert an official checkpoint into the layout that our models load."""

import argparse
import sys

from dense3d.apis.command import command


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example: python tools/convert_checkpoint.py resnet resnet50-11ad3fa6.pth resnet50.pth",
    )
    parser.add_argument("system", help="name of the official layout; a wrong name lists the known ones")
    parser.add_argument("source", metavar="IN", help="official checkpoint")
    parser.add_argument("target", metavar="OUT", help="file to write")
    return parser.parse_args()


@command
def main() -> None:
    arguments = parse()
    from dense3d.apis import convert_checkpoint

    count = convert_checkpoint(arguments.system, arguments.source, arguments.target)
    print(f"{count} tensors written to {arguments.target}")


if __name__ == "__main__":
    sys.exit(main())
