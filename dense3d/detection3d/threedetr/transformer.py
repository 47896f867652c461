"""3DETR's transformer: an encoder of points, perhaps of neighbourhoods only, and a decoder of queries.

Misra et al., "An End-to-End Transformer Model for 3D Object Detection", ICCV 2021, sections 3.1 to 3.3.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from dense3d.errors import ConfigError
from dense3d.layers.point_attention import EncoderLayer, FeedForward, PointAttention
from dense3d.pointcloud.pretrained import checkpoint_of
from dense3d.pointcloud.set_abstraction import PointFeatures, SetAbstraction


class PointEncoder(BaseModule):
    """Transformer on points without position embeddings or a last norm; 3DETR-m's with radii.

    With ``radii`` a point attends to points nearer than its layer's, and behind the first layer a set
    abstraction leaves some of the points. The official radii are 0.16, 0.64 and 1.44 m: 0.4, 0.8 and 1.2
    squared, compared with distances that are not; published weights expect them.

    Args:
        dim: channels.
        num_layers, num_heads, feedforward_dim, dropout: of the layers.
        activation: ``"relu"``, ``"gelu"`` or ``"leakyrelu"``.
        radii: metres, of each layer; None for attention to all points.
        downsampling: arguments of :class:`~dense3d.pointcloud.set_abstraction.SetAbstraction` behind the
            first layer; None for none.
        init_cfg: ``dict(type="Pretrained", checkpoint=FILE)`` starts from the encoders of Gaussian2Scene's or
            PiMAE's pre-training, ours or an official file: first the layers of clouds, then the shared ones,
            which have to be as many as here; the interim set abstraction stays as it is.

    Shape:
        points ``(B, N, 3)`` with features ``(B, N, dim)`` to fewer or as many.

    Raises:
        ConfigError: there is not a radius for each layer, or an activation is unknown.

    Example:
        >>> seeds = PointFeatures(torch.rand(2, 9, 3), torch.rand(2, 9, 8), torch.arange(9).expand(2, -1))
        >>> PointEncoder(8, num_layers=2, num_heads=2)(seeds).features.shape
        torch.Size([2, 9, 8])
    """

    def __init__(
        self,
        dim: int,
        num_layers: int = 3,
        num_heads: int = 4,
        feedforward_dim: int = 128,
        dropout: float = 0.1,
        activation: str = "relu",
        radii: Sequence[float] | None = None,
        downsampling: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if radii is not None and len(radii) != num_layers:
            raise ConfigError(f"{len(radii)} radii for {num_layers} layers of an encoder: give one for each")
        self.layers = nn.ModuleList(
            EncoderLayer(dim, num_heads, feedforward_dim, dropout, activation) for _ in range(num_layers)
        )
        self.radii = radii
        self.downsampling = None
        if downsampling is not None:
            self.downsampling = SetAbstraction(in_channels=dim, **downsampling)

    def init_weights(self) -> None:
        """Load all layers from the checkpoint of ``init_cfg``, if there is one.

        Raises:
            CheckpointError: the file holds no such layers, or others than these.
        """
        if self.init_cfg and not self.is_init:
            from dense3d.checkpoints.pimae import encoder_layers
            from dense3d.engine.checkpoint import load_checkpoint, load_into

            path = checkpoint_of(self.init_cfg, type(self).__name__)
            layers = {n.removeprefix("layers."): v for n, v in encoder_layers(load_checkpoint(path)).items()}
            load_into(self.layers, layers, source=f"the encoder in {path}")
        self._is_init = True

    def forward(self, seeds: PointFeatures) -> PointFeatures:
        """Encoded points; indices are places in the cloud, as those of the seeds."""
        points, tokens, indices = seeds
        for number, layer in enumerate(self.layers):
            radius = None if self.radii is None else self.radii[number]
            tokens = layer(tokens, None if radius is None else within(points, radius))
            if number == 0 and self.downsampling is not None:
                points, tokens, chosen = self.downsampling(points, tokens)
                indices = indices.gather(1, chosen)
        return PointFeatures(points, tokens, indices)


def within(points: Tensor, radius: float) -> Tensor:
    """``(B, N, N)`` bool: pairs of points ``(B, N, 3)`` nearer than the radius.

    Example:
        >>> within(torch.tensor([[[0.0, 0, 0], [1, 0, 0]]]), 1.0).tolist()
        [[[True, False], [False, True]]]
    """
    exact = "donot_use_mm_for_euclid_dist"
    return torch.cdist(points.detach(), points.detach(), compute_mode=exact) < radius


class DecoderLayer(nn.Module):
    """Self-attention of queries, attention to the encoded points, a feed-forward network; each pre-normed."""

    def __init__(self, dim: int, num_heads: int, feedforward_dim: int, dropout: float) -> None:
        super().__init__()
        self.self_attention = PointAttention(dim, num_heads, dropout)
        self.cross_attention = PointAttention(dim, num_heads, dropout)
        self.feedforward = FeedForward(dim, feedforward_dim, dropout, "relu")
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(dim) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def forward(self, content: Tensor, query_position: Tensor, memory: Tensor, key: Tensor) -> Tensor:
        """Content of queries ``(B, Q, dim)``; ``key`` is the memory with its positions."""
        normed = self.norm1(content)
        placed = normed + query_position
        content = content + self.dropout(self.self_attention(placed, placed, normed))
        placed = self.norm2(content) + query_position
        content = content + self.dropout(self.cross_attention(placed, key, memory))
        return content + self.dropout(self.feedforward(self.norm3(content)))


class BoxDecoderLayers(nn.Module):
    """Layers of the decoder, and one norm for the outputs of all of them.

    Args:
        dim: channels.
        num_layers, num_heads, feedforward_dim, dropout: of the layers.

    Shape:
        positions of queries ``(B, Q, dim)``, memory and its positions ``(B, N, dim)`` to
        ``(L, B, Q, dim)``.

    Example:
        >>> decoder = BoxDecoderLayers(8, num_layers=2, num_heads=2, feedforward_dim=16)
        >>> decoder(torch.rand(1, 5, 8), torch.rand(1, 7, 8), torch.rand(1, 7, 8)).shape
        torch.Size([2, 1, 5, 8])
    """

    def __init__(
        self,
        dim: int = 256,
        num_layers: int = 8,
        num_heads: int = 4,
        feedforward_dim: int = 256,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            DecoderLayer(dim, num_heads, feedforward_dim, dropout) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(dim)

    def forward(
        self, query_position: Tensor, memory: Tensor, memory_position: Tensor, content: Tensor | None = None
    ) -> Tensor:
        """Content of the queries behind every layer; ``content`` ``(B, Q, dim)`` is that before, or zero."""
        if content is None:
            content = torch.zeros_like(query_position)
        key = memory + memory_position
        found = []
        for layer in self.layers:
            content = layer(content, query_position, memory, key)
            found.append(self.norm(content))
        return torch.stack(found)
