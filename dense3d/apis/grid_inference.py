"""Predictions on radiance grids: pictures, grids, classes of voxels, boxes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config

from dense3d.apis.grid_pipelines import named_grids
from dense3d.apis.grid_prediction import GridPredictor
from dense3d.files import require_writable_folder
from dense3d.json_files import write_json
from dense3d.results.names import FileNames


@dataclass
class GridReport:
    """What a run of :func:`infer_grids` wrote, and the grids that it left out.

    Attributes:
        results: ``predictions.json``.
        found: for each grid a few words, by name.
        pictures, files: in the order of the grids.
        left_out: grids that cannot be read or that the model refuses, and why.
    """

    results: Path
    found: dict[str, str] = field(default_factory=dict)
    pictures: list[Path] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def infer_grids(
    config: str | Path | Config,
    checkpoint: str | Path,
    inputs: Any,
    out: str | Path,
    device: str | None = None,
    options: dict[str, Any] | None = None,
    score_threshold: float = 0.3,
) -> GridReport:
    """Run a model on radiance grids and write what it finds, grid by grid.

    Args:
        config, checkpoint, device, options, score_threshold: see :class:`GridPredictor`.
        inputs: see :class:`GridPredictor`.
        out: folder; gets ``pictures/*.png``, ``predictions.json``, and ``grids/*.npz`` of grids that the
            model makes or ``arrays/*.npy`` of classes of voxels and of boxes.

    Raises:
        ConfigError: ``out`` cannot be written to.
        DataError: no grid is found. Grids that cannot be read or that the model refuses are left out.
    """
    out = Path(out)
    require_writable_folder(out)
    list(named_grids(inputs))  # what is wrong with the inputs is said before the network is built
    predictor = GridPredictor(config, checkpoint, device, options, score_threshold)
    report, names, rows = GridReport(out / "predictions.json"), FileNames(), []
    for result in predictor.each(inputs):
        if result.error is not None:
            report.left_out[result.name] = result.error
            continue
        stem = names.of(result.path or Path(result.name))
        report.found[result.name] = str(result)
        report.pictures.append(result.save(out / "pictures" / f"{stem}.png"))
        place = "grids" if result.predicted is not None else "arrays"
        ending = ".npz" if result.predicted is not None else ".npy"
        report.files.append(result.save(out / place / f"{stem}{ending}"))
        rows.append(result.to_dict())
    write_json(report.results, rows)
    return report
