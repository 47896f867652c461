"""Turn ScanNet or SUN RGB-D, as released, into a file a scene.

For 3D detection; in several processes, and what is there already is not made again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from dense3d.cli.common import at_least_one

EPILOG = (
    "Example: dense3d prepare scannet data/scannet data/scannet_prepared --workers 8. "
    "Layouts: docs/indoor-detection-data.md; dense3d check-data names what is missing, too"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", choices=("scannet", "sunrgbd"), help="which data set")
    parser.add_argument("root", type=Path, help="its folder, as it is released")
    parser.add_argument("out", type=Path, help="folder to fill, or one where an earlier run stopped")
    parser.add_argument("--labels", choices=("v1", "v2"), help="annotation of SUN RGB-D (default: v1)")
    parser.add_argument("--no-align", action="store_true", help="leave ScanNet's scans as they were taken")
    parser.add_argument(
        "--max-points",
        type=int,
        metavar="N",
        help="keep so many of each scene, 0 for all (default: all of ScanNet, 50000 of SUN RGB-D)",
    )
    parser.add_argument("--workers", type=at_least_one, help="processes (default: one a CPU core)")
    parser.add_argument("--skip-missing", action="store_true", help="leave out scenes that lack files")


def run(arguments: argparse.Namespace) -> None:
    from dense3d.datasets.prepared import prepare

    manifest = prepare(
        arguments.dataset,
        arguments.root,
        arguments.out,
        labels=arguments.labels,
        align=not arguments.no_align,
        max_points=arguments.max_points,
        workers=arguments.workers,
        skip_missing=arguments.skip_missing,
        progress=True,
    )
    counts = " and ".join(f"{len(ids)} {split}" for split, ids in manifest.splits.items())
    boxes = "axis-aligned" if manifest.axis_aligned else "not axis-aligned"
    points = f"at most {manifest.max_points} points" if manifest.max_points else "all points"
    print(f"{counts} scenes of {manifest.dataset} ({manifest.labels}, {boxes}, {points}): {arguments.out}")
    for sentence in manifest.left_out[:20]:
        print(f"left out: {sentence}")
    if manifest.left_out[20:]:
        print(f"and {len(manifest.left_out) - 20} more, see {arguments.out / 'prepared.json'}")
