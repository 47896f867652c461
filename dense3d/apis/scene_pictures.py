"""Pictures of what pre-training on scenes makes of a data set: photographs, paintings, renderings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from dense3d.apis.building import build_trained, checked_config, usable_device
from dense3d.apis.scene_prediction import built_dataset, scene_results
from dense3d.apis.setup import make_synthetic_data
from dense3d.errors import ConfigError, DataError
from dense3d.results.scene import SceneResult
from dense3d.visualization.pictures import write_picture

SPLITS = ("train", "val", "test")


def draw_scenes(
    config: str | Path | Config,
    checkpoint: str | Path,
    out: str | os.PathLike,
    split: str = "val",
    number: int | None = 4,
    device: str | torch.device | None = None,
    options: dict[str, Any] | None = None,
) -> list[SceneResult]:
    """Predict scenes of a config's data set and write a picture of each.

    Args:
        config: of stage one or two of Gaussian2Scene, or of PiMAE.
        checkpoint: its file.
        out: folder of the pictures, ``000_NAME.png``.
        split: whose scenes: ``"train"``, ``"val"`` or ``"test"``.
        number: how many, from the first on; all for None.
        device: the GPU if there is one.
        options: settings that override the config's.

    Raises:
        ConfigError: the config is of another task, or has no such split.
        DataError: a scene cannot be read.
    """
    cfg = checked_config(config, options)
    if split not in SPLITS or cfg.get(f"{split}_dataloader") is None:
        raise ConfigError(f"{cfg.filename} has no {split}_dataloader: choose one of {', '.join(SPLITS)}")
    make_synthetic_data(cfg, (split,))
    model = build_trained(cfg, checkpoint, usable_device(device))
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    dataset = built_dataset(cfg, cfg[f"{split}_dataloader"]["dataset"])
    for index, result in enumerate(scene_results(cfg, model, dataset, number)):
        if result.error is not None:
            raise DataError(result.error)
        name = f"{index:03d}_{Path(result.name).name}.png"
        write_picture(result.plot(), folder / name)
        found.append(result)
    return found
