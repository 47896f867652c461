"""Evaluate depth, disparity or flow under a named protocol.

abs_rel, sq_rel, rmse, rmse_log, a1 to a3 of depth; EPE, D1, bad-X of disparity; EPE, Fl of flow.
"""

from __future__ import annotations

import argparse

from dense3d.cli.common import at_least_one

EPILOG = (
    "Maps are png of 16 bits, pfm, npy or npz files (flow: also flo), and belong together by their names. "
    "Protocols: kitti-eigen-garg, kitti-eigen-garg-inverse, kitti-eigen, kitti-improved, drivingstereo, "
    "ccnext-training, none (depth); disparity, kitti-2015, middlebury, eth3d, sceneflow, sceneflow-192, "
    "spring; flow, spring-flow. docs/depth-evaluation.md says what each is. Examples: "
    "dense3d eval-depth results training/disp_occ_0 --protocol kitti-2015 --nonoccluded training/disp_noc_0; "
    "dense3d eval-depth results depth --protocol kitti-eigen-garg --pred-kind disparity --rig calib.txt"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("predictions", metavar="PRED", help="a map, or a folder of maps")
    parser.add_argument("ground_truth", metavar="GT", help="ground truth: a map, or a folder")
    parser.add_argument("--protocol", required=True, metavar="NAME", help="what counts, and how: see below")
    for side, name in (("pred", "predictions"), ("gt", "ground truth")):
        group = parser.add_argument_group(f"files of {name}")
        group.add_argument(
            f"--{side}-kind",
            metavar="KIND",
            help="depth, inverse-depth, disparity or flow (default: what the protocol compares)",
        )
        group.add_argument(
            f"--{side}-format",
            metavar="FORMAT",
            help="png/1000, sintel ... (default: by the suffix; png/256)",
        )
        group.add_argument(f"--{side}-scale", type=float, default=1.0, help="multiplies all values")
        group.add_argument(f"--{side}-glob", metavar="PATTERN", help="files of the folder, '*/disp0GT.pfm'")
    parser.add_argument(
        "--rig", metavar="PLACE", help="calibration: a file, a folder, or a name beside each map"
    )
    parser.add_argument(
        "--unit",
        choices=("mm", "cm", "m", "in"),
        help="of the baseline in --rig (default: that of the file's kind)",
    )
    parser.add_argument("--nonoccluded", metavar="PLACE", help="masks of what both images see, likewise")
    parser.add_argument("--mask-format", metavar="FORMAT", help="seen, occluded, known/png/256 ...")
    parser.add_argument(
        "--region",
        nargs=2,
        action="append",
        metavar=("NAME", "PLACE"),
        help="masks of a region, 255 = inside",
    )
    parser.add_argument("--split", metavar="FILE", help="evaluate the maps listed here, a name a line")
    parser.add_argument("--allow-missing", action="store_true", help="leave out maps without prediction")
    parser.add_argument(
        "--holes",
        choices=("wrong", "skip"),
        default="wrong",
        help="pixels without prediction count as wrong (depth: are clamped), or are left out",
    )
    parser.add_argument("--resize", action="store_true", help="resize predicted disparity, with its values")
    parser.add_argument("--unchecked", action="store_true", help="do not refuse suspicious scales and shapes")
    changes = parser.add_argument_group("changes of the protocol (its name then says so)")
    changes.add_argument("--crop", metavar="NAME", help="none, garg or eigen")
    changes.add_argument("--min-depth", type=float, help="metres; limit of ground truth and predictions")
    changes.add_argument("--max-depth", type=float, help="the same")
    changes.add_argument("--median-scaling", action="store_true", default=None, help="of each prediction")
    changes.add_argument("--resized", choices=("depth", "inverse"), help="what is resized")
    changes.add_argument("--mean", choices=("images", "pixels"), help="over what")
    parser.add_argument(
        "--per-folder", action="store_true", help="also figures of each folder, as of weathers"
    )
    parser.add_argument("--json", metavar="FILE", help="also write all figures here")
    parser.add_argument("--csv", metavar="FILE", help="also write a row an image here")
    parser.add_argument("--workers", type=at_least_one, help="threads (default: one a CPU core, at most 8)")


def run(arguments: argparse.Namespace) -> None:
    from dense3d.apis.depth_evaluation import DepthEvaluation
    from dense3d.evaluation.depth.map_files import MapSource

    sources = [
        MapSource(
            path, *(getattr(arguments, f"{side}_{field}") for field in ("kind", "format", "scale", "glob"))
        )
        for side, path in (("pred", arguments.predictions), ("gt", arguments.ground_truth))
    ]
    evaluation = DepthEvaluation(
        *sources,
        protocol=_protocol(arguments),
        rig=arguments.rig,
        unit=arguments.unit,
        nonoccluded=arguments.nonoccluded,
        mask_form=arguments.mask_format,
        regions=dict(arguments.region or []),
        holes=arguments.holes,
        only=_names(arguments.split),
        allow_missing=arguments.allow_missing,
        resize=arguments.resize,
        unchecked=arguments.unchecked,
    )
    result = evaluation(arguments.json, arguments.csv, arguments.workers)
    print(result.table())
    for folder, part in (result.by_folder() if arguments.per_folder else {}).items():
        print(f"\n{folder}\n{part.table()}")
    for notice in result.notices:
        print(f"\nnote: {notice}")
    for written in filter(None, (arguments.json, arguments.csv)):
        print(f"\nwritten: {written}")


def _protocol(arguments: argparse.Namespace):
    from dense3d.evaluation.depth.protocols import DepthProtocol, get_protocol

    protocol = get_protocol(arguments.protocol)
    changes = {
        "crop": arguments.crop,
        "min_depth": arguments.min_depth,
        "max_depth": arguments.max_depth,
        "median_scaling": arguments.median_scaling,
        "resize": arguments.resized,
        "mean": arguments.mean,
    }
    changes = {name: value for name, value in changes.items() if value is not None}
    limited = {"min_depth", "max_depth"} & changes.keys()
    if limited and isinstance(protocol, DepthProtocol):
        low, high = protocol.clamp
        changes["clamp"] = changes.get("min_depth", low), changes.get("max_depth", high)
    return get_protocol(protocol, **changes)


def _names(file: str | None) -> list[str] | None:
    """Names of a split: the first word of each line."""
    if file is None:
        return None
    from dense3d.datasets.stereo.pfm import read_bytes

    return [
        line.split()[0] for line in read_bytes(file).decode("utf-8", "replace").splitlines() if line.split()
    ]
