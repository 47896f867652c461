"""Check a data root against a public data set's layout.

What is missing is named.
"""

from __future__ import annotations

import argparse

NAMES = ("coco", "coco_panoptic", "ade20k", "kitti", "cityscapes")
EPILOG = (
    "Layouts and preparation: data/README.md of the repository. Contents of images and annotations are "
    "checked by dense3d browse CONFIG --check. Example: dense3d check-data coco data/coco"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", choices=NAMES)
    parser.add_argument("root", help="folder of the data set")
    parser.add_argument("--json", metavar="FILE", help="also write the report here")


def run(arguments: argparse.Namespace) -> int:
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
