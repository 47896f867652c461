"""What frozen features of images are worth: a linear layer on them, and retrieval by them."""

from __future__ import annotations

import copy

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, DefaultScope
from torch import Tensor
from torch.utils.data import DataLoader

from dense3d.apis.building import build_checked, usable_device
from dense3d.classification import ImageClassifier
from dense3d.errors import ConfigError
from dense3d.evaluation.classification import fit_probe, retrieval_score, split_queries

# A few thousand images give few steps: a stronger rate than ImageNet's, see fit_probe.
PROBE = dict(epochs=30, warm_up=3, batch_size=128, rate=1.0, trust=0.02)
FROZEN_TASKS = ("linear-probe", "retrieval")


def frozen_score(cfg: Config, task: str, device: str | None = None, seed: int = 0) -> dict[str, float]:
    """Score the features that the backbone of a classifier's config gives before any training.

    Args:
        cfg: of an :class:`~dense3d.classification.ImageClassifier`, checked.
        task: ``"linear-probe"``: a linear layer trained on the features of the training images, accuracy on
            the test images; or ``"retrieval"``: the first fifth of the test images of each class asks for the
            others of its class.
        device: where to run; the GPU if there is one.
        seed: of random weights and the layer.

    Returns:
        Figures in percent by name.

    Raises:
        ConfigError: the config's model is no ``ImageClassifier``.
    """
    torch.manual_seed(seed)
    model = build_checked(copy.deepcopy(cfg), None, usable_device(device)).eval()
    if not isinstance(model, ImageClassifier):
        raise ConfigError(f"{task} is of classifiers of images, not of a {type(model).__name__}")
    test, labels = image_features(cfg, model, "test")
    if task == "retrieval":
        asks, rest = split_queries(labels.tolist())
        same = labels[asks][:, None] == labels[rest][None]
        score = retrieval_score(test[asks], test[rest], np.asarray(same))
        return {
            "retrieval/mAP": 100 * score.mean_average_precision,
            "retrieval/precision_at_1": 100 * score.precision[0],
            "retrieval/reciprocal_rank": 100 * score.reciprocal_rank,
        }
    train, train_labels = image_features(cfg, model, "train")
    head = fit_probe(train, train_labels, model.num_classes, **PROBE, seed=seed)
    with torch.no_grad():
        right = head(test.float()).argmax(dim=1) == labels
    return {"probe/top1": 100 * float(right.float().mean())}


@torch.no_grad()
def image_features(cfg: Config, model: ImageClassifier, split: str) -> tuple[Tensor, Tensor]:
    """Pooled features ``(N, D)`` and labels ``(N,)`` of a split's images, prepared as in tests.

    Args:
        cfg: of the model.
        model: in evaluation mode.
        split: ``"train"`` or ``"test"``.
    """
    settings = copy.deepcopy(cfg[f"{split}_dataloader"].dataset)
    settings.pipeline, settings.test_mode = cfg.test_dataloader.dataset.pipeline, True
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        loader = DataLoader(DATASETS.build(settings), batch_size=64, collate_fn=pseudo_collate)
        features, labels = [], []
        for batch in loader:
            data = model.data_preprocessor(batch, False)
            features.append(pooled(model.features(data["inputs"])).float())
            labels += [sample.gt_label for sample in data["data_samples"]]
    return torch.cat(features), torch.stack(labels)


def pooled(features: Tensor) -> Tensor:
    """One vector an image: the mean over the pixels of a map or over tokens; ``(B, D)`` as it is.

    Example:
        >>> pooled(torch.ones(2, 8, 3, 4)).shape, pooled(torch.ones(2, 5, 8)).shape
        (torch.Size([2, 8]), torch.Size([2, 8]))
    """
    if features.ndim == 4:
        return features.mean(dim=(2, 3))
    return features.mean(dim=1) if features.ndim == 3 else features
