"""DETR for short trainings from random weights.

Plain DETR (Carion et al., "End-to-End Object Detection with Transformers", ECCV 2020, arXiv 2005.12872) stays
for long on a plateau on which its decoder ignores the image: attention is almost uniform at first, nothing
but attention says where a query looks, and untrained features give it no reason to look anywhere.
:class:`PreNormDETR` keeps the model and starts it elsewhere.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from mmdet.models.detectors import DETR
from mmdet.models.layers import DetrTransformerDecoder, DetrTransformerEncoder, SinePositionalEncoding
from mmdet.models.layers.transformer import DetrTransformerDecoderLayer, DetrTransformerEncoderLayer
from mmdet.models.task_modules.assigners.match_cost import BaseMatchCost
from mmdet.structures.bbox import bbox_xyxy_to_cxcywh
from mmengine.model import ModuleList
from mmengine.structures import InstanceData
from torch import Tensor, nn

from dense3d.errors import ConfigError
from dense3d.registry import MODELS, TASK_UTILS


@MODELS.register_module()
class PreNormDETR(DETR):
    """DETR with norms before attention, positions at the input, and queries that start on a grid.

    Norms stand before each attention and feed-forward block, as the option ``--pre_norm`` of the authors'
    code puts them. Positions of cells and queries are added at the input of encoder and decoder too, the
    variant "at input" of the paper's table 3, so that a query's state tells where it looked. The position of
    query i starts as that of cell i of a coarse map, and the projections of cross-attention compare
    positions from the first step on: each query starts by looking at its own part of the image.

    Args:
        query_grid: columns and rows of that coarse map; their product is ``num_queries``.
        position_amplitude: factor of all position encodings; the larger, the narrower a query's first look.

    The other arguments are those of mmdet's DETR.

    Raises:
        ConfigError: the grid has another number of cells than there are queries, or the heads do not divide
            the frequencies of the position encoding.
    """

    tiny_needs: ClassVar[dict] = dict(maps=1)

    def __init__(
        self, *args, query_grid: tuple[int, int], position_amplitude: float = 2.0, num_queries: int, **kwargs
    ):
        columns, rows = query_grid
        if columns * rows != num_queries:
            raise ConfigError(
                f"query_grid={columns}x{rows} has {columns * rows} cells for num_queries={num_queries}: "
                "give each query one cell"
            )
        self.query_grid = query_grid
        self.position_amplitude = position_amplitude
        super().__init__(*args, num_queries=num_queries, **kwargs)

    def _init_layers(self) -> None:
        num_feats = self.positional_encoding["num_feats"]
        self.positional_encoding = SinePositionalEncoding(**self.positional_encoding)
        self.encoder = PreNormEncoder(**self.encoder)
        self.decoder = PreNormDecoder(**self.decoder)
        self.embed_dims = self.encoder.embed_dims
        heads = self.decoder.layers[0].cross_attn.num_heads
        if 2 * num_feats != self.embed_dims or num_feats % (2 * heads):
            raise ConfigError(
                f"positional_encoding.num_feats={num_feats} with {self.embed_dims} channels and {heads} "
                "heads: it must be half the channels and a multiple of twice the heads"
            )
        self.query_embedding = nn.Embedding(self.num_queries, self.embed_dims)
        self.query_content = nn.Embedding(self.num_queries, self.embed_dims)

    def init_weights(self) -> None:
        """As mmdet's DETR; then queries on the grid and cross-attention by position."""
        super().init_weights()
        columns, rows = self.query_grid
        with torch.no_grad():
            grid = self.positional_encoding(None, input=torch.zeros(1, 1, rows, columns))  # (1, C, Y, X)
            self.query_embedding.weight.copy_(self.position_amplitude * grid[0].flatten(1).T)
            for layer in self.decoder.layers:
                _compare_positions(layer.cross_attn.attn)

    def pre_transformer(self, img_feats: tuple[Tensor, ...], batch_data_samples=None) -> tuple[dict, dict]:
        """Inputs of encoder and decoder, the positions added to the features."""
        encoder_inputs, decoder_inputs = super().pre_transformer(img_feats, batch_data_samples)
        position = self.position_amplitude * encoder_inputs["feat_pos"]  # (B, H * W, C)
        encoder_inputs.update(feat=encoder_inputs["feat"] + position, feat_pos=position)
        decoder_inputs["memory_pos"] = position
        return encoder_inputs, decoder_inputs

    def pre_decoder(self, memory: Tensor) -> tuple[dict, dict]:
        """Inputs of the decoder; its state starts as a learned vector a query instead of zeros."""
        decoder_inputs, head_inputs = super().pre_decoder(memory)
        decoder_inputs["query"] = self.query_content.weight.expand(memory.size(0), -1, -1)  # (B, Q, C)
        return decoder_inputs, head_inputs

    @staticmethod
    def tiny(backbone: dict, maps: int) -> dict:
        """A small model, for the table of compatibility."""
        base = "mmdet::detr/detr_r50_8xb2-150e_coco.py"
        return dict(_base_=base, type="dense3d.PreNormDETR", query_grid=(5, 4))


@TASK_UTILS.register_module()
class QueryCellCost(BaseMatchCost):
    """Cost of a match: how far the box's centre is from the cell at which its query starts.

    At first all queries predict nearly the same box, and which of them is matched is chance: no target agrees
    with what the query sees. This term decides such ties for the query that looks at the box.

    Args:
        query_grid: columns and rows, as the detector's.
        weight: factor; distances are sums of x and y in fractions of the image's sides.

    Example:
        >>> from mmengine.structures import InstanceData
        >>> queries = InstanceData(bboxes=torch.zeros(2, 4))
        >>> box = InstanceData(bboxes=torch.tensor([[0.0, 0.0, 20.0, 20.0]]))
        >>> QueryCellCost((2, 1), weight=2.0)(queries, box, dict(img_shape=(20, 40))).flatten().tolist()
        [0.0, 1.0]
    """

    def __init__(self, query_grid: tuple[int, int], weight: float = 1.0):
        super().__init__(weight)
        self.query_grid = query_grid

    def __call__(
        self, pred_instances: InstanceData, gt_instances: InstanceData, img_meta: dict, **kwargs
    ) -> Tensor:
        """Costs (Q, G) of each query for each box of ``gt_instances.bboxes`` (G, 4), XYXY in pixels.

        Where ``pred_instances`` holds the queries of several images one after another, (B * Q, G).
        """
        boxes = gt_instances.bboxes
        height, width = img_meta["img_shape"]
        centers = bbox_xyxy_to_cxcywh(boxes)[:, :2] / boxes.new_tensor((width, height))  # (G, 2)
        columns, rows = self.query_grid
        x, y = ((torch.arange(n, device=boxes.device) + 0.5) / n for n in (columns, rows))
        cells = torch.cartesian_prod(y, x).flip(1)  # (Q, 2), row by row
        cost = self.weight * torch.cdist(cells, centers, p=1)  # (Q, G)
        return cost.repeat(len(pred_instances) // len(cells), 1)


class PreNormEncoder(DetrTransformerEncoder):
    """Encoder of layers with norms before their blocks, and one norm at the end."""

    def _init_layers(self) -> None:
        self.layers = ModuleList(PreNormEncoderLayer(**self.layer_cfg) for _ in range(self.num_layers))
        self.embed_dims = self.layers[0].embed_dims
        self.post_norm = nn.LayerNorm(self.embed_dims)

    def forward(self, query: Tensor, query_pos: Tensor, key_padding_mask: Tensor | None, **kwargs) -> Tensor:
        """(B, H * W, C) features to memory of the same shape."""
        return self.post_norm(super().forward(query, query_pos, key_padding_mask, **kwargs))


class PreNormDecoder(DetrTransformerDecoder):
    """Decoder of layers with norms before their blocks."""

    def _init_layers(self) -> None:
        self.layers = ModuleList(PreNormDecoderLayer(**self.layer_cfg) for _ in range(self.num_layers))
        self.embed_dims = self.layers[0].embed_dims
        self.post_norm = nn.LayerNorm(self.embed_dims)


class PreNormEncoderLayer(DetrTransformerEncoderLayer):
    """Self-attention and feed-forward block, each on normalised input."""

    def forward(self, query: Tensor, query_pos: Tensor, key_padding_mask: Tensor | None, **kwargs) -> Tensor:
        """(B, N, C) to (B, N, C)."""
        normed = self.norms[0](query)
        query = self.self_attn(
            normed,
            identity=query,
            query_pos=query_pos,
            key_pos=query_pos,
            key_padding_mask=key_padding_mask,
        )
        return self.ffn(self.norms[1](query), identity=query)


class PreNormDecoderLayer(DetrTransformerDecoderLayer):
    """Self-attention, cross-attention and feed-forward block, each on normalised input."""

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        query_pos: Tensor,
        key_pos: Tensor,
        self_attn_mask: Tensor | None = None,
        cross_attn_mask: Tensor | None = None,
        key_padding_mask: Tensor | None = None,
        **kwargs,
    ) -> Tensor:
        """Queries (B, Q, C) and memory (B, N, C) to queries (B, Q, C)."""
        normed = self.norms[0](query)
        query = self.self_attn(
            normed, identity=query, query_pos=query_pos, key_pos=query_pos, attn_mask=self_attn_mask
        )
        query = self.cross_attn(
            self.norms[1](query),
            key,
            value,
            identity=query,
            query_pos=query_pos,
            key_pos=key_pos,
            attn_mask=cross_attn_mask,
            key_padding_mask=key_padding_mask,
        )
        return self.ffn(self.norms[2](query), identity=query)


def _compare_positions(attention: nn.MultiheadAttention) -> None:
    """Let the projections of queries and keys start as the same permutation of channels.

    The encoding holds y in its first half and x in its second, a sine and a cosine for each frequency. The
    permutation gives every head some frequencies of both, so that each compares places, not rows or columns.
    """
    channels = attention.embed_dim
    order = torch.arange(channels).view(2, -1, attention.num_heads, 2)  # axis, turn, head, sine and cosine
    projection = torch.eye(channels)[order.permute(2, 0, 1, 3).flatten()]
    attention.in_proj_weight[:channels] = projection
    attention.in_proj_weight[channels : 2 * channels] = projection
