"""kMaX-DeepLab: a k-means mask transformer for panoptic segmentation.

Yu et al., "k-means Mask Transformer", ECCV 2022 (arXiv:2207.04044; official PyTorch code
github.com/bytedance/kmax-deeplab).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from mmengine.structures import PixelData
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from dense3d.errors import ConfigError
from dense3d.registry import MODELS
from dense3d.segmentation.kmax_deeplab.criterion import Criterion
from dense3d.segmentation.kmax_deeplab.decoder import Decoder
from dense3d.segmentation.kmax_deeplab.layers import NORM
from dense3d.segmentation.kmax_deeplab.pixel_decoder import PixelDecoder
from dense3d.segmentation.kmax_deeplab.postprocess import (
    PanopticRule,
    instances,
    masks_of_image,
    panoptic,
    semantic,
)
from dense3d.segmentation.kmax_deeplab.predictor import Prediction
from dense3d.segmentation.kmax_deeplab.semantic_head import CoarseSemanticHead, SemanticHead
from dense3d.segmentation.kmax_deeplab.targets import panoptic_targets

if TYPE_CHECKING:
    from mmdet.structures import DetDataSample

SEMANTIC_HEADS = {"aspp": SemanticHead, "coarse": CoarseSemanticHead}
SEMANTIC_STRIDES = (32, 8, 4)
RESULTS = {"panoptic_on": True, "instance_on": False, "semantic_on": False, "max_per_image": 100}
DECODER_MAPS = 3  # the coarsest, of strides 32, 16 and 8


@MODELS.register_module()
class KMaXDeepLab(BaseModel):
    """kMaX-DeepLab on any backbone with maps of strides 4, 8, 16 and 32.

    Args:
        backbone: config of the image backbone.
        num_classes: K, things and stuff together; labels are 0 ... K - 1.
        thing_classes: labels that are things.
        num_queries: N, the largest number of segments.
        pixel_decoder: arguments of :class:`PixelDecoder` beside the channels.
        layers_per_map: decoder layers on each of the three coarsest maps.
        drop_path: of the residual branches of the decoder.
        semantic_head: ``"aspp"``, ``"coarse"`` (Cityscapes), or None: no auxiliary head.
        criterion: arguments of :class:`Criterion`.
        input_size: inputs are padded at the right and at the bottom to at least this ``(height, width)``.
        batch_norm: constants of every batch norm, those of the backbone included.
        test_cfg: ``panoptic_on``, ``instance_on``, ``semantic_on``, ``max_per_image`` of instances, and the
            thresholds of :class:`PanopticRule`.
        data_preprocessor: normalises and pads images.
        init_cfg: mmengine initialisation.

    Raises:
        ConfigError: the backbone lacks one of the strides, or an argument names nothing that exists.
    """

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
        super().__init__(data_preprocessor, init_cfg)
        self.backbone = MODELS.build(backbone)
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
        self.pixel_decoder = PixelDecoder([channels[i] for i in self.order], **(pixel_decoder or {}))
        widths = self.pixel_decoder.out_channels
        self.decoder = Decoder(
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
        self.num_classes, self.thing_classes = num_classes, frozenset(thing_classes)
        self.criterion = Criterion(num_classes, **(criterion or {}))
        self.input_size = input_size
        test_cfg = dict(test_cfg or {})
        self.results = {key: test_cfg.pop(key, default) for key, default in RESULTS.items()}
        self.rule = PanopticRule(**test_cfg)
        constants = NORM | (batch_norm or {})
        for module in self.modules():
            if isinstance(module, _BatchNorm):
                module.eps, module.momentum = constants["eps"], constants["momentum"]

    def forward(
        self, inputs: Tensor, data_samples: list[DetDataSample] | None = None, mode: str = "tensor"
    ) -> dict[str, Tensor] | list[DetDataSample] | list[Prediction]:
        """mmdet's entry: ``"loss"``, ``"predict"``, or ``"tensor"`` (the predictions of all layers).

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
            return self.predict_layers(self.backbone(self.pad(inputs)))
        raise ConfigError(f'mode={mode!r} is none of "loss", "predict" and "tensor"')

    def pad(self, inputs: Tensor) -> Tensor:
        """Inputs ``(B, 3, H, W)`` of at least ``input_size``; zero is the mean colour."""
        if self.input_size is None:
            return inputs
        missing = [max(0, wanted - have) for wanted, have in zip(self.input_size, inputs.shape[-2:])]
        return F.pad(inputs, (0, missing[1], 0, missing[0]))

    def predict_layers(self, features: Sequence[Tensor]) -> list[Prediction]:
        """Predictions of the decoder layers in turn, and the final one.

        Args:
            features: maps of the backbone.
        """
        maps = self.pixel_decoder([features[i] for i in self.order])
        return self.decoder([*maps[:DECODER_MAPS], maps[-1]])

    def loss(self, inputs: Tensor, data_samples: list[DetDataSample]) -> dict[str, Tensor]:
        """All weighted losses; their sum is the training loss. See :class:`Criterion` for their names."""
        inputs = self.pad(inputs)
        features = self.backbone(inputs)
        predictions = self.predict_layers(features)
        logits = None
        if self.semantic_head is not None:
            logits = self.semantic_head([features[i] for i in self.semantic_maps])
        targets = panoptic_targets(
            data_samples,
            self.num_classes,
            self.thing_classes,
            tuple(inputs.shape[-2:]),
            inputs.device,
        )
        return self.criterion(predictions, logits, targets)

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
        inputs = self.pad(inputs)
        final = self.predict_layers(self.backbone(inputs))[-1]
        for sample, logits, masks in zip(data_samples, final.logits, final.masks):
            content = sample.img_shape[:2]
            output = sample.get("ori_shape", content)[:2] if rescale else content
            masks = masks_of_image(masks.float(), tuple(inputs.shape[-2:]), content, output)
            self._add_results(sample, logits.float(), masks)
        return data_samples

    def _add_results(self, sample: DetDataSample, logits: Tensor, masks: Tensor) -> None:
        panoptic_on = self.results["panoptic_on"]
        if panoptic_on:
            result = panoptic(logits, masks, self.thing_classes, self.rule)
            sample.pred_panoptic_seg = result.encoded(self.num_classes)
            sample.set_field(result.segments, "segments", dtype=list)
        if self.results["instance_on"]:
            kept = self.thing_classes if panoptic_on else None
            sample.pred_instances = instances(logits, masks, self.rule, self.results["max_per_image"], kept)
        if self.results["semantic_on"]:
            sample.pred_sem_seg = PixelData(sem_seg=semantic(logits, masks).argmax(0, keepdim=True))
