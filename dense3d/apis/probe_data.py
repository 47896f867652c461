"""What probes of frozen features have in common: names of protocols, and the data of a config's splits."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from mmengine.runner import set_random_seed
from torch.utils.data import Dataset

from dense3d.errors import ConfigError, did_you_mean


def check_protocols(protocols: Sequence[str], known: Sequence[str]) -> None:
    """Refuse unknown names.

    Raises:
        ConfigError: a protocol is unknown.
    """
    for name in protocols:
        if name not in known:
            raise ConfigError(
                f"no protocol is named {name!r}{did_you_mean(name, known)}; there are: {', '.join(known)}"
            )


def split_of(cfg: Config, split: str) -> Dataset:
    """The data set of a split with the test pipeline, so without augmentation.

    Args:
        cfg: has ``test_dataloader`` and ``{split}_dataloader``.
        split: ``"train"`` or ``"test"``.
    """
    from dense3d.registry import DATASETS

    settings = copy.deepcopy(cfg[f"{split}_dataloader"].dataset)
    innermost(settings)["pipeline"] = innermost(cfg.test_dataloader.dataset)["pipeline"]
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        return DATASETS.build(settings)


def batches_of(
    cfg: Config, dataset: Dataset, device: torch.device, size: int, seed: int = 0
) -> Iterator[dict[str, Any]]:
    """What the model's data preprocessor gives, batch after batch.

    Args:
        cfg: names the preprocessor, which is that of points unless it does.
        dataset: see :func:`split_of`.
        device: of the batches.
        size: clouds of a batch.
        seed: of random numbers in the pipeline, such as rotations that belong to the task.
    """
    from dense3d.registry import MODELS

    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        preprocess = MODELS.build(cfg.model.get("data_preprocessor") or dict(type="PointDataPreprocessor"))
    preprocess = preprocess.to(device)
    set_random_seed(seed)
    for items in torch.utils.data.DataLoader(dataset, size, collate_fn=pseudo_collate):
        yield preprocess(items)


def innermost(dataset: dict) -> dict:
    """Of a data set's settings, those of the data set inside that has the pipeline."""
    while "pipeline" not in dataset and "dataset" in dataset:
        dataset = dataset["dataset"]
    return dataset
