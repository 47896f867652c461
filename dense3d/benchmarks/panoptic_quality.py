"""Suite ``panoptic-quality``: the evaluation of files beside one image by image, on made-up maps.

The reference decodes with Pillow, sorts all pixels with ``numpy.unique`` and goes through pairs of segments
in Python, in one thread, as the official evaluator does. Maps are as
large, have as many segments and compress as far as those of COCO and of Cityscapes.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dense3d.benchmarks.timing import OURS, Case, Workload
from dense3d.datasets.panoptic.agreement import counted_segments
from dense3d.datasets.panoptic.id_map import ids_to_rgb
from dense3d.evaluation.panoptic.files import evaluate_files
from dense3d.evaluation.panoptic.reference import evaluate_reference

DISTINCT = 20  # png files; the images of a data set share them, in turns
CATEGORIES = [{"id": i, "name": f"class {i}", "isthing": int(i <= 80)} for i in range(1, 134)]


def make_files(folder: Path, images: int, size: tuple[int, int], segments: int) -> None:
    """Write ``gt.json``, ``pred.json`` and their png: predictions have shifted borders and wrong classes."""
    rng = np.random.default_rng(0)
    documents = {name: {"annotations": [], "categories": CATEGORIES} for name in ("gt", "pred")}
    documents["gt"]["images"] = [
        {"id": i, "file_name": f"{i}.jpg", "height": size[0], "width": size[1]} for i in range(images)
    ]
    for name in documents:
        (folder / name).mkdir(parents=True)
    for number in range(min(images, DISTINCT)):
        for name, (ids, listed) in zip(documents, _maps(rng, size, segments)):
            # As the official tools write them, and as published maps are compressed.
            Image.fromarray(ids_to_rgb(ids)).save(folder / name / f"{number}.png")
            documents[name]["annotations"] += [
                {"image_id": image, "file_name": f"{number}.png", "segments_info": listed}
                for image in range(number, images, DISTINCT)
            ]
    for name, document in documents.items():
        (folder / f"{name}.json").write_text(json.dumps(document))


def _maps(
    rng: np.random.Generator, size: tuple[int, int], segments: int
) -> Iterator[tuple[np.ndarray, list[dict]]]:
    """Ground truth, then prediction: regions nearest to points in a distorted plane."""
    points, numbers = rng.random((segments, 2)), rng.choice(1 << 24, segments, replace=False)
    classes = rng.integers(1, 134, segments)
    warp = [cv2.resize(rng.normal(0, 0.08, (9, 12)), size[::-1], interpolation=cv2.INTER_CUBIC) for _ in "yx"]
    for shift in (0.0, 0.01):
        place = points + rng.normal(0, 1, points.shape) * shift
        rows, columns = np.mgrid[0 : size[0], 0 : size[1]] / np.array(size).reshape(2, 1, 1)
        y, x = rows + warp[0] + shift, columns + warp[1]
        nearest, best = np.zeros(size, dtype=np.int64), np.full(size, 0.08)  # farther from all is void
        for index, (py, px) in enumerate(place):
            distance = (y - py) ** 2 + (x - px) ** 2
            closer = distance < best
            nearest[closer], best[closer] = index + 1, distance[closer]
        ids = np.concatenate([[0], numbers])[nearest]
        wrong = rng.random(segments) < shift * 20
        labels = np.where(wrong, rng.integers(1, 134, segments), classes)
        listed = [{"id": int(n), "category_id": int(c)} for n, c in zip(numbers, labels)]
        yield ids, counted_segments(ids, listed)


def evaluation(_device: torch.device, images: int, size: tuple[int, int], segments: int) -> Workload:
    """Files lie in a temporary folder until the process ends."""
    folder = tempfile.TemporaryDirectory()
    root = Path(folder.name)
    make_files(root, images, size, segments)
    ours = partial(_ours, folder)
    contenders = {OURS: partial(ours, torch.get_num_threads())}
    if torch.get_num_threads() > 1:
        contenders["dense3d, 1 thread"] = partial(ours, 1)
    contenders["image by image"] = partial(_reference, root)
    return Workload((), contenders)


def _ours(folder: tempfile.TemporaryDirectory, workers: int) -> Tensor:
    root = Path(folder.name)
    return torch.from_numpy(evaluate_files(root / "gt.json", root / "pred.json", workers=workers).iou_sum)


def _reference(root: Path) -> Tensor:
    truth, prediction = (json.loads((root / f"{n}.json").read_text())["annotations"] for n in ("gt", "pred"))
    images = (
        (root / "gt" / t["file_name"], t["segments_info"], root / "pred" / p["file_name"], p["segments_info"])
        for t, p in zip(truth, prediction)
    )
    counts = evaluate_reference(images)
    return torch.tensor([counts.get(c["id"], (0.0,))[0] for c in CATEGORIES], dtype=torch.float64)


CASES = [
    Case(
        "evaluate",
        evaluation,
        {
            "2,000 images, 640 x 480": {"images": 2000, "size": (480, 640), "segments": 12},
            "200 images, 2048 x 1024": {"images": 200, "size": (1024, 2048), "segments": 30},
        },
        {"images": 3, "size": (48, 64), "segments": 4},
    )
]
