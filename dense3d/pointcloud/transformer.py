"""The transformer on patches of a point cloud, as Point-MAE pre-trains it.

Pang et al., "Masked Autoencoders for Point Cloud Self-supervised Learning", ECCV 2022
(Pang-Yatian/Point-MAE).
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from dense3d.errors import ConfigError, DataError
from dense3d.layers.transformer_block import TransformerBlock
from dense3d.pointcloud.grouping import Patches, group_patches
from dense3d.pointcloud.patch_embedding import PatchEmbedding
from dense3d.pointcloud.pretrained import checkpoint_of
from dense3d.pointcloud.set_abstraction import PointFeatures
from dense3d.registry import MODELS

NORM_EPS = 1e-5


def position_embedding(dim: int) -> nn.Sequential:
    """The network that turns coordinates of centres ``(..., 3)`` into ``(..., dim)``."""
    return nn.Sequential(nn.Linear(3, 128), nn.GELU(), nn.Linear(128, dim))


def transformer_blocks(dim: int, depth: int, num_heads: int, drop_path_rate: float) -> nn.ModuleList:
    """Blocks without biases of queries, keys and values; stochastic depth grows from 0 to its rate."""
    rates = torch.linspace(0, drop_path_rate, depth, device="cpu").tolist()
    return nn.ModuleList(
        TransformerBlock(dim, num_heads, qkv_bias="none", drop_path=rate, norm_eps=NORM_EPS) for rate in rates
    )


def run_blocks(
    blocks: nn.ModuleList, tokens: Tensor, positions: Tensor, keep: Collection[int] = ()
) -> tuple[Tensor, list[Tensor]]:
    """Tokens after the last block, and those after the blocks ``keep``; positions are added before each one.

    Args:
        blocks: one after the other.
        tokens, positions: ``(B, G, dim)``.
        keep: numbers of blocks, from 0.
    """
    kept = []
    for index, block in enumerate(blocks):
        tokens = block(tokens + positions)
        if index in keep:
            kept.append(tokens)
    return tokens, kept


@MODELS.register_module()
class PointTransformer(BaseModule):
    """Backbone of point clouds: a token for each of G patches of K points.

    Args:
        embed_dim: channels of a token.
        depth, num_heads: blocks, and heads of their attention.
        num_groups, group_size: G and K.
        drop_path_rate: stochastic depth of the last block.
        class_token: whether a learned token with a learned position comes first.
        skip_origin: see :func:`dense3d.pointcloud.grouping.group_patches`.
        frozen: keep weights and batch statistics as they are, for protocols on frozen features.
        init_cfg: ``dict(type="Pretrained", checkpoint=FILE)`` starts from a file of Point-MAE, of a
            classifier or of a part segmentor, ours or an official one; a class token that it lacks stays as
            it is. Else weights are PyTorch's initial ones, as in the official code's training from scratch.

    Shape:
        ``(B, N, 3)`` to tokens ``(B, [1 +] G, embed_dim)`` after the last norm, and centres ``(B, G, 3)``.

    Raises:
        ConfigError: a size is not positive, or ``embed_dim`` is no multiple of ``num_heads``.

    Example:
        >>> network = PointTransformer(embed_dim=24, depth=2, num_heads=2, num_groups=8, group_size=4)
        >>> tokens, centres = network(torch.rand(2, 64, 3))
        >>> tokens.shape, centres.shape
        (torch.Size([2, 8, 24]), torch.Size([2, 8, 3]))
    """

    def __init__(
        self,
        embed_dim: int = 384,
        depth: int = 12,
        num_heads: int = 6,
        num_groups: int = 64,
        group_size: int = 32,
        drop_path_rate: float = 0.1,
        class_token: bool = False,
        skip_origin: bool = True,
        frozen: bool = False,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        sizes = dict(embed_dim=embed_dim, depth=depth, num_groups=num_groups, group_size=group_size)
        wrong = [name for name, value in sizes.items() if not isinstance(value, int) or value < 1]
        if wrong:
            raise ConfigError(f"{wrong[0]}={sizes[wrong[0]]!r} of a PointTransformer: give 1 or more")
        self.embed_dim, self.num_groups, self.group_size = embed_dim, num_groups, group_size
        self.out_channels = embed_dim
        self.skip_origin, self.frozen = skip_origin, frozen
        self.patch_embed = PatchEmbedding(embed_dim)
        self.pos_embed = position_embedding(embed_dim)
        self.blocks = transformer_blocks(embed_dim, depth, num_heads, drop_path_rate)
        self.norm = nn.LayerNorm(embed_dim, eps=NORM_EPS)
        self.cls_token = self.cls_pos = None
        if class_token:
            self.cls_token = nn.Parameter(torch.empty(1, 1, embed_dim))
            self.cls_pos = nn.Parameter(torch.empty(1, 1, embed_dim))
            for parameter in (self.cls_token, self.cls_pos):
                nn.init.trunc_normal_(parameter, std=0.02)
        if frozen:
            self.requires_grad_(False)

    def init_weights(self) -> None:
        """Load the checkpoint of ``init_cfg``, if there is one."""
        if self.init_cfg and not self.is_init:
            load_pretrained(self, checkpoint_of(self.init_cfg, "PointTransformer"))
        self._is_init = True

    def train(self, mode: bool = True) -> PointTransformer:
        """Training mode, unless the network is frozen."""
        return super().train(mode and not self.frozen)

    def group(self, points: Tensor, lengths: Tensor | None = None) -> Patches:
        """Patches of clouds ``(B, N, 3)``."""
        return group_patches(points, self.num_groups, self.group_size, self.skip_origin, lengths)

    def forward(self, points: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Tokens ``(B, [1 +] G, embed_dim)``, the class token first, and centres ``(B, G, 3)``.

        Args:
            points: ``(B, N, 3)``.
            lengths: ``(B,)``, how many first points of each cloud count.
        """
        patches = self.group(points, lengths)
        tokens, _ = self.encode(self.patch_embed(patches.points), patches.centres)
        return tokens, patches.centres

    def seeds(
        self, points: Tensor, features: Tensor | None = None, lengths: Tensor | None = None
    ) -> PointFeatures:
        """Centres of the patches with their tokens, for detectors; the class token is left out.

        Args:
            points: ``(B, N, 3)``.
            features: None; this network reads coordinates alone.
            lengths: ``(B,)``, how many first points of each cloud count.

        Raises:
            DataError: there are features.
        """
        if features is not None:
            raise DataError(
                "a PointTransformer reads coordinates alone and would ignore the features of the clouds: "
                "leave them out of the pipeline's PackPointInputs"
            )
        patches = self.group(points, lengths)
        tokens, _ = self.encode(self.patch_embed(patches.points), patches.centres)
        return PointFeatures(patches.centres, tokens[:, -self.num_groups :], patches.centre_indices)

    def encode(
        self, tokens: Tensor, centres: Tensor, keep: Collection[int] = ()
    ) -> tuple[Tensor, list[Tensor]]:
        """Blocks and the last norm on tokens of patches.

        Args:
            tokens: ``(B, P, embed_dim)``, of all patches or of some.
            centres: ``(B, P, 3)``.
            keep: numbers of blocks whose output is wanted as well.

        Returns:
            ``(B, [1 +] P, embed_dim)``, and the outputs of the blocks ``keep``, through the same norm.
        """
        positions = self.pos_embed(centres)
        if self.cls_token is not None:
            tokens = torch.cat([self.cls_token.expand(len(tokens), -1, -1).to(tokens.dtype), tokens], dim=1)
            first = self.cls_pos.expand(len(tokens), -1, -1).to(positions.dtype)
            positions = torch.cat([first, positions], dim=1)
        tokens, kept = run_blocks(self.blocks, tokens, positions, keep)
        return self.norm(tokens), [self.norm(level) for level in kept]


def initialise(module: nn.Module) -> None:
    """The official initial weights of Point-MAE's encoder.

    Truncated normal with deviation 0.02 for matrices, biases zero; norms are the identity.
    """
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.trunc_normal_(part.weight, std=0.02)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def load_pretrained(network: PointTransformer, path: str | os.PathLike) -> None:
    """Load the transformer of a checkpoint: of Point-MAE, a classifier or a part segmentor.

    Args:
        network: keeps its class token where the file has none.
        path: a file of ours, or an official one.

    Raises:
        CheckpointError: the file cannot be read, or names or shapes differ; the message lists them.
    """
    from dense3d.checkpoints.point_mae import transformer_weights
    from dense3d.engine.checkpoint import load_checkpoint, load_into

    weights = transformer_weights(load_checkpoint(path))
    own = network.state_dict()
    for name in ("cls_token", "cls_pos"):
        if name not in own:
            weights.pop(name, None)
        else:
            weights.setdefault(name, own[name])
    load_into(network, weights, source=str(path))
