"""Tiny data sets in the layouts of ScanNet and SUN RGB-D as they are released."""

import json
from pathlib import Path

import cv2
import numpy as np
from scipy.io import savemat

from dense3d.structures import PointCloud, write_cloud

TURN = np.array([[0.0, -1, 0, 1], [1, 0, 0, 2], [0, 0, 1, 0.5], [0, 0, 0, 1]])
K = np.array([[50.0, 0, 8], [0, 40.0, 6], [0, 0, 1]])
TILT = np.array([[1.0, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]])
PREFIX = "/n/fs/sun3d/data/"


def write_scannet(root: Path, scenes=(("scene0000_00", "train"), ("scene0001_00", "val"))) -> Path:
    """Each scan: a chair of segments 1 and 2, a table of 3 that shares 2, a floor of 4, rest unlabelled."""
    root.mkdir(parents=True)
    rows = ["id\traw_category\tnyu40id", "1\toffice chair\t5", "2\ttable\t7", "3\tfloor\t2", "4\tmug\t40"]
    (root / "scannetv2-labels.combined.tsv").write_text("\n".join(rows) + "\n")
    for split in ("train", "val"):
        names = [scene for scene, its in scenes if its == split]
        (root / f"scannetv2_{split}.txt").write_text("\n".join(names) + "\n")
    for number, (scene, _) in enumerate(scenes):
        folder = root / "scans" / scene
        folder.mkdir(parents=True)
        rng = np.random.default_rng(number)
        points = rng.uniform(0, 2, (60, 3)).astype(np.float32)
        colors = rng.integers(0, 256, (60, 3)) / 255
        write_cloud(PointCloud(points, colors=colors), folder / f"{scene}_vh_clean_2.ply")
        index = np.repeat(np.arange(6), 10)
        (folder / f"{scene}_vh_clean_2.0.010000.segs.json").write_text(
            json.dumps({"segIndices": index.tolist()})
        )
        groups = [("office chair", [1, 2]), ("table", [2, 3]), ("floor", [4]), ("mug", [5])]
        document = [{"objectId": i, "label": n, "segments": s} for i, (n, s) in enumerate(groups)]
        (folder / f"{scene}.aggregation.json").write_text(json.dumps({"segGroups": document}))
        matrix = " ".join(str(value) for value in TURN.reshape(-1))
        (folder / f"{scene}.txt").write_text(f"appVersion = 1\naxisAlignment = {matrix} \n")
    return root


def box(classname, centroid, coeffs, orientation):
    return {
        "classname": classname,
        "centroid": np.array([centroid], dtype=float),
        "coeffs": np.array([coeffs], dtype=float),
        "orientation": np.array([orientation], dtype=float),
    }


BOXES = [
    box("chair", (0.1, 2.0, -0.3), (0.25, -0.5, 0.4), (0.6, 0.8, 0)),
    box("lamp", (0.0, 1.0, 0.0), (0.1, 0.1, 0.1), (1, 0, 0)),
    box("bed", (1.0, 3.0, 0.0), (0.9, 1.0, 0.3), (0.0, -1.0, 0)),
]


def struct_array(rows):
    """A row of MATLAB structures, from dicts."""
    names = list(rows[0])
    array = np.empty((1, len(rows)), dtype=[(name, object) for name in names])
    for index, row in enumerate(rows):
        for name in names:
            array[0, index][name] = row[name]
    return array


def write_sunrgbd(root: Path, boxes=(BOXES, BOXES[:1], []), flat=(3, 1, 0)) -> Path:
    """Frames 1 and 3 to train with, 2 to validate, and 4 in neither split; depths of 1 m and 9 m."""
    official = root / "OFFICIAL_SUNRGBD"
    rows_v2, rows_v1, folders = [], [], []
    for number in range(1, 5):
        place = f"SUNRGBD/kv2/data/{number:06d}"
        folders.append(PREFIX + place)
        stored = np.zeros((12, 16), dtype=np.uint16)
        stored[2:6, 3:9] = np.uint16(1000 << 3)
        stored[8, 4] = np.uint16((9000 << 3) & 0xFFFF) | np.uint16(9000 >> 13)
        image = np.full((12, 16, 3), 40 * number, dtype=np.uint8)
        for name, pixels in (("depth", stored), ("image", image)):
            (official / place / name).mkdir(parents=True)
            cv2.imwrite(str(official / place / name / "0000.png"), pixels)
        own = list(boxes[number - 1]) if number <= len(boxes) else []
        seen = flat[number - 1] if number <= len(flat) else 0
        annotation = struct_array(own) if own else np.zeros((0, 0))
        seen_boxes = [{"gtBb2D": np.ones((1, 4))}] * seen + [{"gtBb2D": np.zeros((0, 0))}]
        depth, rgb = f"{PREFIX}{place}/depth/0000.png", f"{PREFIX}{place}/image/0000.png"
        rows_v2.append(
            {"depthpath": depth, "rgbpath": rgb, "K": K, "Rtilt": TILT, "groundtruth3DBB": annotation}
        )
        rows_v1.append({"groundtruth3DBB": annotation, "groundtruth2DBB": struct_array(seen_boxes)})
    savemat(official / "SUNRGBDMeta3DBB_v2.mat", {"SUNRGBDMeta": struct_array(rows_v2)}, do_compression=True)
    toolbox = official / "SUNRGBDtoolbox"
    for folder in ("Metadata", "traintestSUNRGBD"):
        (toolbox / folder).mkdir(parents=True)
    savemat(toolbox / "Metadata/SUNRGBDMeta.mat", {"SUNRGBDMeta": struct_array(rows_v1)})
    cells = {"alltrain": [folders[0], folders[2]], "alltest": [folders[1]]}
    cells = {name: np.array([paths], dtype=object) for name, paths in cells.items()}
    savemat(toolbox / "traintestSUNRGBD/allsplit.mat", cells)
    return root
