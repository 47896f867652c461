"""ViDT without a neck: the body's [DET] tokens are the detections (RAM alone).

Song et al., ViDT (arXiv 2110.03921), table 2; losses and results are those of DETR (arXiv 2005.12872).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from mmengine.structures import InstanceData
from torch import Tensor
from torchvision.ops import box_convert

from dense3d.detection2d.vidt.body import padding_of, require_det_tokens, tiny_body
from dense3d.detection2d.vidt.decoder import prediction_mlp
from dense3d.detection2d.vidt.neck import TokenProjection
from dense3d.detection2d.vidt.targets import targets_of
from dense3d.errors import ConfigError
from dense3d.layers.assignment import assign, iou_and_giou, mean_number
from dense3d.layers.box_matching import BoxMatcher, BoxTargets
from dense3d.registry import MODELS

if TYPE_CHECKING:
    from mmdet.structures import DetDataSample

WEIGHTS = {"ce": 1.0, "bbox": 5.0, "giou": 2.0}


@MODELS.register_module()
class NeckFreeViDT(BaseModel):
    """Classes (softmax, with one more for no object) and boxes of every [DET] token.

    Args:
        backbone: config of a :class:`~dense3d.detection2d.vidt.ReconfiguredSwin`; its last merging is left
            out.
        num_classes: classes; labels are 0 ... num_classes - 1.
        embed_dims: channels of the heads, a multiple of 32.
        background_weight: of tokens without an object in the class loss.
        data_preprocessor: normalises and pads images.
        init_cfg: mmengine initialisation.

    Raises:
        ConfigError: channels that are no multiple of 32, a backbone without [DET] tokens.
    """

    tiny_needs: ClassVar[dict] = dict(body=dict(type="dense3d.Swin", version=1))

    def __init__(
        self,
        backbone: dict,
        num_classes: int = 80,
        embed_dims: int = 256,
        background_weight: float = 0.1,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        if embed_dims % 32:
            raise ConfigError(f"model.embed_dims={embed_dims}, but the norm of the heads has 32 groups")
        self.backbone = MODELS.build(backbone)
        require_det_tokens(self.backbone)
        if self.backbone.last_merging is not None:
            raise ConfigError("NeckFreeViDT has no use for the last merging: backbone.last_merging=False")
        self.num_classes, self.background_weight = num_classes, background_weight
        self.tgt_proj = TokenProjection(self.backbone.channels[-1], embed_dims)
        self.class_embed = prediction_mlp(embed_dims, num_classes + 1)
        self.bbox_embed = prediction_mlp(embed_dims, 4)
        self.matcher = BoxMatcher()

    def forward(
        self, inputs: Tensor, data_samples: list[DetDataSample] | None = None, mode: str = "tensor"
    ) -> dict[str, Tensor] | list[DetDataSample] | tuple[Tensor, Tensor]:
        """mmdet's entry: ``"loss"``, ``"predict"``, or ``"tensor"`` (:meth:`heads`)."""
        if mode == "loss":
            return self.loss(inputs, data_samples)
        if mode == "predict":
            return self.predict(inputs, data_samples)
        if mode == "tensor":
            return self.heads(inputs, data_samples)
        raise ConfigError(f'mode={mode!r} is none of "loss", "predict" and "tensor"')

    def heads(self, inputs: Tensor, data_samples: list[DetDataSample] | None = None) -> tuple[Tensor, Tensor]:
        """Logits ``(B, n, classes + 1)``, the last of no object, and boxes ``(B, n, 4)`` cxcywh in [0, 1]."""
        tokens = self.tgt_proj(self.backbone.encode(inputs, padding_of(inputs, data_samples)).det)
        return self.class_embed(tokens), self.bbox_embed(tokens).float().sigmoid()

    def loss(self, inputs: Tensor, data_samples: list[DetDataSample]) -> dict[str, Tensor]:
        """``loss_ce``, ``loss_bbox`` and ``loss_giou``, weighted."""
        logits, boxes = self.heads(inputs, data_samples)
        found = self.terms(logits, boxes, targets_of(data_samples, tuple(inputs.shape[-2:])))
        return {f"loss_{name}": WEIGHTS[name] * value for name, value in found.items()}

    @torch.compiler.disable  # the matching is scipy's, and numbers of targets change with every batch
    def terms(self, logits: Tensor, boxes: Tensor, targets: BoxTargets) -> dict[str, Tensor]:
        """Unweighted losses of logits ``(B, n, classes + 1)`` and boxes ``(B, n, 4)``."""
        logits = logits.float()
        _, distance, giou = self.matcher.costs(logits[None], boxes[None], targets)  # (1, B, n, m)
        likely = logits.softmax(-1)
        index = targets.labels[:, None].expand(-1, logits.shape[1], -1)  # (B, n, m)
        cost = WEIGHTS["bbox"] * distance + WEIGHTS["giou"] * giou - likely.gather(-1, index)[None]
        matches = assign(cost, targets.counts)
        place, target = (matches.image, matches.query), (matches.image, matches.target)
        labels = targets.labels.new_full(logits.shape[:2], self.num_classes)
        labels[place] = targets.labels[target]
        weight = logits.new_ones(self.num_classes + 1)
        weight[-1] = self.background_weight
        predicted, wanted = boxes[place], targets.boxes[target].float()
        giou = iou_and_giou(*(box_convert(b, "cxcywh", "xyxy") for b in (predicted, wanted)))[1]
        divisor = mean_number(sum(targets.counts), logits.device)
        return {
            "ce": F.cross_entropy(logits.transpose(1, 2), labels, weight),
            "bbox": (predicted - wanted).abs().sum() / divisor,
            "giou": (1 - giou).sum() / divisor,
        }

    def predict(
        self, inputs: Tensor, data_samples: list[DetDataSample], rescale: bool = True
    ) -> list[DetDataSample]:
        """A detection a [DET] token, the best first, in ``pred_instances``; boxes are not clipped.

        Args:
            inputs: ``(B, 3, H, W)``.
            data_samples: with ``img_shape``, and ``scale_factor`` where the image was resized.
            rescale: give boxes in the original image rather than in the resized one.
        """
        logits, boxes = self.heads(inputs, data_samples)
        scores, labels = logits.float().softmax(-1)[..., :-1].max(-1)
        for i, sample in enumerate(data_samples):
            scale = sample.get("scale_factor", (1.0, 1.0)) if rescale else (1.0, 1.0)
            unit = boxes.new_tensor([sample.img_shape[1] / scale[0], sample.img_shape[0] / scale[1]])
            order = scores[i].argsort(descending=True)
            corners = box_convert(boxes[i, order], "cxcywh", "xyxy") * unit.repeat(2)
            sample.pred_instances = InstanceData(
                bboxes=corners, scores=scores[i, order], labels=labels[i, order]
            )
        return data_samples

    @staticmethod
    def tiny(backbone: dict, maps: int) -> dict:
        """A small model with the sizes of a Swin, for the table of compatibility."""
        body = dict(tiny_body(backbone), last_merging=False)
        return dict(type="dense3d.NeckFreeViDT", backbone=body, num_classes=5, embed_dims=64)
