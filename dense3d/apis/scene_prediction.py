"""A trained model of scenes with photographs: paintings of stage one, renderings of stage two."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS as ROOT_DATASETS
from mmengine.registry import DefaultScope

from dense3d.apis.building import build_trained, checked_config, usable_device
from dense3d.apis.pipelines import first_line
from dense3d.apis.prediction import is_out_of_memory
from dense3d.apis.scene_pipelines import dataset_of, named_scenes
from dense3d.engine.checkpoint import look_for
from dense3d.errors import ConfigError, DataError, Dense3dError
from dense3d.results.scene import SceneResult


class ScenePredictor:
    """Gaussian2Scene or PiMAE with its weights, ready to be called; made by :func:`dense3d.load`.

    Args:
        config: config file, name of a config, or loaded config; the one the checkpoint was trained with.
        checkpoint: checkpoint file.
        device: ``"cuda"``, ``"cpu"``, ...; the GPU if there is one.
        options: settings that override the config's, by dotted key.

    Raises:
        ConfigError, CheckpointError: one sentence on what is wrong.
    """

    def __init__(
        self,
        config: str | Path | Config,
        checkpoint: str | Path | None,
        device: str | torch.device | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        if checkpoint is not None:
            look_for(checkpoint)
        self.cfg = checked_config(config, options)
        self.model = build_trained(self.cfg, checkpoint, usable_device(device))

    def __repr__(self) -> str:
        bare = getattr(self.model, "module", self.model)
        return f"<ScenePredictor {type(bare).__name__} on {next(self.model.parameters()).device}>"

    def __call__(self, inputs: Any) -> list[SceneResult]:
        """Predict.

        Args:
            inputs: a folder of posed photographs with depth, a folder of such folders, one in SUN RGB-D's
                layout or in that of the config's data set; or a list of them.

        Returns:
            A result for each sample that the folders give; one that cannot be read or that the model refuses
            has an ``error``.

        Raises:
            DataError: an input is not there, or nothing can be read of the only one.
        """
        paths = named_scenes(inputs)
        results = list(self.each(paths))
        if len(paths) == 1 and all(result.error is not None for result in results):
            raise DataError(results[0].error)
        return results

    def each(self, inputs: Any) -> Iterator[SceneResult]:
        """Results one by one; those without a prediction have an ``error``."""
        for path in named_scenes(inputs):
            try:
                dataset = built_dataset(self.cfg, dataset_of(self.cfg, path))
            except Dense3dError as error:
                yield SceneResult(str(path), error=str(error))
                continue
            yield from scene_results(self.cfg, self.model, dataset)


def built_dataset(cfg: Config, settings: dict[str, Any]) -> Any:
    """A data set of scenes that has listed its samples."""
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        dataset = ROOT_DATASETS.build(settings)
    dataset.full_init()
    return dataset


def scene_results(
    cfg: Config, model: torch.nn.Module, dataset: Any, number: int | None = None
) -> Iterator[SceneResult]:
    """Results of the first scenes of a data set, all for None.

    Raises:
        ConfigError: the data set has no photographs, or the model reconstructs no scenes.
    """
    count = len(dataset) if number is None else min(number, len(dataset))
    for index in range(count):
        np.random.seed(index)  # points are chosen at random, the same ones every time
        name = str(dataset.get_data_info(index).get("sample_id", index))
        try:
            packed = dataset[index]
            if "images" not in packed["inputs"]:
                raise ConfigError(f"{cfg.filename} is no config of scenes with photographs")
            yield _result(cfg, model, packed, name)
        except DataError as error:
            yield SceneResult(name, error=str(error))


def _result(cfg: Config, model: torch.nn.Module, packed: dict[str, Any], name: str) -> SceneResult:
    try:
        with torch.no_grad():
            (sample,) = model.test_step(pseudo_collate([packed]))
    except Dense3dError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise DataError(f"{name}: there is not enough memory for it") from error
        raise DataError(
            f"{name}: the model fails on it, {type(error).__name__}: {first_line(error)}"
        ) from error
    if "reconstructed_points" not in sample:
        raise ConfigError(f"{cfg.filename}: {type(model).__name__} reconstructs no scenes")
    return SceneResult.read(sample.cpu(), getattr(model, "data_preprocessor", None))
