"""A trained detector that takes radiance grids, and what it finds in files of them."""

from __future__ import annotations

import glob
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import DefaultScope

from dense3d.apis.building import build_trained, checked_config, usable_device
from dense3d.apis.pipelines import first_line, inference_steps
from dense3d.apis.prediction import is_out_of_memory
from dense3d.engine.checkpoint import look_for
from dense3d.errors import ConfigError, DataError, Dense3dError
from dense3d.files import atomic_write, require_writable_folder
from dense3d.registry import DATASETS
from dense3d.results.grid_boxes import GridBoxesResult
from dense3d.results.names import FileNames
from dense3d.structures.radiance_grid import RadianceGrid

LOAD = "LoadRadianceGrid"


class GridPredictor:
    """A detector of boxes in grids with its weights, ready to be called; made by :func:`dense3d.load`.

    Args:
        config: config file, name of a config, or loaded config; the one the checkpoint was trained with.
        checkpoint: checkpoint file.
        device: ``"cuda"``, ``"cpu"``, ...; the GPU if there is one.
        options: settings that override the config's, by dotted key.
        score_threshold: boxes that score less are left out.
        density_kind: of files that do not say it, see :class:`~dense3d.structures.RadianceGrid`; that of the
            config's data set unless given.

    Raises:
        ConfigError, CheckpointError: one sentence on what is wrong.
    """

    def __init__(
        self,
        config: str | Path | Config,
        checkpoint: str | Path | None,
        device: str | torch.device | None = None,
        options: dict[str, Any] | None = None,
        score_threshold: float = 0.3,
        density_kind: str | None = None,
    ) -> None:
        if checkpoint is not None:
            look_for(checkpoint)
        self.cfg, self.score_threshold = checked_config(config, options), score_threshold
        self.model = build_trained(self.cfg, checkpoint, usable_device(device))
        if not hasattr(getattr(self.model, "module", self.model), "bbox_head"):
            raise ConfigError(
                f"{self.cfg.filename} finds no boxes in grids: predictions are those of NerfRPN"
            )
        data = DATASETS.get(self.cfg.test_dataloader.dataset.type)
        self.density_kind = density_kind or getattr(data, "DENSITY_KIND", None)
        with DefaultScope.overwrite_default_scope(self.cfg.default_scope):
            steps = [step for step in inference_steps(self.cfg) if _name(step) != LOAD]
            self.prepare = Compose(steps)

    def __repr__(self) -> str:
        return f"<GridPredictor {type(self.model).__name__} on {next(self.model.parameters()).device}>"

    def __call__(self, inputs: Any) -> GridBoxesResult | list[GridBoxesResult]:
        """Predict.

        Args:
            inputs: a file ``.npz``, a folder (searched recursively) or glob; a
                :class:`~dense3d.structures.RadianceGrid`; or a list of them.

        Returns:
            One grid gives one result, everything else a list. Of several grids, one that cannot be read or
            that the model refuses has a result with an ``error``.

        Raises:
            DataError: the inputs name no grid; the one grid is no good.
        """
        single = isinstance(inputs, RadianceGrid) or (
            isinstance(inputs, (str, Path)) and Path(inputs).is_file()
        )
        results = list(self.each(inputs))
        if single and results[0].error is not None:
            raise DataError(results[0].error)
        return results[0] if single else results

    def each(self, inputs: Any) -> Iterator[GridBoxesResult]:
        """Results one by one; those without a prediction have an ``error``."""
        return (self._result(one) for one in grids_among(inputs))

    def _result(self, given: Path | RadianceGrid) -> GridBoxesResult:
        path = given if isinstance(given, Path) else None
        name = given.source if path is None else str(path)
        try:
            grid = given if path is None else RadianceGrid.load(path, self._kind_of(path))
            grid = grid.as_alpha()
            boxes, scores = self._found(grid, name)
        except Dense3dError as error:
            text = str(error)
            return GridBoxesResult(name, path=path, error=text if name in text else f"{name}: {text}")
        return GridBoxesResult(name, grid, boxes, scores, path)

    def _kind_of(self, path: Path) -> str | None:
        """The kind to be taken where a file does not say its own."""
        try:
            with np.load(path, allow_pickle=False) as file:
                return None if "density_kind" in file.files else self.density_kind
        except (OSError, ValueError, EOFError):
            return None  # what is wrong with the file is told by its reader

    def _found(self, grid: RadianceGrid, name: str) -> tuple[np.ndarray, np.ndarray]:
        start = {"grid": grid.to_tensor(), "ori_shape": grid.resolution, "sample_id": name, "path": name}
        try:
            with DefaultScope.overwrite_default_scope(self.cfg.default_scope), torch.no_grad():
                (sample,) = self.model.test_step(pseudo_collate([self.prepare(start)]))
        except Dense3dError:
            raise
        except Exception as error:
            if is_out_of_memory(error):
                sides = " x ".join(map(str, grid.resolution))
                raise DataError(f"{name}: there is not enough memory for {sides} voxels") from error
            why = f"{type(error).__name__}: {first_line(error)}"
            raise DataError(f"{name}: the model fails on it, {why}") from error
        kept = sample.pred_box_scores >= self.score_threshold
        boxes, scores = sample.pred_boxes[kept], sample.pred_box_scores[kept]
        return boxes.float().cpu().numpy(), scores.float().cpu().numpy()


def grids_among(inputs: Any) -> list[Path | RadianceGrid]:
    """Files and grids that are named or given, files of a folder or glob in the order of their names.

    Raises:
        DataError: there is none.
    """
    if isinstance(inputs, RadianceGrid):
        return [inputs]
    if isinstance(inputs, (list, tuple)):
        return [one for part in inputs for one in grids_among(part)]
    path = Path(inputs)
    if path.is_dir():
        found = sorted(path.rglob("*.npz"))
    else:
        found = [path] if path.is_file() else _of_glob(str(inputs))
    if not found:
        raise DataError(f"{inputs} names no radiance grid: give a .npz, a folder of them or a glob")
    return found


def _of_glob(pattern: str) -> list[Path]:
    return sorted(map(Path, glob.glob(pattern, recursive=True)))  # noqa: PTH207 - absolute patterns, too


@dataclass
class GridReport:
    """What a run of :func:`infer_grids` wrote, and the grids that it left out.

    Attributes:
        results: ``predictions.json``: for each grid its boxes in voxels and in the world.
        found: for each grid a few words, by name.
        pictures: in the order of the grids.
        left_out: grids that cannot be read or that the model refuses, and why.
    """

    results: Path
    found: dict[str, str] = field(default_factory=dict)
    pictures: list[Path] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def infer_grids(
    config: str | Path | Config,
    checkpoint: str | Path,
    inputs: Any,
    out: str | Path,
    score_threshold: float = 0.3,
    device: str | None = None,
    options: dict[str, Any] | None = None,
) -> GridReport:
    """Run a detector on grids and write what it finds.

    Args:
        config, checkpoint, device, options, score_threshold: see :class:`GridPredictor`.
        inputs: see :meth:`GridPredictor.__call__`.
        out: folder; gets ``pictures/*.png``, each grid from above with its boxes, and ``predictions.json``.

    Raises:
        ConfigError: ``out`` cannot be written to.
        DataError: no grid is found. Grids that cannot be read or that the model refuses are left out.
    """
    out = Path(out)
    require_writable_folder(out)
    grids = grids_among(inputs)  # what is wrong with the inputs is said before the network is built
    predictor = GridPredictor(config, checkpoint, device, options, score_threshold)
    report, names, rows = GridReport(out / "predictions.json"), FileNames(), {}
    (out / "pictures").mkdir(exist_ok=True)
    for result in predictor.each(grids):
        if result.error is not None:
            report.left_out[result.name] = result.error
            continue
        picture = out / "pictures" / f"{names.of(result.path or Path(result.name))}.png"
        report.pictures.append(result.save(picture))
        report.found[result.name], rows[result.name] = str(result), result.rows()
    with atomic_write(report.results, "w") as file:
        json.dump(rows, file)
    return report


def _name(step: dict) -> str:
    return str(step.get("type")).rpartition(".")[2]
