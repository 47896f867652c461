"""Decoder of Co-DINO and its box head, which share how references become logits.

The official code keeps references further from 0 and 1 than mmdet does.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.models.dense_heads import DINOHead
from mmdet.models.layers import MLP, coordinate_to_encoding, inverse_sigmoid
from mmdet.models.layers.transformer import DinoTransformerDecoder
from mmengine.structures import InstanceData
from torch import Tensor, nn

from dense3d.detection2d.co_detr.positive_queries import PositiveQueries
from dense3d.errors import ConfigError
from dense3d.ops import batched_nms
from dense3d.registry import MODELS

EPS = 1e-3  # of the references' logits


class CoDINODecoder(DinoTransformerDecoder):
    """DINO's decoder with positions as the official code makes them: C / 2 sines for each of 4 coordinates.

    Some versions of mmdet take twice as many, and official weights do not fit theirs.
    """

    def _init_layers(self) -> None:
        super()._init_layers()
        dim = self.embed_dims
        self.ref_point_head = MLP(2 * dim, dim, dim, 2)

    def forward(
        self,
        query: Tensor,
        *,
        reference_points: Tensor,
        valid_ratios: Tensor,
        reg_branches: Sequence[nn.Module],
        **inputs: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Decode.

        Args:
            query: ``(B, Q, C)``.
            reference_points: boxes ``(B, Q, 4)``, CXCYWH in [0, 1] of the images' content.
            valid_ratios: share of each level that is content ``(B, levels, 2)``.
            reg_branches: box head of each layer.
            inputs: ``value``, masks and shapes for mmdet's layers.

        Returns:
            States of the L layers ``(L, B, Q, C)``, and the references before and after each
            ``(L + 1, B, Q, 4)``.
        """
        ratios = valid_ratios.repeat(1, 1, 2)[:, None]  # (B, 1, levels, 4)
        states, references = [], [reference_points]
        for layer, regress in zip(self.layers, reg_branches):
            on_levels = reference_points[:, :, None] * ratios  # (B, Q, levels, 4)
            sines = coordinate_to_encoding(on_levels[:, :, 0], num_feats=self.embed_dims // 2)
            query = layer(
                query,
                query_pos=self.ref_point_head(sines),
                reference_points=on_levels,
                valid_ratios=valid_ratios,
                **inputs,
            )
            moved = (regress(query) + inverse_sigmoid(reference_points, eps=EPS)).sigmoid()
            reference_points = moved.detach()
            states.append(self.norm(query))
            references.append(moved)
        return torch.stack(states), torch.stack(references)


@MODELS.register_module()
class CoDINOHead(DINOHead):
    """mmdet's ``DINOHead`` that also learns from customised positive queries, and may suppress duplicates.

    References become logits as in the official code, with a larger epsilon than mmdet's.

    Args:
        test_cfg: ``max_per_img``; ``nms``, a config of :func:`dense3d.ops.batched_nms` or None. With it, as
            many boxes enter suppression as there are queries, and ``max_per_img`` of the rest are kept.
        args, kwargs: mmdet's.

    Raises:
        ConfigError: ``test_cfg`` has something else.
    """

    def __init__(self, *args, test_cfg: dict | None = None, **kwargs) -> None:
        test_cfg = dict(test_cfg or {})
        unknown = test_cfg.keys() - {"max_per_img", "nms"}
        if unknown:
            raise ConfigError(
                f"model.test_cfg has {', '.join(sorted(unknown))}: Co-DINO knows max_per_img and nms"
            )
        self.nms = test_cfg.pop("nms", None)
        self.max_per_img = test_cfg.pop("max_per_img", None) if self.nms else None
        super().__init__(*args, test_cfg=test_cfg, **kwargs)

    def forward(self, hidden_states: Tensor, references: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Logits ``(L, B, Q, classes)`` and boxes ``(L, B, Q, 4)``, CXCYWH in [0, 1], of L decoder layers.

        Args:
            hidden_states: ``(L, B, Q, C)``.
            references: boxes that each layer starts from ``(B, Q, 4)``; what follows them is ignored.
        """
        scores, boxes = [], []
        for hidden, reference, classify, regress in zip(
            hidden_states, references, self.cls_branches, self.reg_branches
        ):
            scores.append(classify(hidden))
            boxes.append((regress(hidden) + inverse_sigmoid(reference, eps=EPS)).sigmoid())
        return torch.stack(scores), torch.stack(boxes)

    def loss_of_positive_queries(
        self,
        hidden_states: Tensor,
        references: Sequence[Tensor],
        queries: PositiveQueries,
        batch_img_metas: list[dict],
    ) -> dict[str, Tensor]:
        """Losses of every decoder layer for queries that know their objects.

        Args:
            hidden_states: ``(L, B, Q, C)``.
            references: boxes that each layer starts from ``(B, Q, 4)``.
            queries: what the Q queries stand for.
            batch_img_metas: ``img_shape`` of each image.
        """
        scores, boxes = self(hidden_states, references)
        layers = zip(*self.loss_dn(scores, boxes, None, batch_img_metas, dn_meta=queries))
        *others, last = [
            dict(zip(("loss_cls_aux", "loss_bbox_aux", "loss_iou_aux"), layer)) for layer in layers
        ]
        return last | {
            f"d{i}.{name}": value for i, layer in enumerate(others) for name, value in layer.items()
        }

    def get_dn_targets(
        self, batch_gt_instances: list[InstanceData] | None, batch_img_metas: list[dict], dn_meta
    ) -> tuple:
        """Targets of denoising queries; of customised ones where ``dn_meta`` is a :class:`PositiveQueries`.

        Both know their object without matching, so that mmdet's denoising loss serves both.
        """
        if not isinstance(dn_meta, PositiveQueries):
            return super().get_dn_targets(batch_gt_instances, batch_img_metas, dn_meta)
        positive = dn_meta.num_positive
        weights = dn_meta.positive[..., None].expand_as(dn_meta.targets).to(dn_meta.targets)
        targets = (dn_meta.labels, dn_meta.label_weights, dn_meta.targets, weights)
        return *(list(t) for t in targets), positive, dn_meta.positive.numel() - positive

    def _predict_by_feat_single(
        self, cls_score: Tensor, bbox_pred: Tensor, img_meta: dict, rescale: bool = True
    ) -> InstanceData:
        found = super()._predict_by_feat_single(cls_score, bbox_pred, img_meta, rescale)
        if not self.nms:
            return found
        boxes, keep = batched_nms(found.bboxes.float(), found.scores.float(), found.labels, self.nms)
        boxes, keep = boxes[: self.max_per_img], keep[: self.max_per_img]
        return InstanceData(bboxes=boxes[:, :4], scores=boxes[:, 4], labels=found.labels[keep])
