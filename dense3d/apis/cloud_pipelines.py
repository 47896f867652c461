"""How single clouds are prepared: a config's test pipeline behind its loading."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dense3d.structures import PointCloud

PACK, LOAD = "PackPointInputs", "LoadPoints"


def takes_clouds(steps: Sequence[dict]) -> bool:
    """Whether a pipeline prepares point clouds."""
    return any(_name(step) == PACK for step in steps)


def after_loading(steps: Sequence[dict]) -> list[dict]:
    """The steps without the one that reads a data set's files.

    Example:
        >>> after_loading([dict(type="LoadPoints"), dict(type="PackPointInputs")])
        [{'type': 'PackPointInputs'}]
    """
    return [step for step in steps if _name(step) != LOAD]


def pipeline_input(cloud: PointCloud, category: int | None = None) -> dict[str, Any]:
    """What the steps behind the loading start from.

    Args:
        cloud: its labels become those of the points.
        category: of the object.
    """
    names = {"labels": "point_labels"}
    arrays = {names.get(name, name): values for name, values in cloud.attributes.items()}
    results = {"points": cloud.points, **arrays, "sample_id": cloud.name, "path": cloud.name}
    return results if category is None else {**results, "category": category}


def _name(step: dict) -> str:
    return str(step.get("type")).rpartition(".")[2]
