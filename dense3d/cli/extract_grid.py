"""Make a scene's grid of colour and density, for NeRF-MAE.

SOURCE is transforms.json (nerfstudio, instant-ngp, Blender), a ScanNet folder, a COLMAP model with its
images, or the config.yml of a run of nerfstudio (nerfacto, depth-nerfacto, instant-ngp, vanilla-nerf or
tensorf). The grid lies in the world of the poses as they were read.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from dense3d.cli.common import at_least_one

EPILOG = (
    "Ctrl+C saves; the same command with --resume goes on. "
    "examples: dense3d extract-grid data/nerf/lego --out lego; "
    "dense3d extract-grid data/nerf/fox --out fox --method nerfacto --box=-1,-1,-1,1,1,1; "
    "dense3d extract-grid outputs/room/nerfacto/2024-01-01_000000/config.yml --out room --box points"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SOURCE", help="posed photographs, or a run of nerfstudio")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for grid.npz and all else")
    grid = parser.add_argument_group("grid")
    grid.add_argument(
        "--box",
        default="auto",
        metavar="BOX",
        help="x0,y0,z0,x1,y1,z1 in the world of the poses (write --box=-1,...), or one of object (masks), "
        "points (structure from motion, depth), sight (what all cameras look at), cameras; auto takes the "
        "first of these that there is (default: auto)",
    )
    grid.add_argument(
        "--resolution",
        type=at_least_one,
        default=160,
        metavar="N",
        help="samples along the longest side; all sides are even (default: 160)",
    )
    grid.add_argument(
        "--delta",
        type=float,
        metavar="LENGTH",
        help="thickness that opacities are for, in world units (default: the edge of a voxel)",
    )
    grid.add_argument("--alpha", action="store_true", help="store opacities instead of densities")
    grid.add_argument(
        "--directions",
        choices=("cameras", "frustum", "fixed"),
        default="cameras",
        help="colours are means over all cameras, over those that see a point, or over 18 directions "
        "(default: cameras)",
    )
    grid.add_argument(
        "--min-views",
        type=int,
        default=2,
        metavar="N",
        help="what fewer photographs see is empty; 0 keeps all (default: 2)",
    )
    grid.add_argument(
        "--boxes", metavar="FILE", help="npy of boxes in the world, written to boxes.npy in voxels"
    )
    fit = parser.add_argument_group("fit")
    fit.add_argument(
        "--method",
        choices=("grid", "nerfacto"),
        default="grid",
        help="grid: voxels, fitted directly; nerfacto: nerfstudio's field, extra nerf (default: grid)",
    )
    fit.add_argument("--steps", type=at_least_one, help="of the fit (default: 3000, of nerfacto 1500)")
    fit.add_argument("--rays", type=at_least_one, metavar="N", help="of each step (default: 4096, 1024)")
    fit.add_argument(
        "--fit-resolution",
        type=at_least_one,
        metavar="N",
        help="voxels along the longest side while fitting (default: 160)",
    )
    bounds = fit.add_mutually_exclusive_group()
    bounds.add_argument(
        "--unbounded",
        action="store_true",
        default=None,
        help="the scene goes on outside of the box (default, unless alpha or masks show an object alone)",
    )
    bounds.add_argument("--bounded", dest="unbounded", action="store_false", help="nothing is outside of it")
    fit.add_argument(
        "--background",
        choices=("black", "white", "random"),
        default="black",
        help="behind the scene (default: black; of objects with alpha random, scored on white)",
    )
    fit.add_argument("--seed", type=int, default=0, help="of all randomness (default: 0)")
    fit.add_argument("--device", help="cpu, cuda, cuda:1, ... (default: a GPU if there is one)")
    fit.add_argument("--resume", action="store_true", help="go on with the fit in --out")
    data = parser.add_argument_group("photographs")
    data.add_argument("--data", metavar="PATH", help="of a run of nerfstudio, where they have moved")
    data.add_argument(
        "--downscale", type=float, default=1.0, metavar="F", help="make images smaller by F (default: 1)"
    )
    data.add_argument("--masks", metavar="DIR", help="a picture for each photograph: 0 is outside")
    data.add_argument(
        "--masks-show",
        choices=("object", "usable"),
        default="object",
        help="object: what is outside is empty; usable: it is unknown (default: object)",
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
    parser.add_argument("--video", action="store_true", help="write orbit.mp4")


def run(arguments: argparse.Namespace) -> int:
    from dense3d.apis.building import usable_device
    from dense3d.apis.grid_extraction import extract_grid

    device = usable_device(arguments.device)
    report = extract_grid(
        arguments.source,
        arguments.out,
        arguments.method,
        _settings(arguments),
        box=_box(arguments.box),
        resolution=arguments.resolution,
        unbounded=arguments.unbounded,
        delta=arguments.delta,
        directions=arguments.directions,
        min_views=arguments.min_views,
        alpha=arguments.alpha,
        boxes=arguments.boxes,
        data=arguments.data,
        downscale=arguments.downscale,
        masks=arguments.masks,
        masks_show=arguments.masks_show,
        hold_out=arguments.hold_out,
        axes=arguments.axes,
        check_poses=not arguments.no_pose_check,
        resume=arguments.resume,
        device=str(device),
        video=arguments.video,
        tell=_tell,
    )
    for reason in report.left_out:
        print(f"left out: {reason}", file=sys.stderr)
    if report.scores.rows:
        print(f"{len(report.scores.rows)} photographs that were held out, in the mean:")
        print("\n".join(f"  {line}" for line in report.scores.lines()))
    grid, cleaned = report.grid, report.cleaned
    occupied = float(grid.as_alpha().occupied.mean())
    print(
        f"{' x '.join(map(str, grid.resolution))} voxels, {occupied:.1%} occupied; taken for empty: "
        f"{cleaned.unseen:,} that too few photographs see, {cleaned.see_through:,} that they see through"
    )
    if report.boxes_inside is not None:
        print(
            f"{report.boxes_inside} boxes have their centre in the grid: {Path(arguments.out) / 'boxes.npy'}"
        )
    print(f"sampled in {report.seconds[1]:.1f} s, {grid.density.size / report.seconds[1]:,.0f} voxels/s")
    print(
        f"{report.file}: density {grid.density_kind}, delta {grid.delta:.4g}; look at "
        f"{', '.join(map(str, report.pictures))}"
    )
    return 0


def _tell(line: str) -> None:
    print(line, file=sys.stderr if line.startswith("warning") else sys.stdout, flush=True)


def _settings(arguments: argparse.Namespace):
    """Of the method, with what was asked for."""
    from dense3d.errors import ConfigError
    from dense3d.radiance.grids.nerfacto_settings import NerfactoSettings
    from dense3d.radiance.grids.settings import GridSettings

    given = {"steps": arguments.steps, "rays": arguments.rays}
    if arguments.method == "grid":
        given["resolution"] = arguments.fit_resolution
    elif arguments.fit_resolution is not None:
        raise ConfigError("--fit-resolution: nerfacto has no voxels while it is fitted; leave it out")
    given = {name: value for name, value in given.items() if value is not None}
    settings = GridSettings if arguments.method == "grid" else NerfactoSettings
    return replace(settings(background=arguments.background, seed=arguments.seed), **given)


def _box(words: str) -> str | list[float]:
    """A kind, or six numbers."""
    from dense3d.errors import ConfigError

    if "," not in words:
        return words
    try:
        return [float(word) for word in words.split(",")]
    except ValueError:
        raise ConfigError(f"--box {words!r}: it has six numbers x0,y0,z0,x1,y1,z1") from None
