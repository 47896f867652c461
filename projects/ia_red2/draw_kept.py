"""Draw what interpreters leave of images: ``python draw_kept.py CONFIG CHECKPOINT NUMBER ...``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.registry import DefaultScope
from torch import Tensor

from dense3d import build_model
from dense3d.config import load_config
from dense3d.errors import Dense3dError
from dense3d.registry import DATASETS
from dense3d.visualization.panels import captioned

DROPPED = 0.2  # brightness of a dropped patch
SIDE = 192  # pixels of a panel, at least


def draw(image: np.ndarray, kept: list[Tensor], patch_size: int) -> np.ndarray:
    """An image ``(H, W, 3)``, and beside it for each group what is left, dropped patches being dark.

    Args:
        image: uint8.
        kept: ``(N,)`` of each group, row-major patches of the image padded to whole ones.
        patch_size: side of a patch in pixels.

    Returns:
        A picture, each panel under its caption.
    """
    height, width = image.shape[:2]
    rows, columns = -(-height // patch_size), -(-width // patch_size)
    enlarged = max(1, SIDE // min(height, width))
    panels = {"image": image}
    for number, mask in enumerate(kept, start=1):
        light = np.where(mask.view(rows, columns).numpy(), 1.0, DROPPED)
        light = light.repeat(patch_size, 0).repeat(patch_size, 1)[:height, :width, None]
        panels[f"group {number}: {int(mask.sum())} of {rows * columns}"] = (image * light).astype(np.uint8)
    return captioned({k: v.repeat(enlarged, 0).repeat(enlarged, 1) for k, v in panels.items()})


def main() -> None:
    """Read the arguments, draw and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config")
    parser.add_argument("checkpoint")
    parser.add_argument("numbers", nargs="*", type=int, default=[0, 1, 2, 3], help="of validation images")
    parser.add_argument("--out", default="kept.png", help="picture to write, a row an image")
    args = parser.parse_args()
    cfg = load_config(args.config)
    model = build_model(cfg, args.checkpoint)
    with DefaultScope.overwrite_default_scope("dense3d"):
        dataset = DATASETS.build(cfg.val_dataloader.dataset)
    rows = []
    for number in args.numbers:
        if not 0 <= number < len(dataset):
            sys.exit(f"there is no validation image {number}: they are 0 to {len(dataset) - 1}")
        packed = dataset[number]
        batch = model.data_preprocessor({key: [value] for key, value in packed.items()})
        with torch.no_grad():
            found = model.interpret(batch["inputs"])
        kept = [mask[0, model.backbone.num_prefix :] for mask in found.kept]
        image = np.ascontiguousarray(packed["inputs"].permute(1, 2, 0).numpy())  # blue first
        rows.append(draw(image, kept, model.backbone.patch_size))
    if len({row.shape[1] for row in rows}) > 1:
        sys.exit("the images become pictures of different widths: choose images of one size")
    if not cv2.imwrite(args.out, np.concatenate(rows)):
        sys.exit(f"{args.out} cannot be written: name a folder that exists, and a png or jpg")
    print(f"wrote {Path(args.out).resolve()}")


if __name__ == "__main__":
    try:
        main()
    except Dense3dError as error:
        sys.exit(str(error))
