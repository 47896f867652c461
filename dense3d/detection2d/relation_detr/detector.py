"""Relation-DETR: DINO whose decoder sees how boxes relate, trained with a second, one-to-many set of queries.

Hou et al., "Relation DETR: Exploring Explicit Position Relation Prior for Object Detection", ECCV 2024
(arXiv 2407.11699; official code github.com/xiuqhou/Relation-DETR).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from mmengine.model import BaseModel
from mmengine.structures import InstanceData
from torch import Tensor, nn
from torchvision.ops import box_convert, nms

from dense3d.detection2d.relation_detr.criterion import Branch, SetCriterion, TrainingLosses
from dense3d.detection2d.relation_detr.denoising import ContrastiveDenoising, DenoisingQueries
from dense3d.detection2d.relation_detr.queries import ProposalSelection, QueryHead, Selection
from dense3d.detection2d.relation_detr.transformer import Encoder, RelationDecoder
from dense3d.errors import ConfigError
from dense3d.layers.box_matching import BoxTargets
from dense3d.layers.deformable_attention import SpatialShapes
from dense3d.layers.padded_levels import content_centres, padding_masks, proposal_boxes, valid_ratios
from dense3d.registry import MODELS

if TYPE_CHECKING:
    from mmdet.structures import DetDataSample

RELATION = dict(type="PositionRelation", embed_dims=16, num_heads=8, temperature=10000.0, scale=100.0)
HYBRID = dict(num_queries=1500, assign=6)
DENOISING = dict(num_queries=100, label_noise=0.5, box_noise=1.0)
POSITION = dict(
    type="mmdet.SinePositionalEncoding",
    num_feats=128,
    temperature=10000,
    normalize=True,
    offset=-0.5,
    eps=1e-6,
)


@dataclass
class EncodedImages:
    """What the encoder knows about a batch of images."""

    memory: Tensor  # (B, S, C)
    spatial_shapes: SpatialShapes
    padding_mask: Tensor | None  # (B, S), True where padded; None: nothing is
    valid_ratios: Tensor  # (B, L, 2)
    proposals: Tensor  # (B, S, 4)


@MODELS.register_module()
class RelationDETR(BaseModel):
    """Relation-DETR on any backbone; each of its parts can be switched off alone.

    Args:
        backbone: config of the image backbone.
        neck: config of what maps its features to ``num_levels`` maps of ``embed_dims`` channels.
        num_classes: classes; labels are 0 ... num_classes - 1.
        num_queries: detections that the decoder refines.
        embed_dims: channels of the transformer.
        num_levels: levels of the feature pyramid.
        num_heads: heads of all attentions.
        num_points: locations that a head samples on each level.
        feedforward_channels: channels within the feed-forward networks.
        encoder_layers: layers of the encoder.
        decoder_layers: layers of the decoder; the relation acts from the second on.
        memory_fusion: mix all layers of the encoder into the memory.
        query_scale: scale the queries' position by their content, from the second layer on.
        relation: relation encoder of the decoder; None: plain self-attention.
        hybrid: second set of queries for training, ``num_queries`` of them, to which each target is
            assigned ``assign`` times; None: no such set.
        denoising: arguments of :class:`ContrastiveDenoising`; None: no denoising queries.
        criterion: arguments of :class:`SetCriterion`.
        positional_encoding: sine encoding of feature maps.
        with_cp: recompute encoder and decoder layers in the backward pass, which saves memory.
        test_cfg: ``max_per_img``, and if wanted ``score_thr`` and ``nms_iou``.
        data_preprocessor: normalises and pads images.
        init_cfg: mmengine initialisation.

    Raises:
        ConfigError: the neck gives another number of maps than ``num_levels``, or the decoder has no second
            layer, but parts that act from it on.
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        num_classes: int = 80,
        num_queries: int = 900,
        embed_dims: int = 256,
        num_levels: int = 4,
        num_heads: int = 8,
        num_points: int = 4,
        feedforward_channels: int = 2048,
        encoder_layers: int = 6,
        decoder_layers: int = 6,
        memory_fusion: bool = True,
        query_scale: bool = True,
        relation: dict | None = RELATION,
        hybrid: dict | None = HYBRID,
        denoising: dict | None = DENOISING,
        criterion: dict | None = None,
        positional_encoding: dict = POSITION,
        with_cp: bool = False,
        test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ):
        super().__init__(data_preprocessor, init_cfg)
        if decoder_layers < 2 and (relation is not None or query_scale):
            raise ConfigError(
                f"model.decoder_layers={decoder_layers}, but relation and query_scale act from the second "
                "layer on and would never be trained: set decoder_layers to 2 or more, or relation=None and "
                "query_scale=False"
            )
        self.backbone = MODELS.build(backbone)
        self.neck = MODELS.build(neck)
        self.positional_encoding = MODELS.build(positional_encoding)
        layer = dict(
            embed_dims=embed_dims,
            num_heads=num_heads,
            num_levels=num_levels,
            num_points=num_points,
            feedforward_channels=feedforward_channels,
        )
        self.level_embeds = nn.Parameter(torch.randn(num_levels, embed_dims))
        self.encoder = Encoder(encoder_layers, memory_fusion, with_cp, **layer)
        self.num_classes = num_classes
        self.decoder = RelationDecoder(decoder_layers, num_classes, relation, query_scale, with_cp, **layer)
        self.selection = ProposalSelection(embed_dims)
        self.query_head = QueryHead(num_queries, num_classes, embed_dims)
        self.hybrid_head, self.denoising = None, None
        if hybrid is not None:
            self.hybrid_head = QueryHead(hybrid["num_queries"], num_classes, embed_dims)
        if denoising is not None:
            self.denoising = ContrastiveDenoising(num_classes=num_classes, embed_dims=embed_dims, **denoising)
        self.losses = TrainingLosses(SetCriterion(**(criterion or {})), (hybrid or HYBRID)["assign"])
        self.test_cfg = {"max_per_img": 300, **(test_cfg or {})}

    def forward(
        self, inputs: Tensor, data_samples: list[DetDataSample] | None = None, mode: str = "tensor"
    ) -> dict[str, Tensor] | list[DetDataSample] | tuple[Tensor, Tensor]:
        """mmdet's entry: ``"loss"``, ``"predict"``, or ``"tensor"`` (:meth:`predict_layers`).

        Args:
            inputs: normalised and padded images ``(B, 3, H, W)``.
            data_samples: with ``img_shape``, for losses ``gt_instances``; without them nothing is padding.
            mode: what to return.
        """
        if mode == "loss":
            return self.loss(inputs, data_samples)
        if mode == "predict":
            return self.predict(inputs, data_samples)
        if mode == "tensor":
            return self.predict_layers(inputs, data_samples)
        raise ConfigError(f'mode={mode!r} is none of "loss", "predict" and "tensor"')

    def extract_feat(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """``(B, 3, H, W)`` to one map ``(B, C, h, w)`` a level."""
        maps = self.neck(self.backbone(inputs))
        if len(maps) != len(self.level_embeds):
            raise ConfigError(
                f"the neck gives {len(maps)} maps, but num_levels is {len(self.level_embeds)}: "
                "make model.neck.num_outs and model.num_levels equal"
            )
        return maps

    def encode(self, inputs: Tensor, data_samples: Sequence[DetDataSample] | None = None) -> EncodedImages:
        """Run backbone, neck and encoder; arguments as for :meth:`forward`."""
        maps = self.extract_feat(inputs)
        shapes = [(feature.shape[-2], feature.shape[-1]) for feature in maps]
        batch_shape = (inputs.shape[-2], inputs.shape[-1])
        sizes = (
            [sample.img_shape[:2] for sample in data_samples] if data_samples else [batch_shape] * len(inputs)
        )
        masks = padding_masks(batch_shape, sizes, shapes, inputs.device)
        ratios = valid_ratios(masks)
        position = [
            self.positional_encoding(mask).flatten(2).transpose(1, 2) + embedding
            for mask, embedding in zip(masks, self.level_embeds)
        ]
        padded = any(tuple(size) != batch_shape for size in sizes)
        padding_mask = torch.cat([mask.flatten(1) for mask in masks], dim=1) if padded else None
        centres = content_centres(shapes, ratios)
        memory = self.encoder(
            torch.cat([feature.flatten(2).transpose(1, 2) for feature in maps], dim=1),  # (B, S, C)
            torch.cat(position, dim=1),
            centres[:, :, None] * ratios[:, None],  # (B, S, L, 2)
            shapes,
            padding_mask,
        )
        return EncodedImages(memory, shapes, padding_mask, ratios, proposal_boxes(shapes, centres))

    def select(self, head: QueryHead, encoded: EncodedImages) -> Selection:
        """Queries of ``head``."""
        return self.selection(head, encoded.memory, encoded.proposals, encoded.padding_mask)

    def predict_layers(
        self, inputs: Tensor, data_samples: Sequence[DetDataSample] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Class logits ``(layers, B, Q, classes)`` and boxes ``(layers, B, Q, 4)`` of the inference graph.

        Boxes are cxcywh in [0, 1] of the image's content.
        """
        encoded = self.encode(inputs, data_samples)
        selection = self.select(self.query_head, encoded)
        values = self.decoder.project_values(encoded.memory, encoded.padding_mask)
        return self.decoder(
            selection.content, selection.boxes.detach(), values, encoded.spatial_shapes, encoded.valid_ratios
        )

    def predict(
        self, inputs: Tensor, data_samples: list[DetDataSample], rescale: bool = True
    ) -> list[DetDataSample]:
        """Detections of each image, the best first, in ``pred_instances``; boxes are not clipped.

        Args:
            inputs: ``(B, 3, H, W)``.
            data_samples: with ``img_shape``, and ``scale_factor`` where the image was resized.
            rescale: give boxes in the original image rather than in the resized one.
        """
        logits, boxes = self.predict_layers(inputs, data_samples)
        detections = top_detections(logits[-1], boxes[-1], self.test_cfg["max_per_img"])
        results = []
        for sample, scores, labels, corners in zip(data_samples, *detections):
            scale = sample.get("scale_factor", (1.0, 1.0)) if rescale else (1.0, 1.0)
            unit = corners.new_tensor([sample.img_shape[1] / scale[0], sample.img_shape[0] / scale[1]])
            corners = corners * unit.repeat(2)
            kept = keep_best(
                scores, corners, self.test_cfg.get("score_thr", 0.0), self.test_cfg.get("nms_iou")
            )
            results.append(InstanceData(bboxes=corners[kept], scores=scores[kept], labels=labels[kept]))
        return self.add_pred_to_datasample(data_samples, results)

    def add_pred_to_datasample(
        self, data_samples: list[DetDataSample], results_list: list[InstanceData]
    ) -> list[DetDataSample]:
        """Put each image's detections into its data sample, as mmdet's detectors do."""
        for sample, result in zip(data_samples, results_list):
            sample.pred_instances = result
        return data_samples

    def loss(self, inputs: Tensor, data_samples: list[DetDataSample]) -> dict[str, Tensor]:
        """All weighted losses; their sum is the training loss.

        Keys are ``loss_class``, ``loss_bbox`` and ``loss_giou`` of the last layer, with ``_0``, ``_1`` ... of
        the layers before it, ``_enc`` of the selection, ``_dn`` of the denoising queries and ``_hybrid`` of
        the hybrid ones.
        """
        labels = [sample.gt_instances.labels for sample in data_samples]
        boxes = [_relative_boxes(sample) for sample in data_samples]
        encoded = self.encode(inputs, data_samples)
        values = self.decoder.project_values(encoded.memory, encoded.padding_mask)
        branches = self.train_branches(encoded, values, labels, boxes)
        return self.losses(*branches, BoxTargets.of(labels, boxes))

    def train_branches(
        self, encoded: EncodedImages, values: list[Tensor], labels: list[Tensor], boxes: list[Tensor]
    ) -> tuple[Branch, DenoisingQueries | None, Branch | None]:
        """Predictions of the main branch, its denoising queries, and the hybrid branch (None without one).

        Args:
            encoded: of :meth:`encode`.
            values: of the memory for each decoder layer; both branches share them.
            labels: ``(n,)`` of each image.
            boxes: ``(n, 4)`` of each image, cxcywh in [0, 1].
        """
        where = (values, encoded.spatial_shapes, encoded.valid_ratios)
        selection = self.select(self.query_head, encoded)
        content, references = selection.content, selection.boxes.detach()
        denoising, attn_mask = None, None
        if self.denoising is not None:
            denoising = self.denoising(labels, boxes)
            attn_mask = denoising.attn_mask(content.shape[1])
            content = torch.cat((denoising.content, content), dim=1)
            references = torch.cat((denoising.boxes, references), dim=1)
        main = self.decoder(content, references, *where, attn_mask)
        if self.hybrid_head is None:
            return (selection, *main), denoising, None
        hybrid = self.select(self.hybrid_head, encoded)
        predictions = self.decoder(hybrid.content, hybrid.boxes.detach(), *where, with_relation=False)
        return (selection, *main), denoising, (hybrid, *predictions)

    @staticmethod
    def tiny(backbone: dict, maps: int) -> dict:
        """A small model, for the table of compatibility."""
        return dict(
            type="dense3d.RelationDETR",
            backbone=backbone,
            neck=dict(
                type="mmdet.ChannelMapper",
                in_channels="backbone",
                kernel_size=1,
                out_channels=32,
                act_cfg=None,
                norm_cfg=dict(type="GN", num_groups=8),
                num_outs=maps + 1,
            ),
            num_classes=5,
            num_levels=maps + 1,
            num_queries=20,
            embed_dims=32,
            feedforward_channels=64,
            encoder_layers=1,
            decoder_layers=2,
            hybrid=dict(num_queries=20, assign=2),
            denoising=dict(num_queries=6),
            positional_encoding=dict(
                type="mmdet.SinePositionalEncoding", num_feats=16, normalize=True, offset=-0.5, eps=1e-6
            ),
            test_cfg=dict(max_per_img=20),
        )


def _relative_boxes(sample: DetDataSample) -> Tensor:
    """Annotated boxes ``(n, 4)`` as cxcywh in [0, 1] of the image's content."""
    boxes = sample.gt_instances.bboxes
    height, width = sample.img_shape[:2]
    return box_convert(boxes.float(), "xyxy", "cxcywh") / boxes.new_tensor([width, height, width, height])


def top_detections(logits: Tensor, boxes: Tensor, number: int) -> tuple[Tensor, Tensor, Tensor]:
    """The pairs of query and class with the highest scores; a query may come with several classes.

    Args:
        logits: ``(B, Q, classes)``.
        boxes: ``(B, Q, 4)`` cxcywh in [0, 1].
        number: pairs of each image, fewer where there are fewer.

    Returns:
        scores ``(B, K)`` in falling order, labels ``(B, K)`` and xyxy boxes ``(B, K, 4)`` in [0, 1], if the
        image does not cut them.

    Example:
        >>> logits, boxes = torch.tensor([[[1.0, -1.0], [0.0, 2.0]]]), torch.rand(1, 2, 4)
        >>> top_detections(logits, boxes, 2)[1].tolist()
        [[1, 0]]
    """
    num_classes = logits.shape[-1]
    scores = logits.float().sigmoid().flatten(1)
    scores, index = scores.topk(min(number, scores.shape[1]), dim=1)
    query, labels = index // num_classes, index % num_classes
    selected = boxes.float().gather(1, query[..., None].expand(-1, -1, 4))
    return scores, labels, box_convert(selected, "cxcywh", "xyxy")


def keep_best(scores: Tensor, boxes: Tensor, score_thr: float = 0.0, nms_iou: float | None = None) -> Tensor:
    """Indices of the detections of one image that stay, the best first.

    Args:
        scores: ``(K,)``.
        boxes: ``(K, 4)`` xyxy, absolute.
        score_thr: least score, exclusive; all stay for 0.
        nms_iou: suppress a box that overlaps a better one of any class by more than this.
    """
    index = (
        torch.where(scores > score_thr)[0] if score_thr else torch.arange(len(scores), device=scores.device)
    )
    return index if nms_iou is None else index[nms(boxes[index], scores[index], nms_iou)]
