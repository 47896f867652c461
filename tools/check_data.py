#!/usr/bin/env python3
"""Check that a data root holds what a public data set's layout asks for, and name what is missing."""

import argparse
import sys

from dense3d.apis.command import command

NAMES = ("coco", "coco_panoptic", "ade20k", "kitti", "cityscapes")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="Layouts and preparation: data/README.md. Contents of images and annotations are checked by "
        "tools/browse.py CONFIG --check. Example: python tools/check_data.py coco data/coco",
    )
    parser.add_argument("dataset", choices=NAMES)
    parser.add_argument("root", help="folder of the data set")
    parser.add_argument("--json", metavar="FILE", help="also write the report here")
    return parser.parse_args()


@command
def main() -> int:
    arguments = parse()
    from dense3d.datasets.layouts import check_layout

    report = check_layout(arguments.dataset, arguments.root)
    print(report.table())
    if arguments.json:
        import json
        from dataclasses import asdict

        from dense3d.files import atomic_write

        with atomic_write(arguments.json, "w") as file:
            json.dump(asdict(report), file, indent=1)
    print("nothing needed is missing" if report.ok else f"{len(report.faults)} faults")
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
