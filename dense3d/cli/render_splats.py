"""Render a file of Gaussian splats for the cameras of a scene.

Writes a picture for each photograph, and how far it is from it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

EPILOG = "example: dense3d render-splats fox/splats.ply data/nerf/fox --out renders --downscale 2"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("splats", metavar="PLY", help="file of splats, in the layout of the paper's code")
    parser.add_argument("scene", metavar="SCENE", help="posed photographs in the frame of the splats")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for renders/ and metrics.json")
    parser.add_argument(
        "--downscale", type=float, default=1.0, metavar="F", help="make images smaller by F (default: 1)"
    )
    parser.add_argument(
        "--background",
        choices=("black", "white"),
        help="(default: black; where photographs have alpha channels white)",
    )
    parser.add_argument(
        "--axes", choices=("opengl", "opencv"), default="opengl", help="of cameras in transforms files"
    )
    parser.add_argument("--device", help="cpu, cuda, cuda:1, ... (default: a GPU if there is one)")
    parser.add_argument("--video", action="store_true", help="write orbit.mp4")
    parser.add_argument("--mesh", action="store_true", help="write mesh.ply, from rendered depth")
    parser.add_argument("--voxel", type=float, metavar="SIDE", help="of the mesh, in the units of the poses")


def run(arguments: argparse.Namespace) -> int:
    from dense3d.apis.splat_rendering import render_splats

    report = render_splats(
        arguments.splats,
        arguments.scene,
        arguments.out,
        downscale=arguments.downscale,
        background=arguments.background,
        axes=arguments.axes,
        device=arguments.device,
        video=arguments.video,
        mesh=arguments.mesh,
        voxel=arguments.voxel,
        tell=lambda line: print(line, file=sys.stderr if line.startswith("warning") else sys.stdout),
    )
    print("\n".join(report.scores.lines()))
    print(f"{len(report.pictures)} pictures in {Path(arguments.out) / 'renders'}")
    return 0
