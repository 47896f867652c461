"""Run a trained model on images, clouds, grids or scenes.

Writes drawn pictures and results: COCO's format for boxes and masks, KITTI's for 3D boxes, label maps,
classes; of stereo networks disparity, depth and point clouds, of flow networks flow; of clouds classes,
coloured clouds, features, boxes; of radiance grids reconstructions, finer grids, classes of voxels, boxes; of
scenes with photographs paintings, renderings with depth, clouds.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dense3d.cli.common import add_checkpoint, add_config, add_config_options

if TYPE_CHECKING:
    from dense3d.visualization.cloud_viewer import CloudViewer

READING = ("columns", "color_max", "up_axis")  # arguments of read_cloud

EPILOG = (
    "examples: dense3d infer CONFIG CHECKPOINT 'photos/*.jpg' --out results; "
    "for 3D boxes: dense3d infer CONFIG CHECKPOINT image_2 --calib calib --out results; "
    "for stereo: dense3d infer CONFIG CHECKPOINT left.png right.png --calib rig.json --cloud --out results; "
    "for clouds: dense3d infer CONFIG CHECKPOINT 'clouds/*.ply' --out results --show"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    add_checkpoint(parser)
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="image, folder or glob; of networks that take pairs (stereo, flow, completion of views) two of "
        "them, LEFT RIGHT, or two videos; of networks of point clouds files of clouds, of "
        "radiance grids .npz files, of scenes folders of posed photographs with depth",
    )
    parser.add_argument(
        "--out",
        required=True,
        metavar="DIR",
        help="folder for pictures and predictions.json, of 3D boxes for pictures and results/NAME.txt",
    )
    parser.add_argument(
        "--calib",
        metavar="PATH",
        help="3D boxes: KITTI calibration file of all images, or folder with NAME.txt for each (default: the "
        "folder calib beside that of the images); stereo: calibration of the rectified pair, for depth",
    )
    pairs = parser.add_argument_group("stereo")
    pairs.add_argument(
        "--unit",
        choices=("mm", "cm", "m", "in"),
        help="of the baseline in --calib (default: that of the file's kind)",
    )
    pairs.add_argument(
        "--cloud", action="store_true", help="write clouds/NAME.ply, and draw it from aside; needs --calib"
    )
    pairs.add_argument(
        "--zfar", type=float, metavar="METRES", help="of clouds: leave out what is further away"
    )
    pairs.add_argument(
        "--remove-invisible",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="of clouds: leave out what the right camera does not see (default: yes)",
    )
    pairs.add_argument(
        "--scale",
        type=float,
        default=1.0,
        help="make images smaller by this factor for the network (default: 1)",
    )
    pairs.add_argument(
        "--one-view", action="store_true", help="predict the left view only: half the time, no occlusion"
    )
    clouds = parser.add_argument_group("point clouds")
    clouds.add_argument("--category", metavar="NAME", help="of objects in clouds whose parts are segmented")
    clouds.add_argument(
        "--columns",
        metavar="NAMES",
        help="of text, npy, npz, h5 and bin files, as in 'x y z r g b', with - for one that is skipped "
        "(default: a header's, or told by the data)",
    )
    clouds.add_argument(
        "--color-max", type=float, metavar="N", help="full colour: 1, 255, 65535 (default: told by the data)"
    )
    clouds.add_argument(
        "--up-axis",
        choices=("x", "y", "z"),
        help="of the files, turned to z (default: as they are)",
    )
    clouds.add_argument(
        "--show",
        action="store_true",
        help="show clouds with predicted colours in the browser, on a page for this machine, until Ctrl+C",
    )
    parser.add_argument("--score-threshold", type=float, default=0.3, help="leave out less (default: 0.3)")
    parser.add_argument("--tta", action="store_true", help="test-time augmentation, as in dense3d test")
    parser.add_argument("--batch-size", type=int, default=1, help="images at a time (default: 1)")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, ... (default: a GPU if there is one)")
    add_config_options(parser)


def run(arguments: argparse.Namespace) -> int:
    from dense3d.apis import infer
    from dense3d.apis.building import checked_config
    from dense3d.apis.cloud_pipelines import takes_clouds
    from dense3d.apis.grid_pipelines import takes_grids
    from dense3d.apis.pipelines import inference_steps, takes_pairs
    from dense3d.apis.scene_pipelines import takes_scenes
    from dense3d.config import parse_options

    steps = inference_steps(checked_config(arguments.config, parse_options(arguments.cfg_options)))
    if takes_clouds(steps):
        return _infer_clouds(arguments)
    _refuse_options_of_clouds(arguments)
    if takes_grids(steps):
        return _infer_grids(arguments)
    if takes_scenes(steps):
        return _infer_scenes(arguments)
    if takes_pairs(steps):
        return _infer_pairs(arguments)
    _refuse_options_of_pairs(arguments)
    report = infer(
        arguments.config,
        arguments.checkpoint,
        arguments.inputs,
        out=arguments.out,
        score_threshold=arguments.score_threshold,
        batch_size=arguments.batch_size,
        device=arguments.device,
        options=parse_options(arguments.cfg_options),
        tta=arguments.tta,
        calibration=arguments.calib,
    )
    print(
        f"{len(report.pictures)} pictures in {Path(arguments.out) / 'pictures'}, results in {report.results}"
    )
    if report.renamed:
        name, stem = next(iter(report.renamed.items()))
        print(f"note: {len(report.renamed)} images share a name with others: files of {name} are {stem}.*")
    if report.dropped:
        print(f"note: {report.dropped} predictions are left out: sizes or positions that nothing can have")
    for note in report.notes:
        print(f"note: {note}")
    for reason in report.left_out.values():
        print(f"left out: {reason}", file=sys.stderr)
    return 1 if report.left_out else 0


def _infer_pairs(arguments: argparse.Namespace) -> int:
    from dense3d.apis.pair_inference import infer_pairs
    from dense3d.config import parse_options
    from dense3d.errors import ConfigError

    if len(arguments.inputs) != 2:
        raise ConfigError(
            f"this network matches two images: give LEFT and RIGHT, not {len(arguments.inputs)} inputs; put "
            "globs in quotes"
        )
    if arguments.tta:
        raise ConfigError("--tta is not for networks that match two images")
    report = infer_pairs(
        arguments.config,
        arguments.checkpoint,
        *arguments.inputs,
        out=arguments.out,
        rig=arguments.calib,
        unit=arguments.unit,
        clouds=arguments.cloud,
        zfar=arguments.zfar,
        remove_invisible=arguments.remove_invisible,
        scale=arguments.scale,
        both_views=not arguments.one_view,
        batch_size=arguments.batch_size,
        device=arguments.device,
        options=parse_options(arguments.cfg_options),
    )
    print(f"{report.pairs} pairs in {arguments.out}: {', '.join(report.folders)}")
    if report.video is not None:
        print(f"video: {report.video}")
    for note in report.notes:
        print(f"note: {note}", file=sys.stderr)
    for reason in report.left_out.values():
        print(f"left out: {reason}", file=sys.stderr)
    return 1 if report.left_out else 0


def _infer_grids(arguments: argparse.Namespace) -> int:
    from dense3d.apis.grid_inference import infer_grids
    from dense3d.config import parse_options

    _refuse_options_of_images(arguments, "networks of radiance grids")
    report = infer_grids(
        arguments.config,
        arguments.checkpoint,
        arguments.inputs,
        out=arguments.out,
        device=arguments.device,
        options=parse_options(arguments.cfg_options),
        score_threshold=arguments.score_threshold,
    )
    for name, words in report.found.items():
        print(f"{name}: {words}")
    print(
        f"{len(report.pictures)} pictures in {Path(arguments.out) / 'pictures'}, results in {report.results}"
    )
    for reason in report.left_out.values():
        print(f"left out: {reason}", file=sys.stderr)
    return 1 if report.left_out else 0


def _infer_scenes(arguments: argparse.Namespace) -> int:
    from dense3d.apis.scene_inference import infer_scenes
    from dense3d.config import parse_options

    _refuse_options_of_images(arguments, "networks of scenes")
    report = infer_scenes(
        arguments.config,
        arguments.checkpoint,
        arguments.inputs,
        out=arguments.out,
        device=arguments.device,
        options=parse_options(arguments.cfg_options),
    )
    for words in report.found.values():
        print(words)
    print(
        f"{len(report.pictures)} pictures in {Path(arguments.out) / 'pictures'}, results in {report.results}"
    )
    for reason in report.left_out.values():
        print(f"left out: {reason}", file=sys.stderr)
    return 1 if report.left_out else 0


def _infer_clouds(arguments: argparse.Namespace) -> int:
    from dense3d.apis.cloud_inference import infer_clouds
    from dense3d.config import parse_options

    _refuse_options_of_images(arguments, "networks of point clouds")
    viewer = _viewer() if arguments.show else None
    report = infer_clouds(
        arguments.config,
        arguments.checkpoint,
        arguments.inputs,
        out=arguments.out,
        category=arguments.category,
        device=arguments.device,
        options=parse_options(arguments.cfg_options),
        score_threshold=arguments.score_threshold,
        reading={name: getattr(arguments, name) for name in READING},
        tell=viewer and (lambda result: viewer.add(result.name, result.views(), result.legend(), result.up)),
    )
    for name, words in report.found.items():
        print(f"{name}: {words}")
    clouds = f", {len(report.clouds)} clouds in {Path(arguments.out) / 'clouds'}" if report.clouds else ""
    if report.features:
        clouds += f", features in {Path(arguments.out) / 'features'}"
    print(
        f"{len(report.pictures)} pictures in {Path(arguments.out) / 'pictures'}{clouds}, results in "
        f"{report.results}"
    )
    for note in report.notes:
        print(f"note: {note}")
    for reason in report.left_out.values():
        print(f"left out: {reason}", file=sys.stderr)
    if viewer is not None and report.found:
        _show(viewer)
    return 1 if report.left_out else 0


def _viewer() -> CloudViewer:
    from dense3d.visualization.cloud_viewer import CloudViewer

    return CloudViewer()


def _show(viewer: CloudViewer) -> None:
    import webbrowser

    print(f"open {viewer.url}\nCtrl+C ends it", flush=True)
    webbrowser.open(viewer.url)
    viewer.wait()


def _refuse_options_of_images(arguments: argparse.Namespace, networks: str) -> None:
    from dense3d.errors import ConfigError

    _refuse_options_of_pairs(arguments)
    for name, given in (("--tta", arguments.tta), ("--calib", arguments.calib is not None)):
        if given:
            raise ConfigError(f"{name} is not for {networks}")


def _refuse_options_of_clouds(arguments: argparse.Namespace) -> None:
    from dense3d.errors import ConfigError

    given = {"--category": arguments.category is not None, "--show": arguments.show}
    given |= {f"--{name.replace('_', '-')}": getattr(arguments, name) is not None for name in READING}
    for name, is_given in given.items():
        if is_given:
            raise ConfigError(f"{name} is for networks of point clouds; {arguments.config} is none")


def _refuse_options_of_pairs(arguments: argparse.Namespace) -> None:
    from dense3d.errors import ConfigError

    given = {"--cloud": arguments.cloud, "--zfar": arguments.zfar, "--one-view": arguments.one_view}
    given |= {
        "--unit": arguments.unit,
        "--scale": arguments.scale != 1,
        "--no-remove-invisible": not arguments.remove_invisible,
    }
    wrong = [name for name, value in given.items() if value]
    if wrong:
        raise ConfigError(f"{wrong[0]} is for stereo networks; {arguments.config} is none")
