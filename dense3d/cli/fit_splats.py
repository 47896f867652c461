"""Fit Gaussian splats to posed photographs.

SCENE is transforms.json (nerfstudio, instant-ngp, Blender), a ScanNet folder, a COLMAP model with its images,
or, with --colmap, a folder of own photographs. One of eight photographs is held out and scored.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from dense3d.cli.common import at_least_one

EPILOG = (
    "Ctrl+C saves; the same command with --resume goes on. "
    "examples: dense3d fit-splats data/nerf/fox --out fox --video; "
    "dense3d fit-splats photos --colmap --out kitchen --show; "
    "dense3d fit-splats scan --strategy mcmc --cap 100000 --mesh --out scan_splats"
)
# of the CPU and of a GPU
STEPS = {"cpu": 2000, "cuda": 30_000}
CAPS = {"cpu": 200_000, "cuda": 3_000_000}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("scene", metavar="SCENE", help="folder or file of posed photographs")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for splats.ply and all else")
    fit = parser.add_argument_group("fit")
    fit.add_argument(
        "--steps", type=at_least_one, help="photographs to look at (default: 2000, on a GPU 30000)"
    )
    fit.add_argument(
        "--strategy",
        choices=("default", "mcmc"),
        default="default",
        help="default: clone, split and prune; mcmc: move and walk, a fixed number (default: default)",
    )
    fit.add_argument(
        "--cap",
        type=at_least_one,
        metavar="N",
        help="largest number of Gaussians (default: 200000, on a GPU 3000000)",
    )
    fit.add_argument("--sh-degree", type=int, default=3, metavar="0..3", help="of the colours (default: 3)")
    fit.add_argument("--antialiased", action="store_true", help="with the filter of Mip-Splatting")
    fit.add_argument(
        "--exposure", action="store_true", help="photographs differ in brightness or white balance"
    )
    fit.add_argument(
        "--background",
        choices=("black", "white", "random"),
        help="behind the scene (default: black; of objects with alpha or masks random, and white in scores)",
    )
    fit.add_argument("--seed", type=int, default=0, help="of all randomness (default: 0)")
    fit.add_argument("--device", help="cpu, cuda, cuda:1, ... (default: a GPU if there is one)")
    data = parser.add_argument_group("photographs")
    data.add_argument(
        "--downscale", type=float, default=1.0, metavar="F", help="make images smaller by F (default: 1)"
    )
    data.add_argument("--masks", metavar="DIR", help="a picture for each photograph: 0 is outside")
    data.add_argument(
        "--masks-show",
        choices=("object", "usable"),
        default="object",
        help="object: what is outside is to be empty; usable: it is unknown (default: object)",
    )
    data.add_argument(
        "--hold-out", type=int, default=8, metavar="N", help="score one of N; 0: none (default: 8)"
    )
    data.add_argument(
        "--axes",
        choices=("opengl", "opencv"),
        default="opengl",
        help="of cameras in transforms files (default: opengl)",
    )
    data.add_argument(
        "--no-pose-check", action="store_true", help="do not match photographs to see whether poses fit"
    )
    data.add_argument("--colmap", action="store_true", help="find the poses of a folder of photographs first")
    start = parser.add_argument_group("beginning")
    start.add_argument("--cloud", metavar="FILE", help="scan in the frame of the poses, to begin with")
    start.add_argument(
        "--points", type=at_least_one, metavar="N", help="begin with so many (default: all, of depth 20000)"
    )
    start.add_argument("--resume", action="store_true", help="go on with the fit in --out")
    end = parser.add_argument_group("to see")
    end.add_argument("--show", action="store_true", help="a page for this machine that shows the scene")
    end.add_argument("--video", action="store_true", help="write orbit.mp4")
    end.add_argument("--mesh", action="store_true", help="write mesh.ply, from rendered depth")
    end.add_argument("--voxel", type=float, metavar="SIDE", help="of the mesh, in the units of the poses")


def run(arguments: argparse.Namespace) -> int:
    from dense3d.apis.building import usable_device
    from dense3d.apis.splat_fitting import fit_splats
    from dense3d.radiance.splats.settings import FitSettings

    device = usable_device(arguments.device)
    kind = "cpu" if device.type == "cpu" else "cuda"
    settings = FitSettings(
        steps=arguments.steps or STEPS[kind],
        strategy=arguments.strategy,
        cap=arguments.cap or CAPS[kind],
        sh_degree=arguments.sh_degree,
        antialiased=arguments.antialiased,
        exposure=arguments.exposure,
        background=arguments.background,
        seed=arguments.seed,
    )
    report = fit_splats(
        arguments.scene,
        arguments.out,
        settings,
        cloud=arguments.cloud,
        points=arguments.points,
        downscale=arguments.downscale,
        masks=arguments.masks,
        masks_show=arguments.masks_show,
        hold_out=arguments.hold_out,
        axes=arguments.axes,
        colmap=arguments.colmap,
        check_poses=not arguments.no_pose_check,
        resume=arguments.resume,
        device=str(device),
        show=arguments.show,
        video=arguments.video,
        mesh=arguments.mesh,
        voxel=arguments.voxel,
        tell=_tell,
    )
    for reason in report.left_out:
        print(f"left out: {reason}", file=sys.stderr)
    if report.scores.rows:
        print(f"{len(report.scores.rows)} photographs that were held out, in the mean:")
        print("\n".join(f"  {line}" for line in report.scores.lines()))
    others = [str(path) for path in (report.video, report.mesh) if path is not None]
    out = Path(arguments.out)
    print(
        f"{len(report.gaussians):,} Gaussians in {', '.join([str(report.splats), *others])}; look at "
        f"{out / 'held_out'}, scores in {out / 'metrics.json'}"
    )
    return 0


def _tell(line: str) -> None:
    print(line, file=sys.stderr if line.startswith("warning") else sys.stdout, flush=True)
