"""Training of a classifier at several resolutions in each step, of which the smaller learn from the larger.

Tian et al., "ResFormer: Scaling ViTs with Multi-Resolution Training", CVPR 2023 (arXiv 2212.00776), section
3.2; of the targets of consistency in ruitian12/resformer, its default, the class token.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from dense3d.classification import ImageClassifier
from dense3d.errors import ConfigError, DataError
from dense3d.registry import MODELS


@MODELS.register_module()
class MultiResolutionClassifier(ImageClassifier):
    """An image classifier whose every step sees each image at several resolutions.

    The loss is the mean over resolutions of cross entropy and, but for the largest, the consistency with the
    next larger one, see :func:`scale_consistency`. All resolutions run in one step, through one set of
    weights. Predictions are :class:`ImageClassifier`'s: one pass, at whatever size images come.

    Decided here, because the paper and the code leave it open or we know neither for sure:

    * images come at the largest resolution, augmented and mixed once, and the model makes the others by
      bicubic, antialiased resizing. Views with augmentations of their own come from
      ``dense3d.ResolutionViews`` in the pipeline and ``dense3d.ViewsPreprocessor``;
    * the feature is what the last linear layer reads: the class token after the final norm; the mean of the
      patches where a head reads that; both tokens of a distilled network;
    * consistency has a weight, 1 as officially.

    Args:
        backbone: of any family whose head says what its linear layer reads: all plain transformers, and with
            ``head="linear"`` every backbone.
        num_classes: C, of the data; 2 or more.
        resolutions: sides in pixels of the square images of training, from large to small. A single one is
            training as usual.
        consistency_weight: factor of the consistency.
        head, label_smoothing, data_preprocessor, init_cfg: see :class:`ImageClassifier`.

    Shape:
        images ``(B, 3, H, W)``, in training those of the first resolution, or one such batch for each, to
        logits ``(B, C)``.

    Raises:
        ConfigError: resolutions that do not fall, or hold no patch; a negative weight; a head without a
            feature.
        DataError: images of training have another size.

    Example:
        >>> import torch
        >>> vit = dict(type="ResFormer", arch=dict(embed_dim=16, depth=1, num_heads=2))
        >>> model = MultiResolutionClassifier(vit, num_classes=5, resolutions=(64, 32))
        >>> samples = [BaseDataElement(gt_label=torch.tensor(label)) for label in (0, 3)]
        >>> sorted(model(torch.rand(2, 3, 64, 64), samples, mode="loss"))
        ['accuracy_32', 'accuracy_64', 'loss_32', 'loss_64', 'loss_consistency_32']
    """

    def __init__(
        self,
        backbone: dict,
        num_classes: int,
        resolutions: Sequence[int],
        consistency_weight: float = 1.0,
        head: str = "official",
        label_smoothing: float = 0.0,
        data_preprocessor: dict | nn.Module | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(backbone, num_classes, head, label_smoothing, data_preprocessor, init_cfg)
        self.resolutions, self.consistency_weight = tuple(resolutions), consistency_weight
        _check(self.resolutions, getattr(self.backbone, "patch_size", 1))
        if consistency_weight < 0:
            raise ConfigError(
                f"MultiResolutionClassifier: consistency_weight={consistency_weight!r}: give 0 or more"
            )
        if not hasattr(self.head, "feature"):
            raise ConfigError(
                f"MultiResolutionClassifier compares what the last linear layer reads, which the head of "
                f"{type(self.backbone).__name__}, {type(self.head).__name__}, does not say: set head='linear'"
            )

    def forward(
        self,
        inputs: Tensor | list[Tensor],
        data_samples: list[BaseDataElement] | list[list[BaseDataElement]] | None = None,
        mode: str = "tensor",
    ) -> dict[str, Tensor] | list[BaseDataElement] | Tensor:
        """Losses of all resolutions; predictions or logits of the images as they are.

        Args:
            inputs: images ``(B, 3, H, W)``; for ``"loss"`` also a list with one batch for each resolution,
                whose samples are a list for each as well.
            data_samples, mode: see :class:`ImageClassifier`. ``"loss"`` gives ``loss_R`` and, but for the
                largest, ``loss_consistency_R``, each divided by the number of resolutions, so that their sum
                is the mean, and of hard labels ``accuracy_R``.
        """
        if mode != "loss":
            return super().forward(inputs, data_samples, mode)
        views = inputs if isinstance(inputs, (list, tuple)) else self.resized(inputs)
        samples = data_samples if isinstance(inputs, (list, tuple)) else [data_samples] * len(views)
        self._check_views(views)
        losses, larger, share = {}, None, 1 / len(views)
        for side, images, own in zip(self.resolutions, views, samples):
            feature = self.head.feature(self.features(images))  # (B, D)
            logits = self.head.classify(feature)
            found = self.loss(logits, self._targets(own, logits))
            losses[f"loss_{side}"] = share * found.pop("loss")
            losses |= {f"{name}_{side}": value for name, value in found.items()}
            if larger is not None:
                consistency = scale_consistency(feature, larger)
                losses[f"loss_consistency_{side}"] = share * self.consistency_weight * consistency
            larger = feature
        return losses

    def resized(self, images: Tensor) -> list[Tensor]:
        """Images ``(B, 3, R, R)`` of the largest resolution at each of them, the first as they are."""
        self._check_views([images])
        smaller = [
            F.interpolate(images, (side, side), mode="bicubic", align_corners=False, antialias=True)
            for side in self.resolutions[1:]
        ]
        return [images, *smaller]

    def _check_views(self, views: Sequence[Tensor]) -> None:
        for side, images in zip(self.resolutions, views):
            if tuple(images.shape[-2:]) != (side, side):
                height, width = images.shape[-2:]
                raise DataError(
                    f"an image of training has {height} x {width} pixels, where the resolution {side} has "
                    "its turn: make the pipeline give squares of it (RandomResizedCrop), or change "
                    f"model.resolutions {self.resolutions}"
                )


def scale_consistency(feature: Tensor, larger: Tensor) -> Tensor:
    """Smooth L1 between a feature and the normalised one of the next larger resolution, which is no variable.

    The target is ``larger`` without its gradient, less its mean and over its deviation (epsilon 1e-6, no
    affine map); beta is 1.

    Args:
        feature: of the smaller resolution, ``(..., D)``.
        larger: of the larger one.

    Returns:
        the mean over all, in float32.

    Example:
        >>> import torch
        >>> scale_consistency(torch.tensor([[3.0, -1.0]]), torch.tensor([[5.0, 1.0]]))
        tensor(0.7500)
    """
    target = F.layer_norm(larger.detach().float(), larger.shape[-1:], eps=1e-6)
    return F.smooth_l1_loss(feature.float(), target)


def _check(resolutions: tuple[int, ...], patch_size: int) -> None:
    if not resolutions or not all(isinstance(side, int) for side in resolutions):
        raise ConfigError(
            f"MultiResolutionClassifier: resolutions={resolutions!r}: give sides in pixels, such as "
            "(224, 160, 128)"
        )
    if any(larger <= smaller for larger, smaller in pairwise(resolutions)):
        raise ConfigError(
            f"MultiResolutionClassifier: resolutions={resolutions} have to fall from large to small: the "
            "smaller learn from the larger"
        )
    if resolutions[-1] < patch_size:
        raise ConfigError(
            f"MultiResolutionClassifier: {resolutions[-1]} pixels hold no patch of {patch_size}: leave that "
            "resolution out"
        )
