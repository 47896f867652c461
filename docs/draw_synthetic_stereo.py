"""Make docs/images/synthetic_stereo.jpg: two rendered pairs with their ground truth.

    python docs/draw_synthetic_stereo.py

A room and a street, each with left and right image, disparity, and the masks of what both cameras see (green)
and of what has no texture (red); yellow is both.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np

from dense3d.datasets.stereo import read_disparity, read_picture
from dense3d.datasets.stereo.pictures import read_numbers
from dense3d.datasets.synthetic import ensure_dataset
from dense3d.visualization.maps import draw_scalar_map

TARGET = Path(__file__).resolve().parent / "images" / "synthetic_stereo.jpg"
SIZE = (320, 160)
QUALITY = 88  # of the JPEG file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", nargs="+", default=["000000", "000001"], help="names of the pairs to draw")
    parser.add_argument("--out", type=Path, default=TARGET)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        count = max(map(int, arguments.pairs)) + 1
        ensure_dataset(root=f"{folder}/stereo", layouts=("stereo",), train=0, val=count, size=SIZE, seed=0)
        rows = [row(Path(folder, "stereo", "val"), name) for name in arguments.pairs]
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(arguments.out), np.vstack(rows)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])


def row(folder: Path, name: str) -> np.ndarray:
    """Left, right, disparity and masks of a pair side by side, (H, 4 W, 3) RGB."""
    disparity = read_disparity(folder / "disparity" / f"{name}.pfm", "pfm")
    textureless, seen = (read_numbers(folder / k / f"{name}.png") for k in ("textureless", "nonoccluded"))
    masks = np.dstack([textureless, seen, np.zeros_like(seen)])
    images = [read_picture(folder / side / f"{name}.png") for side in ("left", "right")]
    return np.hstack([*images, draw_scalar_map(disparity), masks])


if __name__ == "__main__":
    main()
