"""Clouds as flat files beside a JSON document of boxes: what mmdetection3d's indoor pickles hold, as text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dense3d.datasets.pointcloud.loading import Arrays, reader
from dense3d.errors import DataError
from dense3d.structures.cloud_files.flat import read_flat
from dense3d.structures.cloud_files.judging import unit_colors

COLUMNS = ("x", "y", "z", "r", "g", "b")


def info_records(
    root: Path, name: str, classes: Sequence[str], aliases: Mapping[str, str] | None = None
) -> Iterator[dict[str, Any]]:
    """The scenes of a document ``{"classes": [...], "scenes" or "samples": [{"points", "instances", ...}]}``.

    Args:
        root: folder of the data set.
        name: of the document.
        classes: by which boxes are labelled.
        aliases: names of the document to names of those.

    Raises:
        DataError: it is missing or damaged, or a box is of no class.
    """
    names = {**{one: one for one in classes}, **(aliases or {})}
    file = root / name
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        scenes = document.get("scenes") or document["samples"]
        for scene in scenes:
            path = root / scene["points"]
            entries = scene.get("instances", [])
            boxes = [[*(e.get("bbox_3d") or e["box"])] for e in entries]
            yield dict(
                sample_id=path.stem,
                reader="infos",
                path=str(path),
                boxes=[[*box, 0.0][:7] for box in boxes],
                box_labels=[classes.index(names[e["name"]]) for e in entries],
                matrix=scene.get("axis_align_matrix"),
                color_max=255 if "0..255" in scene.get("point_format", "") else 1,
            )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{file} cannot be read as scenes with points and boxes ({error!r})") from None


@reader("infos")
def _read_info(record: dict[str, Any]) -> Arrays:
    path = Path(record["path"])
    found, _ = read_flat(path, COLUMNS, None, 0)
    points = found["points"].astype(np.float64)
    if record["matrix"] is not None:
        matrix = np.asarray(record["matrix"])
        points = points @ matrix[:3, :3].T + matrix[:3, 3]
    return {
        "points": points.astype(np.float32),
        "colors": unit_colors(found["colors"], path, record["color_max"]),
        "gt_boxes": np.array(record["boxes"], dtype=np.float32).reshape(-1, 7),
        "gt_box_labels": np.array(record["box_labels"], dtype=np.int64),
    }
