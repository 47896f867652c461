"""Networks of the suite ``stereo``: run as in ``dense3d infer``, and called transfer on data new to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import nn

from dense3d.apis.pair_prediction import PairPredictor
from dense3d.errors import ConfigError


class Network(nn.Module):
    """A stereo network with its weights; pairs go through its config's test pipeline, and maps back.

    Args:
        config: config file or name.
        checkpoint: its weights; the word ``none`` for a model that has none.
        scale: factor up to 1 by which images are made smaller for it.

    Raises:
        ConfigError, CheckpointError: it cannot be built, or predicts no disparity.
    """

    def __init__(self, config: str | Path | Config, checkpoint: str | Path, scale: float = 1.0) -> None:
        super().__init__()
        weights = None if checkpoint == "none" else checkpoint
        self.predictor = PairPredictor(config, weights, scale=scale, both_views=False)
        self.cfg = self.predictor.cfg

    def test_step(self, batch: Mapping[str, Any]) -> list[Any]:
        """The samples with ``pred_disparity`` (1, H, W) of the images' size, pixels."""
        samples = batch["data_samples"]
        sides = [
            [image.permute(1, 2, 0).byte().numpy() for image in batch["inputs"][side]]
            for side in ("left", "right")
        ]
        for sample, left, right in zip(samples, *sides):
            result = self.predictor(left, right, sample.get("rig"))
            if "disparity" not in result:
                raise ConfigError(f"{self.cfg.filename} predicts no disparity: it is no stereo network")
            sample.pred_disparity = torch.from_numpy(result.disparity)[None]
        return samples


def training_sets(cfg: Mapping[str, Any]) -> set[str]:
    """Types of the data sets that a config trains on, also of those inside others.

    Example:
        >>> inner = dict(type="RepeatDataset", dataset=dict(type="dense3d.SceneFlow"))
        >>> mixed = dict(type="ConcatDataset", datasets=[dict(type="Eth3d"), inner])
        >>> sorted(training_sets(dict(train_dataloader=dict(dataset=mixed))))
        ['Eth3d', 'SceneFlow']
    """
    dataset = (cfg.get("train_dataloader") or {}).get("dataset")
    return {str(one.get("type")).rpartition(".")[2] for one in _leaves(dataset)}


def _leaves(dataset: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(dataset, Mapping):
        inner = dataset.get("datasets", dataset.get("dataset"))
        yield from [dataset] if inner is None else _leaves(inner)
    elif isinstance(dataset, Sequence) and not isinstance(dataset, str):
        for one in dataset:
            yield from _leaves(one)


def label_of(label: str, cfg: Mapping[str, Any], known: Sequence[str]) -> str:
    """``label``, and that the network is transferred, where it was trained on other data than ``known``.

    Example:
        >>> synthetic = dict(train_dataloader=dict(dataset=dict(type="SyntheticStereo")))
        >>> label_of("CCNeXt", synthetic, ["SceneFlow"])
        'CCNeXt (transfer)'
        >>> label_of("CCNeXt", synthetic, ["SyntheticStereo"])
        'CCNeXt'
    """
    learned = training_sets(cfg)
    if not learned or learned & set(known) or "transfer" in label.lower():
        return label
    return f"{label} (transfer)"
