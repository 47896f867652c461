"""Batches of images for classifiers: normalised, partly erased, and mixed in pairs."""

from __future__ import annotations

from typing import Any

from mmengine.model import ImgDataPreprocessor
from torch import Tensor

from dense3d.errors import ConfigError, DataError
from dense3d.optional import require
from dense3d.registry import MODELS


@MODELS.register_module()
class ClassDataPreprocessor(ImgDataPreprocessor):
    """mmengine's ``ImgDataPreprocessor``, which in training also erases parts of images and mixes them.

    Args:
        *args, **kwargs: ``mean``, ``std``, ``bgr_to_rgb``, ...: see mmengine.
        random_erasing: arguments of timm's ``RandomErasing`` (Zhong et al., AAAI 2020), such as
            ``dict(probability=0.25, mode="pixel")``; None for none.
        batch_augment: arguments of ``timm.data.Mixup``: mixup (Zhang et al., ICLR 2018) and CutMix (Yun et
            al., ICCV 2019) as ``dict(mixup_alpha=0.8, cutmix_alpha=1.0, switch_prob=0.5)``; None for none.
            Labels then become ``gt_score``, probabilities; the model smooths them. ``num_classes`` is the
            model's.

    Raises:
        ConfigError: timm does not know an argument.
        DataError: a batch to be mixed has an odd number of images, or no labels.

    Example:
        >>> preprocessor = ClassDataPreprocessor(mean=[0.0] * 3, std=[1.0] * 3)
        >>> import torch
        >>> preprocessor({"inputs": [torch.zeros(3, 8, 8, dtype=torch.uint8)]})["inputs"].shape
        torch.Size([1, 3, 8, 8])
    """

    def __init__(
        self,
        *args: Any,
        random_erasing: dict | None = None,
        batch_augment: dict | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.erase = self.mix = None
        if random_erasing:
            erasing = require("timm.data.random_erasing", "random erasing")
            self.erase = _built(erasing.RandomErasing, {**random_erasing, "device": "cpu"})
        if batch_augment:
            mixing = require("timm.data.mixup", "mixup and CutMix")
            self.mix = _built(mixing.Mixup, {**batch_augment, "label_smoothing": 0.0})

    def forward(self, data: dict, training: bool = False) -> dict:
        """Batch a list of images ``(3, H, W)``, 0 .. 255."""
        data = super().forward(data, training)
        images, samples = data["inputs"], data.get("data_samples")
        if training and self.erase is not None:
            self.erase.device = images.device
            images = self.erase(images)
        if training and self.mix is not None:
            images = self._mixed(images, samples)
        return {"inputs": images, "data_samples": samples}

    def _mixed(self, images: Tensor, samples: list | None) -> Tensor:
        import torch

        if not samples or any("gt_label" not in sample for sample in samples):
            raise DataError("images to be mixed came without gt_label: use a data set of classes")
        if len(images) % 2:
            raise DataError(
                f"mixup and CutMix pair images, but a batch has {len(images)}: give the loader an even "
                "batch_size and drop_last=True"
            )
        labels = torch.stack([torch.as_tensor(s.gt_label) for s in samples]).view(-1).to(images.device)
        if int(labels.max()) >= self.mix.num_classes:
            raise DataError(
                f"an image has the label {int(labels.max())} and the model {self.mix.num_classes} classes: "
                "set model.num_classes to the data's"
            )
        images, scores = self.mix(images, labels)
        for sample, score in zip(samples, scores):
            sample.set_field(score, "gt_score")
        return images


def _built(kind: type, arguments: dict) -> Any:
    try:
        return kind(**arguments)
    except TypeError as error:
        raise ConfigError(f"ClassDataPreprocessor: timm's {kind.__name__}: {error}") from error
