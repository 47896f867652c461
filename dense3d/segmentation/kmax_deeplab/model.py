"""kMaX-DeepLab: a k-means mask transformer for panoptic segmentation.

Yu et al., "k-means Mask Transformer", ECCV 2022 (arXiv:2207.04044; official PyTorch code
github.com/bytedance/kmax-deeplab).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from dense3d.errors import ConfigError
from dense3d.registry import MODELS
from dense3d.segmentation.kmax_deeplab.criterion import KMaXCriterion
from dense3d.segmentation.kmax_deeplab.decoder import KMaXDecoder, Prediction
from dense3d.segmentation.kmax_deeplab.layers import NORM, resize
from dense3d.segmentation.kmax_deeplab.matching import panoptic_targets
from dense3d.segmentation.kmax_deeplab.pixel_decoder import KMaXPixelDecoder
from dense3d.segmentation.kmax_deeplab.semantic_head import CoarseSemanticHead, SemanticHead
from dense3d.segmentation.panoptic_map import PanopticMap
from dense3d.segmentation.panoptic_model import PanopticModel, PanopticPostProcess

if TYPE_CHECKING:
    from mmdet.structures import DetDataSample

SEMANTIC_HEADS = {"aspp": SemanticHead, "coarse": CoarseSemanticHead}
SEMANTIC_STRIDES = (32, 8, 4)
DECODER_MAPS = 3  # the coarsest, of strides 32, 16 and 8


@dataclass(frozen=True)
class KMaXPostProcess(PanopticPostProcess):
    """Results of kMaX-DeepLab: at each pixel the probabilities of all queries sum to 1.

    Attributes:
        pixel_threshold: probability above which a pixel may belong to a query's mask.
        thing_threshold: probability above which things are taken.
        stuff_threshold: probability above which stuff is taken.
        overlap_threshold: share of a mask that has to be free still.
        class_power: power of the class probability in the order of queries.
        mask_power: power of the mean probability inside the mask in that order.
    """

    pixel_threshold: float = 0.4
    thing_threshold: float = 0.7
    stuff_threshold: float = 0.5
    overlap_threshold: float = 0.8
    class_power: float = 1.0
    mask_power: float = 1.0

    def resize(self, masks: Tensor, size: tuple[int, int], padded: tuple[int, int]) -> Tensor:
        """The width of the network's input decides on the alignment of corners."""
        return resize(masks, size, odd=padded[1])

    def probabilities(self, masks: Tensor) -> Tensor:
        """Soft-max over the queries."""
        return masks.float().softmax(0)

    def binary(self, masks: Tensor, probabilities: Tensor) -> Tensor:
        """Pixels above the threshold."""
        return probabilities > self.pixel_threshold

    def panoptic(self, logits: Tensor, masks: Tensor, things: Collection[int]) -> PanopticMap:
        """Paste the masks one by one, the most certain first, on pixels that are still free.

        The official order and thresholds: deeplab2's "mask-wise merging" without limits of area.
        """
        scores, labels = logits.float().softmax(-1)[:, :-1].max(-1)
        probabilities = self.probabilities(masks)
        binary = self.binary(masks, probabilities)
        area = binary.flatten(1).sum(1)
        quality = (probabilities * binary).flatten(1).sum(1) / area.clamp(min=1)
        order = (scores**self.class_power * quality**self.mask_power).argsort(descending=True)
        is_thing = torch.isin(labels, torch.tensor(sorted(things), device=labels.device))
        # The thresholds are double-precision numbers: 0.7 is no float32.
        things_certain, stuff_certain = (
            scores.double() > t for t in (self.thing_threshold, self.stuff_threshold)
        )
        certain = torch.where(is_thing, things_certain, stuff_certain)
        result = PanopticMap(tuple(masks.shape[-2:]), things, masks.device)
        for query in order[certain[order] & (area[order] > 0)].tolist():
            free = binary[query] & (result.ids == 0)
            if free.sum() > area[query].float() * self.overlap_threshold:
                result.add(int(labels[query]), free)
        return result


@MODELS.register_module()
class KMaXDeepLab(PanopticModel):
    """kMaX-DeepLab on any backbone with maps of strides 4, 8, 16 and 32.

    Args:
        backbone: config of the image backbone.
        num_classes: K, things and stuff together; labels are 0 ... K - 1.
        thing_classes: labels that are things.
        num_queries: N, the largest number of segments.
        pixel_decoder: arguments of :class:`KMaXPixelDecoder` beside the channels.
        layers_per_map: decoder layers on each of the three coarsest maps.
        drop_path: of the residual branches of the decoder.
        semantic_head: ``"aspp"``, ``"coarse"`` (Cityscapes), or None: no auxiliary head.
        criterion: arguments of :class:`KMaXCriterion`.
        input_size: inputs are padded at the right and at the bottom to at least this ``(height, width)``.
        batch_norm: constants of every batch norm, those of the backbone included.
        test_cfg: ``panoptic_on``, ``instance_on``, ``semantic_on``, ``max_per_image`` of instances, and the
            thresholds of :class:`KMaXPostProcess`.
        data_preprocessor: normalises and pads images.
        init_cfg: mmengine initialisation.

    Raises:
        ConfigError: the backbone lacks one of the strides, or an argument names nothing that exists.
    """

    criterion_class, post_process_class = KMaXCriterion, KMaXPostProcess
    tiny_needs: ClassVar[dict] = dict(task="panoptic", strides=(4, 8, 16, 32))

    def __init__(
        self,
        backbone: dict,
        num_classes: int,
        thing_classes: Sequence[int],
        num_queries: int = 128,
        pixel_decoder: dict | None = None,
        layers_per_map: Sequence[int] = (2, 2, 2),
        drop_path: float = 0.2,
        semantic_head: str | None = "aspp",
        criterion: dict | None = None,
        input_size: tuple[int, int] | None = None,
        batch_norm: dict | None = None,
        test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(
            backbone, num_classes, thing_classes, criterion, test_cfg, data_preprocessor, init_cfg
        )
        channels, strides = self.backbone.out_channels, self.backbone.out_strides
        missing = [s for s in (*SEMANTIC_STRIDES, 16) if s not in strides]
        if missing:
            raise ConfigError(
                f"kMaX-DeepLab needs maps of strides 4, 8, 16 and 32, but {type(self.backbone).__name__} has "
                f"{strides}: add {missing[0]} to model.backbone.out_strides or out_indices"
            )
        # From coarse to fine; of maps with one stride, the one that the backbone names first comes first.
        self.order = sorted(range(len(strides)), key=lambda i: -strides[i])
        self.semantic_maps = [len(strides) - 1 - strides[::-1].index(s) for s in SEMANTIC_STRIDES]
        self.pixel_decoder = KMaXPixelDecoder([channels[i] for i in self.order], **(pixel_decoder or {}))
        widths = self.pixel_decoder.out_channels
        self.decoder = KMaXDecoder(
            num_classes,
            num_queries,
            (*widths[:DECODER_MAPS], widths[-1]),
            layers_per_map,
            drop_path=drop_path,
        )
        self.semantic_head = None
        if semantic_head is not None:
            if semantic_head not in SEMANTIC_HEADS:
                raise ConfigError(
                    f"model.semantic_head={semantic_head!r}: choose {', '.join(SEMANTIC_HEADS)} or None"
                )
            in_channels = [channels[i] for i in self.semantic_maps]
            self.semantic_head = SEMANTIC_HEADS[semantic_head](in_channels, num_classes)
        self.input_size = input_size
        constants = NORM | (batch_norm or {})
        for module in self.modules():
            if isinstance(module, _BatchNorm):
                module.eps, module.momentum = constants["eps"], constants["momentum"]

    def pad(self, inputs: Tensor) -> Tensor:
        """Inputs ``(B, 3, H, W)`` of at least ``input_size``; zero is the mean colour."""
        if self.input_size is None:
            return inputs
        missing = [max(0, wanted - have) for wanted, have in zip(self.input_size, inputs.shape[-2:])]
        return F.pad(inputs, (0, missing[1], 0, missing[0]))

    def decode(self, features: Sequence[Tensor]) -> list[Prediction]:
        """Predictions of the decoder layers in turn, and the final one.

        Args:
            features: maps of the backbone.
        """
        maps = self.pixel_decoder([features[i] for i in self.order])
        return self.decoder([*maps[:DECODER_MAPS], maps[-1]])

    def final(self, predictions: list[Prediction]) -> tuple[Tensor, Tensor]:
        """Class and mask logits of the final prediction."""
        return predictions[-1].logits, predictions[-1].masks

    def losses_of(
        self, features: Sequence[Tensor], inputs: Tensor, data_samples: list[DetDataSample]
    ) -> dict[str, Tensor]:
        """All weighted losses from the maps of the backbone; :class:`KMaXCriterion` names them."""
        predictions = self.decode(features)
        logits = None
        if self.semantic_head is not None:
            logits = self.semantic_head([features[i] for i in self.semantic_maps])
        targets = panoptic_targets(
            data_samples, self.num_classes, self.thing_classes, tuple(inputs.shape[-2:]), inputs.device
        )
        return self.criterion(predictions, logits, targets)

    @staticmethod
    def tiny(backbone: dict, maps: int) -> dict:
        """A small model, for the table of compatibility."""
        return dict(
            type="dense3d.KMaXDeepLab",
            backbone=backbone,
            num_classes=5,
            thing_classes=(0, 1, 2),
            num_queries=20,
            layers_per_map=(1, 1, 1),
        )
