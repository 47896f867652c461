"""Classifiers that also learn the class of every patch: of one network, and of all that share weights."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from dense3d.classification import ImageClassifier
from dense3d.errors import ConfigError, DataError
from dense3d.layers.class_heads import TokenHead, small_linear
from dense3d.registry import MODELS
from projects.vit_resnas.masking import masked_layer_norm
from projects.vit_resnas.supernet import SuperViTResNAS


@MODELS.register_module()
class PatchMixClassifier(ImageClassifier):
    """An image classifier with a linear layer for the classes of patches, which serves training alone.

    Args:
        backbone: config of a backbone whose tail takes one class token, such as ``ViTResNAS``.
        num_classes, label_smoothing, data_preprocessor, init_cfg: as for :class:`ImageClassifier`; the
            preprocessor is usually a ``PatchMixPreprocessor``.

    Raises:
        ConfigError: the backbone's tail takes no class token, or several.
    """

    def __init__(
        self,
        backbone: dict,
        num_classes: int,
        label_smoothing: float = 0.0,
        data_preprocessor: dict | nn.Module | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(backbone, num_classes, "official", label_smoothing, data_preprocessor, init_cfg)
        tail = self.head
        if not isinstance(tail, TokenHead) or tail.mean or tail.num_prefix != 1:
            raise ConfigError(
                f"{type(self).__name__}: a {type(self.backbone).__name__} has a tail that does not take one "
                "class token; use ViTResNAS without distilled=True"
            )
        self.patch_head = small_linear(tail.head.in_features, num_classes)

    def forward(
        self, inputs: Tensor, data_samples: list[BaseDataElement] | None = None, mode: str = "tensor"
    ) -> dict[str, Tensor] | list[BaseDataElement] | Tensor:
        """Losses, predictions or logits, see :class:`ImageClassifier`."""
        if mode != "loss":
            return super().forward(inputs, data_samples, mode)
        tokens = self.normed(inputs)
        logits = torch.cat([self.head.head(tokens[:, :1]), self.patch_head(tokens[:, 1:])], dim=1)
        return self.loss(logits, self._targets(data_samples, logits))

    def logits(self, images: Tensor) -> Tensor:
        """Logits ``(B, C)`` of images."""
        return self.head.head(self.normed(images)[:, 0])

    def normed(self, images: Tensor) -> Tensor:
        """Tokens of the last stage behind the norm, ``(B, 1 + N, D)``."""
        return self.head.norm(self.backbone.embed(images))

    def loss(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Cross entropy of images and of patches, which weigh alike.

        Args:
            logits: ``(B, 1 + N, C)``, images first.
            targets: scores ``(B, 1 + N, C)``, or labels ``(B,)``, which are those of all patches too.

        Raises:
            DataError: scores of another number of patches.
        """
        if targets.ndim == 1:
            found = super().loss(logits[:, 0], targets)
            targets = targets[:, None].expand(-1, logits.shape[1])
        else:
            if targets.shape != logits.shape:
                raise DataError(
                    f"the batch has scores of shape {tuple(targets.shape)} and the model logits of "
                    f"{tuple(logits.shape)}: mix with PatchMixPreprocessor, its stride that of the last stage"
                )
            found = super().loss(logits[:, 0], targets[:, 0])
        patches = F.cross_entropy(
            logits[:, 1:].flatten(0, 1).float(),
            targets[:, 1:].flatten(0, 1),
            label_smoothing=self.label_smoothing,
        )
        return {"loss_class": found.pop("loss"), "loss_patch": patches, **found}


@MODELS.register_module()
class SupernetClassifier(PatchMixClassifier):
    """All classifiers of a search space, with shared weights.

    Args:
        backbone, num_classes, label_smoothing, data_preprocessor, init_cfg: as for
            :class:`PatchMixClassifier`; the backbone is a ``SuperViTResNAS``.

    Raises:
        ConfigError: it is another.
    """

    def __init__(self, backbone: dict, num_classes: int, *args, **kwargs) -> None:
        super().__init__(backbone, num_classes, *args, **kwargs)
        if not isinstance(self.backbone, SuperViTResNAS):
            raise ConfigError(
                f"SupernetClassifier: the backbone is a {type(self.backbone).__name__}, not a SuperViTResNAS"
            )

    def normed(self, images: Tensor) -> Tensor:
        """Tokens of the last stage behind the norm, of each image's network, ``(B, 1 + N, D)``."""
        tokens, mask = self.backbone.masked_embed(images)
        return masked_layer_norm(tokens, self.head.norm, mask)
