"""Mask2Former for panoptic and instance segmentation on any backbone.

Cheng et al., "Masked-attention Mask Transformer for Universal Image Segmentation", CVPR 2022
(arXiv:2112.01527; official code github.com/facebookresearch/Mask2Former).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from mmengine.model import BaseModel
from mmengine.structures import PixelData
from torch import Tensor

from dense3d.errors import ConfigError
from dense3d.registry import MODELS
from dense3d.segmentation.mask2former.criterion import Criterion
from dense3d.segmentation.mask2former.postprocess import (
    PanopticRule,
    instances,
    masks_of_image,
    panoptic,
    semantic,
)
from dense3d.segmentation.targets import segments_of_batch

if TYPE_CHECKING:
    from mmdet.structures import DetDataSample

STRIDES = (4, 8, 16, 32)
RESULTS = {"panoptic_on": True, "instance_on": False, "semantic_on": False, "max_per_image": 100}


@MODELS.register_module()
class Mask2Former(BaseModel):
    """Mask2Former; pixel and transformer decoder are mmdet's.

    Args:
        backbone: config of the image backbone, with maps of strides 4, 8, 16 and 32.
        num_classes: K, things and stuff together; labels are 0 ... K - 1.
        thing_classes: labels that are things; all of them for instance segmentation.
        head: arguments of :class:`Mask2FormerHead`: queries, channels, layers.
        criterion: arguments of :class:`Criterion`.
        test_cfg: ``panoptic_on``, ``instance_on``, ``semantic_on``, ``max_per_image`` of instances, and the
            thresholds of :class:`PanopticRule`.
        data_preprocessor: normalises images and pads them to a multiple of 32.
        init_cfg: mmengine initialisation.

    Raises:
        ConfigError: the backbone does not have the four maps.
    """

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
        from dense3d.segmentation.mask2former.head import Mask2FormerHead

        super().__init__(data_preprocessor, init_cfg)
        self.backbone = MODELS.build(backbone)
        if tuple(self.backbone.out_strides) != STRIDES:
            raise ConfigError(
                f"Mask2Former needs maps of strides {STRIDES}, but {type(self.backbone).__name__} has "
                f"{tuple(self.backbone.out_strides)}: set model.backbone.out_strides or out_indices"
            )
        self.panoptic_head = Mask2FormerHead(self.backbone.out_channels, num_classes, **(head or {}))
        self.num_classes, self.thing_classes = num_classes, frozenset(thing_classes)
        self.criterion = Criterion(num_classes, **(criterion or {}))
        test_cfg = dict(test_cfg or {})
        self.results = {key: test_cfg.pop(key, default) for key, default in RESULTS.items()}
        self.rule = PanopticRule(**test_cfg)

    def forward(
        self, inputs: Tensor, data_samples: list[DetDataSample] | None = None, mode: str = "tensor"
    ) -> dict[str, Tensor] | list[DetDataSample] | tuple[list[Tensor], list[Tensor]]:
        """mmdet's entry: ``"loss"``, ``"predict"``, or ``"tensor"`` (:meth:`predict_layers`).

        Args:
            inputs: normalised and padded images ``(B, 3, H, W)``.
            data_samples: with ``img_shape`` and ``ori_shape``, for losses with annotations.
            mode: what to return.
        """
        if mode == "loss":
            return self.loss(inputs, data_samples)
        if mode == "predict":
            return self.predict(inputs, data_samples)
        if mode == "tensor":
            return self.predict_layers(inputs)
        raise ConfigError(f'mode={mode!r} is none of "loss", "predict" and "tensor"')

    def predict_layers(self, inputs: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Class logits ``(B, Q, K + 1)`` and mask logits ``(B, Q, h, w)`` before and after each layer."""
        return self.decode(self.backbone(inputs))

    def decode(self, features: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """:meth:`predict_layers` from the maps of the backbone."""
        return self.panoptic_head(list(features), [])

    def loss(self, inputs: Tensor, data_samples: list[DetDataSample]) -> dict[str, Tensor]:
        """All weighted losses; their sum is the training loss. See :class:`Criterion` for their names."""
        return self.losses_of(self.backbone(inputs), inputs, data_samples)

    def losses_of(
        self, features: Sequence[Tensor], inputs: Tensor, data_samples: list[DetDataSample]
    ) -> dict[str, Tensor]:
        """:meth:`loss` from the maps of the backbone."""
        logits, masks = self.decode(features)
        labels, segments = segments_of_batch(
            data_samples, self.num_classes, self.thing_classes, tuple(inputs.shape[-2:]), inputs.device
        )
        return self.criterion(logits, masks, labels, segments)

    @torch.no_grad()
    def predict(
        self, inputs: Tensor, data_samples: list[DetDataSample], rescale: bool = True
    ) -> list[DetDataSample]:
        """Results in the data samples, as ``test_cfg`` asks for them.

        ``pred_panoptic_seg`` in mmdet's coding, with the list ``segments`` beside it; ``pred_instances``;
        ``pred_sem_seg``.

        Args:
            inputs: ``(B, 3, H, W)``.
            data_samples: with ``img_shape``, and ``ori_shape`` where images were resized.
            rescale: give results at the size of the original image rather than of the resized one.
        """
        return self.results_of(self.backbone(inputs), inputs, data_samples, rescale)

    def results_of(
        self, features: Sequence[Tensor], inputs: Tensor, data_samples: list[DetDataSample], rescale: bool
    ) -> list[DetDataSample]:
        """:meth:`predict` from the maps of the backbone."""
        logits, masks = self.decode(features)
        for sample, one_logits, one_masks in zip(data_samples, logits[-1], masks[-1]):
            content = sample.img_shape[:2]
            output = sample.get("ori_shape", content)[:2] if rescale else content
            one_masks = masks_of_image(one_masks.float(), tuple(inputs.shape[-2:]), content, output)
            self._add_results(sample, one_logits.float(), one_masks)
        return data_samples

    def _add_results(self, sample: DetDataSample, logits: Tensor, masks: Tensor) -> None:
        panoptic_on = self.results["panoptic_on"]
        if panoptic_on:
            result = panoptic(logits, masks, self.thing_classes, self.rule)
            sample.pred_panoptic_seg = result.encoded(self.num_classes)
            sample.set_field(result.segments, "segments", dtype=list)
        if self.results["instance_on"]:
            kept = self.thing_classes if panoptic_on else None
            sample.pred_instances = instances(logits, masks, self.results["max_per_image"], kept)
        if self.results["semantic_on"]:
            sample.pred_sem_seg = PixelData(sem_seg=semantic(logits, masks).argmax(0, keepdim=True))
