"""Rectify photographs of a stereo rig, and check the rig.

Writes rectified pairs with their intrinsics, prints how far matched points are from sharing rows, and names a
swapped pair, a scaled baseline and intrinsics of another image size.
"""

from __future__ import annotations

import argparse
import sys

EPILOG = (
    "CALIB is OpenCV's yaml, xml or json with both cameras' matrices, distortion, R, T and imageSize, "
    "Kalibr's camchain.yaml, or calib_cam_to_cam.txt of raw KITTI. Status 1: something is wrong with the "
    "calibration or the pairs. "
    "Example: dense3d rectify photos/left photos/right stereo.yaml --unit mm --out rectified"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("left", metavar="LEFT", help="image, folder or glob of the left camera")
    parser.add_argument(
        "right", metavar="RIGHT", help="those of the right camera, in the same order of names"
    )
    parser.add_argument("calibration", metavar="CALIB", help="calibration file of both cameras")
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="folder for left/, right/, rig.json and check/"
    )
    parser.add_argument(
        "--alpha",
        type=float,
        default=0.0,
        help="0: only pixels that both photographs have; 1: all pixels, with black edges (default: 0)",
    )
    parser.add_argument("--size", metavar="WxH", help="of the rectified images (default: as photographed)")
    parser.add_argument(
        "--unit", default="m", choices=("mm", "cm", "m", "in"), help="of the calibration's T (default: m)"
    )
    parser.add_argument(
        "--scale-intrinsics",
        action="store_true",
        help="the photographs are the calibrated ones at another size, uncropped",
    )
    parser.add_argument(
        "--baseline", type=float, metavar="METRES", help="as measured with a ruler: checks the calibration's"
    )


def run(arguments: argparse.Namespace) -> int:
    from dense3d.stereo.rig.rectify import rectify

    report = rectify(
        arguments.left,
        arguments.right,
        arguments.calibration,
        arguments.out,
        alpha=arguments.alpha,
        size=_size(arguments.size),
        unit=arguments.unit,
        scale_intrinsics=arguments.scale_intrinsics,
        measured_baseline=arguments.baseline,
    )
    rig = report.rig
    if report.before is not None:
        print(f"as photographed: {report.before}")
    for check in report.checks[:1] if len(report.checks) == 1 else []:
        print(f"rectified: {check}")
    if len(report.checks) > 1:
        print(f"rectified: median vertical residual {report.vertical:.2f} px over {len(report.checks)} pairs")
    print(
        f"focal {rig.focal:.2f} px, baseline {rig.baseline:.4f} m, centre ({rig.cx:.2f}, {rig.cy:.2f}), "
        f"{rig.width}x{rig.height}"
    )
    for fault in report.faults:
        print(f"warning: {fault}", file=sys.stderr)
    for reason in report.left_out:
        print(f"left out: {reason}", file=sys.stderr)
    print(f"{len(report.pairs)} pairs and rig.json in {arguments.out}; look at {arguments.out}/check")
    return 1 if report.faults or report.left_out else 0


def _size(text: str | None) -> tuple[int, int] | None:
    from dense3d.errors import ConfigError

    if text is None:
        return None
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise ConfigError(f"--size {text!r} is no WIDTHxHEIGHT, such as 1280x720")
    return int(width), int(height)
