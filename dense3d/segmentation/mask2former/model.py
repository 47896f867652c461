"""Mask2Former for panoptic and instance segmentation on any backbone.

Cheng et al., "Masked-attention Mask Transformer for Universal Image Segmentation", CVPR 2022
(arXiv:2112.01527; official code github.com/facebookresearch/Mask2Former).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch.nn.functional as F
from torch import Tensor

from dense3d.errors import ConfigError
from dense3d.registry import MODELS
from dense3d.segmentation.mask2former.criterion import Mask2FormerCriterion
from dense3d.segmentation.mask2former.head import TINY_HEAD, Mask2FormerHead
from dense3d.segmentation.panoptic_map import PanopticMap
from dense3d.segmentation.panoptic_model import PanopticModel, PanopticPostProcess
from dense3d.segmentation.targets import segments_of_batch

if TYPE_CHECKING:
    from mmdet.structures import DetDataSample

STRIDES = (4, 8, 16, 32)


@dataclass(frozen=True)
class Mask2FormerPostProcess(PanopticPostProcess):
    """Results of Mask2Former, as the official code makes them: each mask has a probability of its own.

    mmdet's fusion head differs: it keeps pixels of a mask below 0.5 in panoptic segments unless told
    otherwise, knows things only as the first classes, and has no semantic results.

    Attributes:
        score_threshold: probability of the class above which a query takes part.
        overlap_threshold: least share of a mask that has to be won.
    """

    score_threshold: float = 0.8
    overlap_threshold: float = 0.8

    def resize(self, masks: Tensor, size: tuple[int, int], padded: tuple[int, int]) -> Tensor:
        """Bilinear; corners are not aligned."""
        return F.interpolate(masks, size, mode="bilinear")

    def probabilities(self, masks: Tensor) -> Tensor:
        """Sigmoid of each logit."""
        return masks.float().sigmoid()

    def binary(self, masks: Tensor, probabilities: Tensor) -> Tensor:
        """Pixels above one half."""
        return masks > 0

    def panoptic(self, logits: Tensor, masks: Tensor, things: Collection[int]) -> PanopticMap:
        """Each pixel goes to its best certain query; queries that win too little of their mask are dropped.

        The class of a query is its best of all K + 1, so that queries which are most likely void take no
        part.
        """
        scores, labels = logits.float().softmax(-1).max(-1)
        kept = (labels != logits.shape[1] - 1) & (scores > self.score_threshold)
        scores, labels, probabilities = scores[kept], labels[kept], self.probabilities(masks[kept])
        result = PanopticMap(tuple(masks.shape[-2:]), things, masks.device)
        if len(labels) == 0:
            return result
        best = (scores[:, None, None] * probabilities).argmax(0)
        for query, label in enumerate(labels.tolist()):
            won, mask = best == query, probabilities[query] >= 0.5
            segment = won & mask
            areas = [int(region.sum()) for region in (won, mask, segment)]
            if min(areas) > 0 and areas[0] / areas[1] >= self.overlap_threshold:
                result.add(label, segment)
        return result


@MODELS.register_module()
class Mask2Former(PanopticModel):
    """Mask2Former; pixel and transformer decoder are mmdet's.

    Args:
        backbone: config of the image backbone, with maps of strides 4, 8, 16 and 32.
        num_classes: K, things and stuff together; labels are 0 ... K - 1.
        thing_classes: labels that are things; all of them for instance segmentation.
        head: arguments of :class:`Mask2FormerHead`: queries, channels, layers.
        criterion: arguments of :class:`Mask2FormerCriterion`.
        test_cfg: ``panoptic_on``, ``instance_on``, ``semantic_on``, ``max_per_image`` of instances, and the
            thresholds of :class:`Mask2FormerPostProcess`.
        data_preprocessor: normalises images and pads them to a multiple of 32.
        init_cfg: mmengine initialisation.

    Raises:
        ConfigError: the backbone does not have the four maps.
    """

    criterion_class, post_process_class = Mask2FormerCriterion, Mask2FormerPostProcess
    tiny_needs: ClassVar[dict] = dict(task="panoptic", strides=(4, 8, 16, 32))

    def __init__(
        self,
        backbone: dict,
        num_classes: int,
        thing_classes: Sequence[int],
        head: dict | None = None,
        criterion: dict | None = None,
        test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(
            backbone, num_classes, thing_classes, criterion, test_cfg, data_preprocessor, init_cfg
        )
        if tuple(self.backbone.out_strides) != STRIDES:
            raise ConfigError(
                f"Mask2Former needs maps of strides {STRIDES}, but {type(self.backbone).__name__} has "
                f"{tuple(self.backbone.out_strides)}: set model.backbone.out_strides or out_indices"
            )
        self.panoptic_head = Mask2FormerHead(self.backbone.out_channels, num_classes, **(head or {}))

    def decode(self, features: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Class logits ``(B, Q, K + 1)`` and mask logits ``(B, Q, h, w)`` before and after each layer.

        Args:
            features: maps of the backbone.
        """
        return self.panoptic_head(list(features), [])

    def final(self, predictions: tuple[list[Tensor], list[Tensor]]) -> tuple[Tensor, Tensor]:
        """Class and mask logits after the last layer."""
        logits, masks = predictions
        return logits[-1], masks[-1]

    def losses_of(
        self, features: Sequence[Tensor], inputs: Tensor, data_samples: list[DetDataSample]
    ) -> dict[str, Tensor]:
        """All weighted losses from the maps of the backbone; :class:`Mask2FormerCriterion` names them."""
        logits, masks = self.decode(features)
        labels, segments = segments_of_batch(
            data_samples, self.num_classes, self.thing_classes, tuple(inputs.shape[-2:]), inputs.device
        )
        return self.criterion(logits, masks, labels, segments)

    @staticmethod
    def tiny(backbone: dict, maps: int) -> dict:
        """A small model, for the table of compatibility."""
        return dict(
            type="dense3d.Mask2Former",
            backbone=backbone,
            num_classes=5,
            thing_classes=(0, 1, 2),
            head=dict(TINY_HEAD),
        )
