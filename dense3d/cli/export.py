"""Write a trained network for torch.export or ONNX.

The suffix of OUT chooses: .pt2 or .onnx.
"""

from __future__ import annotations

import argparse

from dense3d.cli.common import add_config, add_config_options, at_least_one

EPILOG = (
    "The program takes RGB images (B, 3, H, W), float32 from 0 to 255, and gives boxes (xyxy in "
    "pixels), scores and labels; of networks that match two images it takes left and right, and gives maps "
    "such as disparity. Example: dense3d export CONFIG CHECKPOINT out.onnx --batch 2"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    parser.add_argument("checkpoint", help="checkpoint file")
    parser.add_argument("out", metavar="OUT", help="file to write, .pt2 or .onnx")
    parser.add_argument(
        "--size",
        metavar="HxW",
        help="height x width of the images (default: 800x1333; of pairs what the config resizes or crops to)",
    )
    parser.add_argument("--batch", type=at_least_one, default=1, help="images at once (default: 1)")
    add_config_options(parser)


def run(arguments: argparse.Namespace) -> None:
    from dense3d.apis import export_detector, export_pair_network
    from dense3d.apis.pair_exporting import matches_pairs
    from dense3d.config.options import parse_options, parse_size

    options = parse_options(arguments.cfg_options)
    size = parse_size(arguments.size) if arguments.size else None
    what = (arguments.config, arguments.checkpoint, arguments.out)
    if matches_pairs(arguments.config, options):
        out, size, names = export_pair_network(*what, size, arguments.batch, options)
        taken, given = "left and right in, each", ", ".join(names)
    else:
        size = size or (800, 1333)
        out = export_detector(*what, size, arguments.batch, options)
        taken, given = "in,", "boxes, scores and labels"
    print(f"{out}: {taken} {arguments.batch} x 3 x {size[0]} x {size[1]}; {given} out")
