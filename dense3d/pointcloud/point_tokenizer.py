"""Point-MAE's tokens with their positions as the backbone of 3DETR, to go on from PiMAE's pre-training.

PiMAE (Chen et al., CVPR 2023) hands only layers of its encoders to 3DETR, which then get features of another
network. With this backbone the layers get the tokens that they were trained on.
"""

from __future__ import annotations

from typing import Any

from mmengine.model import BaseModule
from torch import Tensor

from dense3d.errors import DataError
from dense3d.pointcloud.grouping import group_patches
from dense3d.pointcloud.patch_embedding import PatchEmbedding
from dense3d.pointcloud.pretrained import checkpoint_of
from dense3d.pointcloud.set_abstraction import PointFeatures
from dense3d.pointcloud.transformer import position_embedding
from dense3d.registry import MODELS


@MODELS.register_module()
class PointTokenizer(BaseModule):
    """Tokens of groups of points, positions added, without a transformer behind them.

    Args:
        embed_dim: channels of a token.
        num_groups, group_size: of each cloud.
        skip_origin: see :func:`dense3d.pointcloud.grouping.group_patches`.
        init_cfg: ``dict(type="Pretrained", checkpoint=FILE)`` starts from a file of Gaussian2Scene's or
            PiMAE's pre-training, ours or an official one.

    Example:
        >>> import torch
        >>> PointTokenizer(16, num_groups=8, group_size=4).seeds(torch.rand(2, 64, 3)).features.shape
        torch.Size([2, 8, 16])
    """

    def __init__(
        self,
        embed_dim: int = 256,
        num_groups: int = 128,
        group_size: int = 32,
        skip_origin: bool = True,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.num_groups, self.group_size, self.skip_origin = num_groups, group_size, skip_origin
        self.patch_embed, self.pos_embed = PatchEmbedding(embed_dim), position_embedding(embed_dim)
        self.out_channels = embed_dim

    def init_weights(self) -> None:
        """Load the checkpoint of ``init_cfg``, if there is one."""
        if self.init_cfg and not self.is_init:
            from dense3d.checkpoints.pimae import tokenizer_weights
            from dense3d.engine.checkpoint import load_checkpoint, load_into

            path = checkpoint_of(self.init_cfg, type(self).__name__)
            load_into(self, tokenizer_weights(load_checkpoint(path)), source=f"the tokens in {path}")
        self._is_init = True

    def forward(
        self, points: Tensor, features: Tensor | None = None, lengths: Tensor | None = None
    ) -> PointFeatures:
        """Centres of groups with their tokens.

        Args:
            points: ``(B, N, 3)``.
            features: None; coordinates alone are read.
            lengths: ``(B,)``, how many first points of each cloud count.

        Raises:
            DataError: there are features, or fewer points than groups.
        """
        if features is not None:
            raise DataError(
                "a PointTokenizer reads coordinates alone and would ignore the features of the clouds: leave "
                "them out of the pipeline's PackPointInputs"
            )
        patches = group_patches(points, self.num_groups, self.group_size, self.skip_origin, lengths)
        tokens = self.patch_embed(patches.points) + self.pos_embed(patches.centres)
        return PointFeatures(patches.centres, tokens, patches.centre_indices)

    seeds = forward
