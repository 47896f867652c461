"""Make docs/images/transfer-function-rendering.png from the sample volumes.

    python docs/draw_volumes.py --data ../shared/data/volumes

Four pictures: bone and soft tissue of a CT by presets, its labelled organs as surfaces cut open by a clipping
plane, and the vessels of a CT angiogram by a 2D transfer function.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

from dense3d.datasets.volumes import open_volume, read_segmentation
from dense3d.structures.volume import Volume
from dense3d.transfer_function.functions import Box, Regions, preset
from dense3d.transfer_function.rendering import Camera, ClassLook, Clip, Renderer, Scene

TARGET = Path(__file__).resolve().parent / "images" / "transfer-function-rendering.png"
SIDE = 360
COLORS = 200  # of the palette that the file is reduced to
BACKGROUND = (16, 18, 22)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the sample volumes")
    parser.add_argument("--out", type=Path, default=TARGET)
    arguments = parser.parse_args()
    tall = open_volume(arguments.data / "ct_body_tall" / "ct.nii.gz").reduced(256)
    body = open_volume(arguments.data / "ct_body" / "ct.nii.gz").reduced(256)
    angiogram = open_volume(arguments.data / "cta_avm" / "ct.nii.gz").reduced(256)
    front = Camera(azimuth=20, elevation=10, zoom=1.45)
    pictures = [
        Renderer(tall).render(_scene(front, transfer=preset("CT bone", tall))),
        Renderer(tall).render(_scene(front, transfer=preset("CT soft tissue", tall))),
        organs(body, arguments.data / "ct_body"),
        Renderer(angiogram).render(_scene(Camera(200, 15, zoom=1.3), transfer=vessels())),
    ]
    row = np.hstack([picture.pixels for picture in pictures])
    arguments.out.parent.mkdir(exist_ok=True)
    write_small(row, arguments.out)


def _scene(camera: Camera, **options) -> Scene:
    return Scene(camera, SIDE, SIDE, quality="high", background=BACKGROUND, **options)


def organs(volume: Volume, folder: Path):
    """Every label as a class, its scores those of the label's own voxels; what is in front is cut away."""
    from scipy.ndimage import gaussian_filter

    labels = read_segmentation(folder / "seg.nii.gz", volume).labels
    names = json.loads((folder / "labels.json").read_text())
    found = [label for label in np.unique(labels) if label and np.count_nonzero(labels == label) > 50]
    scores = np.stack(
        [(255 * gaussian_filter((labels == one).astype(np.float32), 0.6)).astype(np.uint8) for one in found]
    )
    hues = (np.arange(len(found)) * 0.61803 * 180 % 180).astype(np.uint8)
    hsv = np.stack([hues, np.full_like(hues, 130), np.full_like(hues, 235)], -1)[None]
    colors = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0].tolist()
    looks = [ClassLook(int(one), tuple(color), threshold=0.4) for one, color in zip(found, colors)]
    print(f"{len(found)} of {len(names)} labels")
    renderer = Renderer(volume)
    renderer.set_scores(scores, [look.id for look in looks])
    camera = Camera(azimuth=25, elevation=35, zoom=1.5)
    return renderer.render(_scene(camera, classes=looks, clip=Clip(high=(1, 0.72, 1))))


def vessels() -> Regions:
    """Contrast medium: bright inside, and steep where it meets tissue; bone is brighter still."""
    return Regions(
        (
            Box((150, 600), (0, np.inf), (0.85, 0.2, 0.15), 0.25),
            Box((600, 4000), (0, np.inf), (0.95, 0.9, 0.8), 0.08),
        )
    )


def write_small(pixels: np.ndarray, path: Path) -> None:
    """A PNG with a palette, well below 300 kB."""
    from PIL import Image

    Image.fromarray(pixels).quantize(COLORS).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
