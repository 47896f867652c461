"""Check a data root against a public data set's layout.

What is missing is named.
"""

from __future__ import annotations

import argparse

from dense3d.errors import did_you_mean

NAMES = (  # of dense3d.datasets.layouts, whose imports would slow --help
    "coco", "coco_panoptic", "ade20k", "kitti", "cityscapes", "class_folders", "imagenet",
    "kitti_stereo_2012", "kitti_stereo_2015", "kitti_flow_2012", "kitti_flow_2015", "kitti_raw",
    "drivingstereo", "middlebury_2005", "middlebury_2006", "middlebury_2014", "middlebury_2021",
    "middlebury_eval3", "eth3d", "crestereo", "booster", "sceneflow_flyingthings", "sceneflow_monkaa",
    "sceneflow_driving", "sintel_stereo", "sintel_flow", "spring_stereo", "spring_flow",
    "flying_chairs", "flying_things_flow", "tartanair_flow",
    "shapenet55", "modelnet40", "scanobjectnn", "shapenetpart", "scannet", "scannet_pointcept", "s3dis",
    "s3dis_pointcept", "sunrgbd", "sunrgbd_raw", "sunrgbd_prepared", "scannet_prepared",
    "front3d_nerf", "hypersim_nerf", "hm3d_nerf", "scannet_nerf", "nerfmae_pretraining",
)  # fmt: skip
EPILOG = (
    "Layouts and preparation: data/README.md and, of stereo and flow, docs/stereo-data.md, "
    "of clouds docs/point-cloud-data.md, of grids docs/nerf-mae.md. Contents of images, clouds and "
    "annotations are checked by dense3d browse CONFIG --check. Example: dense3d check-data coco data/coco"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", type=_layout, metavar="DATASET", help=f"one of {', '.join(NAMES)}")
    parser.add_argument("root", help="folder of the data set")
    parser.add_argument("--json", metavar="FILE", help="also write the report here")


def _layout(name: str) -> str:
    if name in NAMES:
        return name
    hint = did_you_mean(name, NAMES) or "; --help lists all"
    raise argparse.ArgumentTypeError(f"{name[:40]!r} is no layout that is known{hint}")


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
