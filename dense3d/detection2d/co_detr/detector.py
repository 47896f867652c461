"""Co-DINO: DINO trained with auxiliary heads on its encoder and their positives in its decoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import torch
from mmdet.models.detectors import DINO
from mmdet.models.layers import inverse_sigmoid
from mmdet.models.layers.transformer import DeformableDetrTransformerEncoderLayer
from mmengine.model import ModuleList
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from dense3d.detection2d.co_detr.decoder import CoDINODecoder
from dense3d.detection2d.co_detr.positive_queries import PositiveQueries, positive_queries
from dense3d.errors import ConfigError
from dense3d.registry import MODELS

if TYPE_CHECKING:
    from mmdet.structures import DetDataSample


@MODELS.register_module()
class CoDINO(DINO):
    """mmdet's ``DINO`` with collaborative hybrid assignments (Zong et al., ICCV 2023, arXiv 2211.12860).

    The encoder's maps and one more of half the last one's size go to the auxiliary heads. What a head took
    for objects starts further groups of queries in the decoder, which see only their own group. Both train
    only: detection is DINO's.

    Args:
        auxiliary_heads: configs of heads with ``loss_and_assignments``, such as ``FasterRCNNAuxiliaryHead``
            and ``ATSSAuxiliaryHead``, for one map more than ``num_feature_levels``.
        max_positive_queries: of one head and image, at least 9.
        encoder: as mmdet's; the first ``num_cp`` layers recompute their activations in the backward pass.
        args, kwargs: mmdet's, with ``bbox_head=dict(type="dense3d.CoDINOHead", ...)``.

    Raises:
        ConfigError: a head's anchors are for another number of maps, or ``num_cp`` exceeds the layers.
    """

    tiny_needs: ClassVar[dict] = dict(strides=(4, 8, 16, 32))

    def __init__(
        self, *args, auxiliary_heads: Sequence[dict], max_positive_queries: int = 300, **kwargs
    ) -> None:
        super().__init__(*args, **kwargs)
        self.max_positive_queries = max_positive_queries
        self.auxiliary_heads = ModuleList(MODELS.build(head) for head in auxiliary_heads)  # initialises them
        for index, head in enumerate(self.auxiliary_heads):
            maps = getattr(head, "rpn_head", head).prior_generator.num_levels
            if maps != self.num_feature_levels + 1:
                raise ConfigError(
                    f"model.auxiliary_heads[{index}] has anchors of {maps} strides: give it "
                    f"num_feature_levels + 1 = {self.num_feature_levels + 1}, for the encoder's maps and the "
                    "smaller one after them"
                )
        dim = self.embed_dims
        self.downsample = nn.Sequential(nn.Conv2d(dim, dim, 3, stride=2, padding=1), nn.GroupNorm(32, dim))
        self.query_embeddings = nn.ModuleList(
            nn.Sequential(nn.Linear(2 * dim, dim), nn.LayerNorm(dim)) for _ in self.auxiliary_heads
        )

    def _init_layers(self) -> None:
        self.encoder, decoder = dict(self.encoder), self.decoder
        recomputed = self.encoder.pop("num_cp", 0)  # mmdet's own way needs fairscale
        super()._init_layers()
        self.decoder = CoDINODecoder(**decoder)
        layers = self.encoder.num_layers
        if recomputed > layers:
            raise ConfigError(
                f"model.encoder.num_cp={recomputed}, but the encoder has num_layers={layers}: give num_cp "
                "that number or a smaller one"
            )
        for index in range(recomputed):
            self.encoder.layers[index] = RecomputedEncoderLayer(**self.encoder.layer_cfg)

    def init_weights(self) -> None:
        """mmdet's initialisation of DINO, with the official code's queries."""
        super().init_weights()
        nn.init.normal_(self.query_embedding.weight)
        for linear, _ in self.query_embeddings:
            nn.init.xavier_uniform_(linear.weight)

    def loss(self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample]) -> dict[str, Tensor]:
        """Losses of DINO, of each auxiliary head (their index at the end of the name), and of its queries.

        Args:
            batch_inputs: images ``(B, 3, H, W)``.
            batch_data_samples: with ``gt_instances`` in pixels.
        """
        maps = self.extract_feat(batch_inputs)
        encoder_inputs, decoder_inputs = self.pre_transformer(maps, batch_data_samples)
        encoded = self.forward_encoder(**encoder_inputs)
        queries, head_inputs = self.pre_decoder(**encoded, batch_data_samples=batch_data_samples)

        encoded_maps = self.encoded_maps(encoded["memory"], [m.shape[-2:] for m in maps])
        losses, groups = self._auxiliary_losses(encoded_maps, batch_data_samples)
        main, *others = self.decode_groups(decoder_inputs | queries, groups)

        losses |= self.bbox_head.loss(*main, **head_inputs, batch_data_samples=batch_data_samples)
        metas = [sample.metainfo for sample in batch_data_samples]
        for index, (hidden, group) in enumerate(zip(others, groups)):
            losses |= _numbered(self.bbox_head.loss_of_positive_queries(*hidden, group, metas), index)
        return losses

    def encoded_maps(self, memory: Tensor, shapes: Sequence[tuple[int, int]]) -> tuple[Tensor, ...]:
        """The encoder's tokens as maps ``(B, C, h, w)``, and one of half the last one's size.

        Args:
            memory: ``(B, S, C)``.
            shapes: height and width of each level; their products add up to S.
        """
        levels = memory.transpose(1, 2).split([h * w for h, w in shapes], dim=2)
        maps = [level.unflatten(2, tuple(shape)) for level, shape in zip(levels, shapes)]
        return (*maps, self.downsample(maps[-1]))

    def _auxiliary_losses(
        self, maps: tuple[Tensor, ...], data_samples: list[DetDataSample]
    ) -> tuple[dict[str, Tensor], list[PositiveQueries]]:
        sizes = [sample.img_shape for sample in data_samples]
        losses, groups = {}, []
        for index, head in enumerate(self.auxiliary_heads):
            own, assignments = head.loss_and_assignments(maps, data_samples)
            losses |= _numbered(own, index)
            groups.append(
                positive_queries(assignments, sizes, self.bbox_head.num_classes, self.max_positive_queries)
            )
        return losses, groups

    def decode_groups(
        self, inputs: dict[str, Tensor], groups: Sequence[PositiveQueries]
    ) -> list[tuple[Tensor, list[Tensor]]]:
        """Hidden states ``(L, B, Q, C)`` and references ``(B, Q, 4)`` of DINO's queries and of each group.

        All go through the decoder at once: the mask keeps the groups apart, and the memory, far longer than
        the queries, is projected only once a layer.
        """
        contents = [
            embed(self.get_proposal_pos_embed(inverse_sigmoid(group.boxes), self.embed_dims // 2))
            for embed, group in zip(self.query_embeddings, groups)
        ]
        contents = [inputs["query"], *(content.to(inputs["query"]) for content in contents)]
        boxes = [inputs["reference_points"], *(group.boxes for group in groups)]
        lengths = [content.shape[1] for content in contents]
        mask = _apart(lengths, inputs["query"].device)
        mask[: lengths[0], : lengths[0]] = inputs["dn_mask"]
        decoded = self.forward_decoder(
            **inputs | dict(query=torch.cat(contents, 1), reference_points=torch.cat(boxes, 1), dn_mask=mask)
        )
        hidden = decoded["hidden_states"].split(lengths, dim=2)
        references = zip(*(reference.split(lengths, dim=1) for reference in decoded["references"]))
        return [(states, list(refined)) for states, refined in zip(hidden, references)]

    @staticmethod
    def tiny(backbone: dict, maps: int) -> dict:
        """A small model, for the table of compatibility."""
        return dict(_base_="dense3d::co_detr/co-dino_r50_5scale_8xb2-12e_coco.py", backbone=backbone)


class RecomputedEncoderLayer(DeformableDetrTransformerEncoderLayer):
    """mmdet's encoder layer, whose activations are recomputed in the backward pass."""

    def forward(self, *args, **kwargs) -> Tensor:
        """As mmdet's."""
        if not (self.training and torch.is_grad_enabled()):
            return super().forward(*args, **kwargs)
        return checkpoint(super().forward, *args, use_reentrant=False, **kwargs)


def _apart(lengths: Sequence[int], device: torch.device) -> Tensor:
    """Mask ``(Q, Q)`` that is True between queries of different groups, which follow one another."""
    group = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths)).to(device)
    return group[:, None] != group


def _numbered(losses: dict[str, Tensor], index: int) -> dict[str, Tensor]:
    return {f"{name}{index}": value for name, value in losses.items()}
