"""Write a trained detector for torch.export or ONNX.

The suffix of OUT chooses: .pt2 or .onnx.
"""

from __future__ import annotations

import argparse

from dense3d.cli.common import add_config, add_config_options, at_least_one

EPILOG = (
    "The program takes RGB images (B, 3, H, W), float32 from 0 to 255, and gives boxes (xyxy in "
    "pixels), scores and labels. Example: dense3d export CONFIG CHECKPOINT out.onnx --batch 2"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    parser.add_argument("checkpoint", help="checkpoint file")
    parser.add_argument("out", metavar="OUT", help="file to write, .pt2 or .onnx")
    parser.add_argument("--size", default="800x1333", help="height x width of the images (default: 800x1333)")
    parser.add_argument("--batch", type=at_least_one, default=1, help="images at once (default: 1)")
    add_config_options(parser)


def run(arguments: argparse.Namespace) -> None:
    from dense3d.apis import export_detector
    from dense3d.config.options import parse_options, parse_size

    options = parse_options(arguments.cfg_options)
    size = parse_size(arguments.size)
    out = export_detector(
        arguments.config, arguments.checkpoint, arguments.out, size, arguments.batch, options
    )
    print(f"{out}: {arguments.batch} x 3 x {size[0]} x {size[1]} in, boxes, scores and labels out")
