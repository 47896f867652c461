"""A trained model that takes radiance grids: reconstructions, finer grids, classes of voxels, boxes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import DefaultScope

from dense3d.apis.building import build_trained, checked_config, usable_device
from dense3d.apis.grid_pipelines import loads_grids, named_grids
from dense3d.apis.pipelines import first_line, inference_steps
from dense3d.apis.prediction import is_out_of_memory
from dense3d.engine.checkpoint import look_for
from dense3d.errors import DataError, Dense3dError
from dense3d.results.grid import GridResult
from dense3d.structures import RadianceGrid
from dense3d.structures.radiance_grid_files import read_grid


class GridPredictor:
    """A model of radiance grids with its weights, ready to be called; made by :func:`dense3d.load`.

    Args:
        config: config file, name of a config, or loaded config; the one the checkpoint was trained with.
        checkpoint: checkpoint file.
        device: ``"cuda"``, ``"cpu"``, ...; the GPU if there is one.
        options: settings that override the config's, by dotted key.
        score_threshold: boxes that score less are left out.
        density_kind: what the density is of files that do not say it; that of the config's data set unless
            given.

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
        self.score_threshold, self.density_kind = score_threshold, density_kind
        self.cfg = checked_config(config, options)
        self.model = build_trained(self.cfg, checkpoint, usable_device(device))
        self.classes = tuple(dict(self.model.dataset_meta or {}).get("classes") or ())
        steps = [step for step in inference_steps(self.cfg) if not loads_grids(step)]
        with DefaultScope.overwrite_default_scope(self.cfg.default_scope):
            self.prepare = Compose(steps)

    def __repr__(self) -> str:
        bare = getattr(self.model, "module", self.model)
        return f"<GridPredictor {type(bare).__name__} on {next(self.model.parameters()).device}>"

    def __call__(self, inputs: Any) -> GridResult | list[GridResult]:
        """Predict.

        Args:
            inputs: a :class:`~dense3d.structures.RadianceGrid`, a file, a folder of files or a glob; or a
                list of them.

        Returns:
            One grid or file gives one result, everything else a list in their order, in which one that
            cannot be read or that the model refuses has an ``error``.

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

    def each(self, inputs: Any) -> Iterator[GridResult]:
        """Results one by one; those without a prediction have an ``error``."""
        return (self._result(name, content) for name, content in named_grids(inputs))

    def _result(self, name: str, content: RadianceGrid | Path) -> GridResult:
        path = content if isinstance(content, Path) else None
        try:
            grid = self._grid(content).as_alpha().require_occupied()
            sample = self._predicted(name, grid)
        except Dense3dError as error:
            named = "" if name in str(error) else f"{name}: "
            return GridResult(name, path=path, error=f"{named}{error}")
        return self._filled(GridResult(name, grid, classes=self.classes, path=path), sample)

    def _grid(self, content: RadianceGrid | Path) -> RadianceGrid:
        if isinstance(content, RadianceGrid):
            return content
        return read_grid(content, usual_kind=self.density_kind or self._kind_of_dataset())

    def _kind_of_dataset(self) -> str | None:
        from dense3d.registry import DATASETS

        dataset = (self.cfg.get("test_dataloader") or {}).get("dataset") or {}
        kind = DATASETS.get(str(dataset.get("type")))
        return dataset.get("density_kind") or getattr(kind, "DENSITY_KIND", None)

    def _predicted(self, name: str, grid: RadianceGrid) -> Any:
        results = {"grid": grid.to_tensor(), "sample_id": name, "path": name, "ori_shape": grid.resolution}
        try:
            with DefaultScope.overwrite_default_scope(self.cfg.default_scope), torch.no_grad():
                (sample,) = self.model.test_step(pseudo_collate([self.prepare(results)]))
        except Dense3dError:
            raise
        except Exception as error:
            if is_out_of_memory(error):
                sides = "x".join(map(str, grid.resolution))
                raise DataError(f"{name}: there is not enough memory for {sides} voxels") from error
            raise DataError(
                f"{name}: the model fails on it, {type(error).__name__}: {first_line(error)}"
            ) from error
        return sample.cpu()

    def _filled(self, result: GridResult, sample: Any) -> GridResult:
        """The result with what the sample holds."""
        found: dict[str, Any] = {}
        arrays = {"pred_grid": "predicted", "removed": "removed", "pred_voxel_labels": "voxel_labels"}
        for theirs, ours in arrays.items():
            if theirs in sample:
                found[ours] = sample.get(theirs).numpy()
        for name in ("mse", "psnr"):
            if name in sample:
                found[name] = float(sample.get(name))
        if "pred_boxes" in sample:
            scores = sample.pred_box_scores.float()
            best = torch.argsort(scores, descending=True)
            best = best[scores[best] >= self.score_threshold]
            boxes = sample.pred_boxes
            boxes = getattr(boxes, "tensor", boxes)
            found |= {"boxes": boxes[best].float().numpy(), "scores": scores[best].numpy()}
        return replace(result, **found)
