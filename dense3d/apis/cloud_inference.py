"""Predictions on clouds: pictures, coloured clouds, classes with their scores."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config

from dense3d.apis.cloud_inputs import as_clouds
from dense3d.apis.cloud_prediction import CloudPredictor
from dense3d.files import atomic_write, require_writable_folder
from dense3d.results.cloud import CloudResult
from dense3d.results.names import FileNames


@dataclass
class CloudReport:
    """What a run of :func:`infer_clouds` wrote, and the clouds that it left out.

    Attributes:
        results: ``predictions.json``.
        found: for each cloud a few words, by name.
        pictures, clouds, features: files in the order of the clouds.
        left_out: clouds that cannot be read or that the model refuses, and why.
        notes: sentences on what was done to clouds before.
    """

    results: Path
    found: dict[str, str] = field(default_factory=dict)
    pictures: list[Path] = field(default_factory=list)
    clouds: list[Path] = field(default_factory=list)
    features: list[Path] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def infer_clouds(
    config: str | Path | Config,
    checkpoint: str | Path,
    inputs: Any,
    out: str | Path,
    category: str | None = None,
    device: str | None = None,
    options: dict[str, Any] | None = None,
    tell: Callable[[CloudResult], None] | None = None,
    score_threshold: float = 0.3,
    reading: Mapping[str, Any] | None = None,
) -> CloudReport:
    """Run a model on clouds and write what it finds, cloud by cloud.

    Args:
        config, checkpoint, device, options: see :class:`~dense3d.apis.cloud_prediction.CloudPredictor`.
        inputs: see :func:`~dense3d.apis.cloud_inputs.as_clouds`.
        out: folder; gets ``pictures/*.png``, ``predictions.json`` and, of parts, classes of points, features
            and reconstructions, coloured ``clouds/*.ply``, of boxes the cloud with their edges as points; of
            features also ``features/*.npy``, a row for each point of these clouds.
        category: of the objects, for part segmentation.
        tell: told of each result that is written.
        score_threshold: boxes that score less are left out.
        reading: see :func:`~dense3d.apis.cloud_inputs.as_clouds`.

    Raises:
        ConfigError: ``out`` cannot be written to, or the category is missing or unknown.
        DataError: no cloud is found. Clouds that cannot be read or that the model refuses are left out.
    """
    out = Path(out)
    require_writable_folder(out)
    as_clouds(inputs)  # what is wrong with the inputs is said before the network is built
    predictor = CloudPredictor(config, checkpoint, device, options, score_threshold)
    report, names, rows = CloudReport(out / "predictions.json"), FileNames(), []
    for result in predictor.each(inputs, category, reading):
        if result.error is not None:
            report.left_out[result.name] = result.error
            continue
        stem = names.of(result.path or Path(result.name))
        report.found[result.name] = str(result)
        report.notes += result.notes
        report.pictures.append(result.save(out / "pictures" / f"{stem}.png"))
        if result.label is None:
            report.clouds.append(result.save(out / "clouds" / f"{stem}.ply"))
        if result.features is not None:
            report.features.append(result.save(out / "features" / f"{stem}.npy"))
        rows.append(result.to_dict())
        if tell is not None:
            tell(result)
    with atomic_write(report.results, "w") as file:
        json.dump(rows, file, indent=1)
    return report
