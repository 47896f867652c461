"""Mask2Former as a decode head of mmseg's ``EncoderDecoder``, for semantic segmentation.

Cheng et al., CVPR 2022 (arXiv:2112.01527). mmseg's own head has mmdet's losses, matching and initialisation;
this one is the network and the criterion of :class:`~dense3d.segmentation.mask2former.Mask2Former`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor

from dense3d.registry import MODELS
from dense3d.segmentation.mask2former.criterion import Mask2FormerCriterion
from dense3d.segmentation.mask2former.head import TINY_HEAD, Mask2FormerHead
from dense3d.segmentation.panoptic_map import semantic_scores
from dense3d.segmentation.targets import check_labels, segments_of_classes

if TYPE_CHECKING:
    from mmseg.structures import SegDataSample

MASK_STRIDE = 4


@MODELS.register_module()
class Mask2FormerSemanticHead(BaseModule):
    """Class scores of pixels from queries, each with a class and a mask.

    Args:
        in_channels: channels of the maps of strides 4, 8, 16 and 32.
        num_classes: K, without void.
        head: arguments of :class:`Mask2FormerHead`: queries, channels, layers.
        criterion: arguments of :class:`Mask2FormerCriterion`.
        ignore_index: label of pixels that belong to no class.
        init_cfg: mmengine initialisation.
    """

    tiny_needs: ClassVar[dict] = dict(task="semantic", strides=(4, 8, 16, 32))

    align_corners = False  # of the resizing that mmseg does with the scores

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        head: dict | None = None,
        criterion: dict | None = None,
        ignore_index: int = 255,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.network = Mask2FormerHead(in_channels, num_classes, **(head or {}))
        self.criterion = Mask2FormerCriterion(num_classes, **(criterion or {}))
        self.num_classes = self.out_channels = num_classes
        self.ignore_index = ignore_index

    def forward(self, inputs: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Class logits ``(B, Q, K + 1)`` and mask logits ``(B, Q, h, w)`` before and after each layer.

        Args:
            inputs: the backbone's maps.
        """
        return self.network(list(inputs), [])

    def loss(
        self, inputs: Sequence[Tensor], batch_data_samples: list[SegDataSample], train_cfg: dict | None = None
    ) -> dict[str, Tensor]:
        """All weighted losses; each class of an image is one segment. See :class:`Mask2FormerCriterion`.

        Args:
            inputs: the backbone's maps.
            batch_data_samples: with ``gt_sem_seg`` at the size of the network's input.
            train_cfg: not used; mmseg hands it over.

        Raises:
            DataError: a label is not among the classes.
        """
        logits, masks = self(inputs)
        found = [self._segments(sample) for sample in batch_data_samples]
        return self.criterion(logits, masks, [labels for labels, _ in found], [parts for _, parts in found])

    def predict(
        self, inputs: Sequence[Tensor], batch_img_metas: list[dict], test_cfg: dict | None = None
    ) -> Tensor:
        """Scores of the classes ``(B, K, H, W)`` at the size of the network's input.

        They are not soft-maxed; mmseg crops and resizes them, as the official code does with them.

        Args:
            inputs: the backbone's maps.
            batch_img_metas: with ``pad_shape`` or ``img_shape``, the size of the network's input.
            test_cfg: not used; mmseg hands it over.
        """
        logits, masks = (values[-1].float() for values in self(inputs))
        masks = F.interpolate(masks, _input_size(batch_img_metas[0], masks), mode="bilinear")
        return torch.stack([semantic_scores(one, mask.sigmoid()) for one, mask in zip(logits, masks)])

    def _segments(self, sample: SegDataSample) -> tuple[Tensor, Tensor]:
        """Classes ``(n,)`` of an image and their masks ``(n, H, W)``."""
        labels, masks = segments_of_classes(sample.gt_sem_seg.data[0].long(), ignored={self.ignore_index})
        check_labels(labels, self.num_classes, sample, "model.decode_head.num_classes")
        return labels, masks

    @staticmethod
    def tiny(backbone: dict, maps: int) -> dict:
        """A small model of mmseg's with this head, for the table of compatibility."""
        return dict(
            _base_="mmseg::mask2former/mask2former_r50_8xb2-160k_ade20k-512x512.py",
            decode_head=dict(
                type="dense3d.Mask2FormerSemanticHead",
                in_channels="backbone",
                num_classes=5,
                head=dict(TINY_HEAD),
                criterion=dict(num_points=64),
            ),
        )


def _input_size(meta: dict, masks: Tensor) -> tuple[int, int]:
    """Size of the network's input, whose masks are a quarter of it.

    In windows over an image ``pad_shape`` stays that of the whole image and ``img_shape`` is the window's.
    """
    rows, columns = masks.shape[-2:]
    for key in ("pad_shape", "img_shape"):
        height, width = meta.get(key, (0, 0))[:2]
        if (-(-height // MASK_STRIDE), -(-width // MASK_STRIDE)) == (rows, columns):
            return height, width
    return rows * MASK_STRIDE, columns * MASK_STRIDE
