"""Make docs/images/point-cloud-data.png from the synthetic shapes and rooms; nothing is read.

    python docs/draw_point_clouds.py

Above, one object of each family, its parts in colours, and the first ones again as a scanner sees them, the
background grey. Below, two rooms from obliquely above, as they are coloured and by their classes.
"""

from __future__ import annotations

import argparse
import colorsys
from pathlib import Path

import cv2
import numpy as np

from dense3d.datasets.synthetic.objects import BACKGROUND, FAMILIES, make_object
from dense3d.datasets.synthetic.rooms import CLASSES, make_room

TARGET = Path(__file__).resolve().parent / "images" / "point-cloud-data.png"
TILE, COLUMNS, ROOM = 160, 7, 560
SCANS = 7
PAPER, GREY = (255, 255, 255), (190, 190, 190)
PALETTE = 128  # colours of the file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=TARGET)
    parser.add_argument("--seed", type=int, default=3)
    arguments = parser.parse_args()
    tiles = [object_tile(family, arguments.seed, scan=False) for family in FAMILIES]
    tiles += [object_tile(family, arguments.seed, scan=True) for family in FAMILIES[:SCANS]]
    rows = [np.hstack(tiles[i : i + COLUMNS]) for i in range(0, len(tiles), COLUMNS)]
    for seed in (arguments.seed, arguments.seed + 1):
        row = np.hstack(room_tiles(seed))
        rows.append(row[(row != PAPER).any(axis=(1, 2))])
    picture = np.vstack(rows)
    arguments.out.parent.mkdir(exist_ok=True)
    write_small(picture, arguments.out)
    print(f"{picture.shape[1]} x {picture.shape[0]} pixels: {arguments.out}")


def object_tile(family: str, seed: int, scan: bool) -> np.ndarray:
    cloud = make_object(family, np.random.default_rng(seed), 12_000, scan=scan)
    first = cloud.parts[cloud.parts != BACKGROUND].min()
    colors = np.array([spread(int(part) - int(first), 4) for part in cloud.parts])
    colors[cloud.parts == BACKGROUND] = GREY
    picture = draw(cloud.points, shaded(colors, cloud.normals), TILE, size=2)
    name = f"{family}, scanned" if scan else family
    cv2.putText(picture, name, (5, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (60, 60, 60), 1, cv2.LINE_AA)
    return picture


def room_tiles(seed: int) -> list[np.ndarray]:
    """One room twice; walls that the viewer would look at from outside are left out."""
    room = make_room(np.random.default_rng(seed), 250_000)
    toward = VIEW[2]
    hidden = (room.labels == CLASSES.index("wall")) & (room.normals @ toward < 0)
    thin = np.isin(room.labels, [CLASSES.index(name) for name in ("door", "window", "picture")])
    outer = np.abs(room.points[:, :2]) / np.abs(room.points[:, :2]).max(axis=0)
    front = ((room.points[:, :2] * toward[:2] > 0) & (outer > 0.95)).any(axis=1)
    kept = ~hidden & ~(thin & front)
    by_class = np.array([spread(label, len(CLASSES)) for label in range(len(CLASSES))])
    chosen = (room.colors, shaded(by_class[room.labels], room.normals))
    return [draw(room.points[kept], colors[kept], ROOM, size=3) for colors in chosen]


def spread(index: int, count: int) -> tuple[int, int, int]:
    """Colours that differ as much as so many can."""
    red, green, blue = colorsys.hsv_to_rgb(index / count, 0.62, 0.92 if index % 2 else 0.8)
    return round(255 * red), round(255 * green), round(255 * blue)


def shaded(colors: np.ndarray, normals: np.ndarray) -> np.ndarray:
    light = np.array([0.3, -0.5, 0.81])
    return np.clip(colors * (0.6 + 0.4 * np.abs(normals @ light))[:, None], 0, 255).astype(np.uint8)


def _view(azimuth: float, elevation: float) -> np.ndarray:
    """Rows: right, up, and towards the viewer."""
    a, e = np.radians([azimuth, elevation])
    toward = np.array([np.cos(a) * np.cos(e), np.sin(a) * np.cos(e), np.sin(e)])
    right = np.array([-np.sin(a), np.cos(a), 0.0])
    return np.stack([right, np.cross(toward, right), toward])


VIEW = _view(-55, 28)


def draw(points: np.ndarray, colors: np.ndarray, side: int, size: int) -> np.ndarray:
    """(side, side, 3) RGB uint8: each point a small square, nearer ones over those behind."""
    right, up, near = (points @ VIEW.T).T
    extent = max(np.ptp(right), np.ptp(up)) * 1.12
    columns = ((right - (right.min() + right.max()) / 2) / extent + 0.5) * side
    rows = (0.5 - (up - (up.min() + up.max()) / 2) / extent) * side
    picture = np.full((side, side, 3), PAPER, dtype=np.uint8)
    order = np.argsort(near, kind="stable")
    for down in range(size):
        for along in range(size):
            at = np.clip(np.stack([rows + down, columns + along]).astype(int), 0, side - 1)[:, order]
            depth = np.full((side, side), -np.inf)
            depth[at[0], at[1]] = near[order]
            if down == along == 0:
                nearest = depth.copy()
            seen = near[order] >= nearest[at[0], at[1]] - 0.02 * extent
            nearest = np.maximum(nearest, depth)
            picture[at[0][seen], at[1][seen]] = colors[order][seen]
    return picture


def write_small(picture: np.ndarray, path: Path) -> None:
    """As a PNG with a palette."""
    from PIL import Image

    image = Image.fromarray(picture).quantize(
        PALETTE, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
    )
    image.save(path, optimize=True)


if __name__ == "__main__":
    main()
