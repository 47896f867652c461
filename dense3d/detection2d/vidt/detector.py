"""ViDT and ViDT+: a Swin that carries [DET] tokens, and a decoder on its maps without an encoder.

Song et al., "ViDT: An Efficient and Effective Fully Transformer-based Object Detector", ICLR 2022 (arXiv
2110.03921), and its extension ViDT+ (arXiv 2204.07962); official code github.com/naver-ai/vidt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import torch
from mmengine.model import BaseModel
from mmengine.structures import InstanceData
from torch import Tensor, nn
from torchvision.ops import box_convert

from dense3d.detection2d.vidt.body import padding_of, require_det_tokens, tiny_body
from dense3d.detection2d.vidt.criterion import Predictions, ViDTCriterion
from dense3d.detection2d.vidt.decoder import (
    Decoded,
    Memory,
    TokenLabelHead,
    ViDTDecoder,
    apply_heads,
    copies,
    flatten_levels,
    of_layer,
    prediction_mlp,
)
from dense3d.detection2d.vidt.distillation import Teacher
from dense3d.detection2d.vidt.mask_vectors import MaskVectors, paste_masks
from dense3d.detection2d.vidt.neck import LevelProjection, PyramidFusion, TokenProjection
from dense3d.detection2d.vidt.targets import targets_of
from dense3d.errors import ConfigError
from dense3d.registry import MODELS

if TYPE_CHECKING:
    from mmdet.structures import DetDataSample

PRIOR = 0.01  # probability of every class at first
SHIFT = 1  # of labels in the rows of token labels, whose first says "any object"


@MODELS.register_module()
class ViDT(BaseModel):
    """ViDT; ViDT+ is ``pyramid_fusion``, ``mask_vectors``, ``iou_aware`` and ``token_label`` together.

    Args:
        backbone: config of a :class:`~dense3d.detection2d.vidt.ReconfiguredSwin`.
        num_classes: classes; labels are 0 ... num_classes - 1.
        embed_dims: channels of the decoder, a multiple of 32.
        num_heads: heads of the decoder's attentions.
        num_points: locations that a head samples on each level.
        feedforward_channels: channels within the feed-forward networks.
        decoder_layers: layers of the decoder.
        dropout: in the decoder.
        box_refine: boxes are refined layer by layer.
        pyramid_fusion: fuse the levels (EPFF) rather than project each for itself.
        mask_vectors: learn a vector a mask (UQR) and predict instance masks; arguments of
            :class:`~dense3d.detection2d.vidt.MaskVectors` and ``hidden_channels`` of its head; None: boxes
            alone.
        iou_aware: learn how well each box lies.
        token_label: learn the classes of tokens.
        token_classes: rows of their head. Default: ``num_classes + 1``, the first for "any object". A number:
            labels are rows themselves, and the first, of which there is no object, says "any object": so it
            is where labels are COCO's category ids, in official checkpoints with 91 rows.
        teacher: arguments of :class:`~dense3d.detection2d.vidt.Teacher`, whose tokens are matched.
        criterion: arguments of :class:`~dense3d.detection2d.vidt.ViDTCriterion`.
        with_cp: recompute the decoder's layers in the backward pass; the backbone has a switch of its own.
        test_cfg: ``max_per_img``, and ``decoder_layers`` to run fewer of them in inference.
        data_preprocessor: normalises and pads images.
        init_cfg: mmengine initialisation.

    Raises:
        ConfigError: channels that are no multiple of 32, a backbone without [DET] tokens.
    """

    tiny_needs: ClassVar[dict] = dict(task="instance", body=dict(type="dense3d.Swin", version=1))

    def __init__(
        self,
        backbone: dict,
        num_classes: int = 80,
        embed_dims: int = 256,
        num_heads: int = 8,
        num_points: int = 4,
        feedforward_channels: int = 1024,
        decoder_layers: int = 6,
        dropout: float = 0.1,
        box_refine: bool = True,
        pyramid_fusion: bool = False,
        mask_vectors: dict | None = None,
        iou_aware: bool = False,
        token_label: bool = False,
        token_classes: int | None = None,
        teacher: dict | None = None,
        criterion: dict | None = None,
        with_cp: bool = False,
        test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        if embed_dims % 32:
            raise ConfigError(f"model.embed_dims={embed_dims}, but the norms of the neck have 32 groups")
        self.backbone = MODELS.build(backbone)
        require_det_tokens(self.backbone)
        channels = self.backbone.out_channels
        self.neck = (PyramidFusion if pyramid_fusion else LevelProjection)(channels, embed_dims)
        self.tgt_proj = TokenProjection(self.backbone.channels[-1], embed_dims)
        self.query_pos_proj = TokenProjection(self.backbone.det_pos_embed.shape[-1], embed_dims)
        self.decoder = ViDTDecoder(
            decoder_layers,
            box_refine,
            with_cp,
            embed_dims=embed_dims,
            num_heads=num_heads,
            num_levels=len(channels),
            num_points=num_points,
            feedforward_channels=feedforward_channels,
            dropout=dropout,
        )
        self.num_classes = num_classes
        head = nn.Linear(embed_dims, num_classes)
        nn.init.constant_(head.bias, torch.logit(torch.tensor(PRIOR, device="cpu")).item())
        self.class_embed = copies(head, decoder_layers + 1, box_refine)
        self.iou_embed, self.vector_embed, self.token_head, self.coder = None, None, None, None
        if iou_aware:
            self.iou_embed = copies(prediction_mlp(embed_dims, 1), decoder_layers + 1, box_refine)
        if mask_vectors is not None:
            hidden = mask_vectors.get("hidden_channels", embed_dims)
            self.coder = MaskVectors(**{k: v for k, v in mask_vectors.items() if k != "hidden_channels"})
            self.vector_embed = prediction_mlp(embed_dims, len(self.coder.rows), hidden)
            # The official code means the box head here; released models were trained so.
            nn.init.constant_(self.vector_embed.layers[-1].bias[2:], -2.0)
        self.token_rows = None
        if token_label:
            self.token_rows = (num_classes + SHIFT, SHIFT) if token_classes is None else (token_classes, 0)
            self.token_head = TokenLabelHead(embed_dims, self.token_rows[0])
        self.teacher = None if teacher is None else Teacher(**teacher)
        self.criterion = ViDTCriterion(**(criterion or {}))
        self.test_cfg = {"max_per_img": 100, **(test_cfg or {})}

    def forward(
        self, inputs: Tensor, data_samples: list[DetDataSample] | None = None, mode: str = "tensor"
    ) -> dict[str, Tensor] | list[DetDataSample] | tuple[Tensor, Tensor]:
        """mmdet's entry: ``"loss"``, ``"predict"``, or ``"tensor"``.

        Args:
            inputs: normalised and padded images ``(B, 3, H, W)``.
            data_samples: with ``img_shape``, for losses ``gt_instances``; without them nothing is padding.
            mode: what to return; for ``"tensor"`` logits ``(layers + 1, B, Q, classes)`` and boxes
                ``(layers + 1, B, Q, 4)``, cxcywh in [0, 1] of the image's content, the body's own first.
        """
        if mode == "loss":
            return self.loss(inputs, data_samples)
        if mode == "predict":
            return self.predict(inputs, data_samples)
        if mode == "tensor":
            decoded = self.decode(inputs, data_samples)[0]
            return apply_heads(self.class_embed, decoded.states), decoded.boxes
        raise ConfigError(f'mode={mode!r} is none of "loss", "predict" and "tensor"')

    def decode(
        self,
        inputs: Tensor,
        data_samples: Sequence[DetDataSample] | None = None,
        layers: int | None = None,
    ) -> tuple[Decoded, Memory]:
        """Run body, neck and decoder; of the latter the first ``layers``, all unless given."""
        padding = padding_of(inputs, data_samples)
        tokens = self.backbone.encode(inputs, padding)
        memory = flatten_levels(self.neck(tokens.maps), padding)
        query = self.tgt_proj(tokens.det)
        position = self.query_pos_proj(tokens.det_position).expand(len(query), -1, -1)
        return self.decoder(query, position, memory, layers), memory

    def heads(self, decoded: Decoded, memory: Memory | None = None) -> Predictions:
        """What all heads say; labels of tokens where ``memory`` is given."""
        states = decoded.states
        return Predictions(
            logits=apply_heads(self.class_embed, states),
            boxes=decoded.boxes,
            ious=None if self.iou_embed is None else apply_heads(self.iou_embed, states),
            vectors=None if self.vector_embed is None else self.vector_embed(states),
            tokens=None if memory is None or self.token_head is None else self.token_head(memory),
        )

    def loss(self, inputs: Tensor, data_samples: list[DetDataSample]) -> dict[str, Tensor]:
        """All weighted losses; their sum is the training loss.

        Keys are ``loss_ce``, ``loss_bbox``, ``loss_giou`` and, for ViDT+, ``loss_iouaware`` and
        ``loss_vector`` of the last layer, with ``_0`` of the body's tokens and ``_1`` ... of the layers
        before the last; ``loss_token_focal``, ``loss_token_dice``; ``loss_distil`` with a teacher.

        Raises:
            DataError: ViDT+ is to learn from annotations without masks.
        """
        decoded, memory = self.decode(inputs, data_samples)
        targets = targets_of(
            data_samples, tuple(inputs.shape[-2:]), self.coder, self.token_rows, memory.shapes
        )
        losses = self.criterion(self.heads(decoded, memory), targets)
        if self.teacher is not None:
            losses["loss_distil"] = self.teacher.loss(decoded, memory, inputs, data_samples)
        return losses

    def predict(
        self, inputs: Tensor, data_samples: list[DetDataSample], rescale: bool = True
    ) -> list[DetDataSample]:
        """Detections of each image, the best first, in ``pred_instances``; boxes are not clipped.

        A token may come with several classes. With mask vectors there are ``masks``, boolean
        ``(N, height, width)``.

        Args:
            inputs: ``(B, 3, H, W)``.
            data_samples: with ``img_shape``, and ``scale_factor`` where the image was resized.
            rescale: in the original image rather than in the resized one.
        """
        decoded, _ = self.decode(inputs, data_samples, self.test_cfg.get("decoder_layers"))
        states, boxes = decoded.states[-1], decoded.boxes[-1]
        logits = of_layer(self.class_embed, len(decoded.states) - 1)(states)
        vectors = None if self.vector_embed is None else self.vector_embed(states)
        results = []
        for i, sample in enumerate(data_samples):
            scale = sample.get("scale_factor", (1.0, 1.0)) if rescale else (1.0, 1.0)
            height, width = (side / factor for side, factor in zip(sample.img_shape[:2], scale[::-1]))
            vector = None if vectors is None else vectors[i]
            results.append(self.detections(logits[i], boxes[i], vector, (height, width)))
        return self.add_pred_to_datasample(data_samples, results)

    def detections(
        self, logits: Tensor, boxes: Tensor, vectors: Tensor | None, size: tuple[float, float]
    ) -> InstanceData:
        """The best detections of one image.

        Args:
            logits: ``(Q, classes)``.
            boxes: ``(Q, 4)`` cxcywh in [0, 1].
            vectors: of masks ``(Q, K)``.
            size: height and width of the image in pixels.
        """
        number = min(self.test_cfg["max_per_img"], logits.numel())
        scores, index = logits.float().sigmoid().flatten().topk(number)
        query, labels = index // logits.shape[-1], index % logits.shape[-1]
        corners = box_convert(boxes[query].float(), "cxcywh", "xyxy")
        corners = corners * corners.new_tensor(size).flip(0).repeat(2)
        result = InstanceData(bboxes=corners, scores=scores, labels=labels)
        if vectors is not None:
            masks = self.coder.decode(vectors[query])
            result.masks = paste_masks(masks, corners, tuple(round(side) for side in size))
        return result

    def add_pred_to_datasample(
        self, data_samples: list[DetDataSample], results_list: list[InstanceData]
    ) -> list[DetDataSample]:
        """Put each image's detections into its data sample, as mmdet's detectors do."""
        for sample, result in zip(data_samples, results_list):
            sample.pred_instances = result
        return data_samples

    @staticmethod
    def tiny(backbone: dict, maps: int) -> dict:
        """A small ViDT+ with the sizes of a Swin, for the table of compatibility."""
        return dict(
            type="dense3d.ViDT",
            backbone=tiny_body(backbone),
            num_classes=5,
            embed_dims=64,
            feedforward_channels=64,
            decoder_layers=2,
            pyramid_fusion=True,
            mask_vectors=dict(num_coefficients=36, side=32),
            iou_aware=True,
            token_label=True,
            test_cfg=dict(max_per_img=20),
        )
