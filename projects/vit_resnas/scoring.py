"""Accuracies of networks with shared weights on held-out images, kept in a file to go on from."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from torch import Tensor
from torch.utils.data import DataLoader

from dense3d.errors import ConfigError, DataError
from dense3d.registry import DATASETS
from projects.vit_resnas.classifiers import SupernetClassifier
from projects.vit_resnas.slicing import sliced_classifier
from projects.vit_resnas.space import Network


class Accuracy:
    """Accuracy in percent of networks with the weights of a supernet.

    Args:
        model: trained; on its device the networks run.
        batches: of images as the loader gives them, kept in memory, and their labels.
    """

    def __init__(self, model: SupernetClassifier, batches: list[tuple[list[Tensor], Tensor]]) -> None:
        self.model, self.batches = model.eval(), batches
        self.state = model.state_dict()

    @torch.no_grad()
    def __call__(self, network: Network) -> float:
        """Of one network, which is in the space."""
        one = sliced_classifier(self.model.backbone, self.state, network, self.model.num_classes)
        right = count = 0
        for images, labels in self.batches:
            inputs = self.model.data_preprocessor({"inputs": images}, False)["inputs"]
            right += int((one(inputs).argmax(dim=1).cpu() == labels).sum())
            count += len(labels)
        return 100 * right / count


def read_batches(cfg: Config) -> list[tuple[list[Tensor], Tensor]]:
    """All images of a config's validation loader, as bytes, and their labels."""
    settings = copy.deepcopy(cfg.val_dataloader)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        dataset = DATASETS.build(settings.dataset)
    loader = DataLoader(
        dataset, settings.batch_size, num_workers=settings.get("num_workers", 0), collate_fn=pseudo_collate
    )
    return [
        (batch["inputs"], torch.stack([torch.as_tensor(s.gt_label) for s in batch["data_samples"]]).view(-1))
        for batch in loader
    ]


def fingerprint(checkpoint: str | Path, cfg: Config) -> dict[str, Any]:
    """What scores belong to: the weights of a file and the images of a config."""
    digest = hashlib.sha256(Path(checkpoint).read_bytes()).hexdigest()
    return {"checkpoint": digest, "data": json.loads(json.dumps(cfg.val_dataloader.dataset, default=str))}


class ScoreFile:
    """A line of JSON for each score, behind one for what they belong to; a line that was cut off is dropped.

    Args:
        path: of the file, which is made unless it is there.
        belongs: see :func:`fingerprint`.

    Raises:
        DataError: the file is no such file.
        ConfigError: it belongs to other weights or images.
    """

    def __init__(self, path: Path, belongs: dict[str, Any]) -> None:
        self.path, self.scores = path, {}
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        whole = text[: text.rfind("\n") + 1]
        try:
            first, *lines = [json.loads(line) for line in whole.splitlines()] or [belongs]
            self.scores = {tuple(line["network"]): float(line["accuracy"]) for line in lines}
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path} holds no scores of a search ({error}); remove it, or name another --out"
            ) from error
        if first != belongs:
            raise ConfigError(
                f"{path} holds scores of another checkpoint, or of other images; remove it, or name another "
                "--out"
            )
        if whole != text or not text:
            path.write_text(whole or json.dumps(belongs) + "\n", encoding="utf-8")

    def get(self, network: Network, score: Callable[[Network], float]) -> float:
        """The score of a network, from the file or computed and added to it."""
        if network not in self.scores:
            accuracy = score(network)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"network": network, "accuracy": accuracy}) + "\n")
            self.scores[network] = accuracy
        return self.scores[network]
