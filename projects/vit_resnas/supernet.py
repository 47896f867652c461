"""The largest ViT-ResNAS of a space, whose weights all networks of the space share.

In training the images of a batch take turns with several networks ("multi-architectural sampling"); a network
has leading channels and heads, and some of the blocks, of the largest one. Liao et al., 2021
(arXiv:2109.00642).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.backbones.vit_resnas import ViTResNAS
from dense3d.errors import ConfigError, DataError
from dense3d.layers.attention import SelfAttention
from dense3d.layers.transformer_block import TransformerBlock
from dense3d.registry import MODELS
from projects.vit_resnas.masking import BlockMasks, Masks, draw, masked_layer_norm, masks_of
from projects.vit_resnas.sorting import sort_channels
from projects.vit_resnas.space import Network, as_space


@MODELS.register_module()
class SuperViTResNAS(ViTResNAS):
    """The weights of all networks of a search space; parameters have the names of :class:`ViTResNAS`.

    Args:
        space: ``"tiny"``, ``"small"``, or a dict, see :func:`projects.vit_resnas.space.as_space`.
        images_per_network: images of a batch that one network trains on; a batch is a multiple of it, and
            its quotient the number of networks in a step.
        warm_up_epochs: until all choices are drawn; from the largest on, smaller ones come one by one, and
            heads and channels are sorted at the start of each epoch.
        pretrain_size, drop_path_rate, in_channels, init_cfg: as for :class:`ViTResNAS`.

    Attributes:
        network: the network that all images pass, in training too; None for those drawn in training, and
            the largest one else.

    Raises:
        ConfigError: a faulty space, or numbers that are no counts.

    Example:
        >>> stage = dict(dims=(16, 8), heads=(2, 1), hidden=(32, 16), head_dim=8, removable=(False, True))
        >>> SuperViTResNAS(dict(stages=[stage]), pretrain_size=56).embed(torch.zeros(2, 3, 56, 56)).shape
        torch.Size([2, 17, 16])
    """

    def __init__(
        self,
        space: str | Mapping[str, Any] = "tiny",
        images_per_network: int = 64,
        warm_up_epochs: int = 30,
        pretrain_size: int = 224,
        drop_path_rate: float = 0.2,
        in_channels: int = 3,
        init_cfg: dict | None = None,
    ) -> None:
        found = as_space(space)
        if images_per_network < 1 or warm_up_epochs < 0:
            raise ConfigError(
                f"SuperViTResNAS: images_per_network={images_per_network}, warm_up_epochs={warm_up_epochs}: "
                "give 1 image or more and 0 epochs or more"
            )
        super().__init__(
            found.arch(found.largest),
            pretrain_size,
            pyramid=False,
            output_norm=False,
            drop_path_rate=drop_path_rate,
            in_channels=in_channels,
            init_cfg=init_cfg,
        )
        self.space, self.network = found, None
        self.images_per_network, self.warm_up_epochs = images_per_network, warm_up_epochs
        # kept with the weights: a run that goes on inside of an epoch does not sort again
        self.register_buffer("epoch", torch.tensor(-1))

    def start_epoch(self, epoch: int, optimizer: torch.optim.Optimizer | None = None) -> None:
        """Enter an epoch; while warm-up lasts, sort heads and hidden channels.

        Args:
            epoch: from 0; one that has begun before changes nothing.
            optimizer: whose states move with the weights.
        """
        if epoch <= int(self.epoch):
            return
        self.epoch.fill_(epoch)
        if epoch <= self.warm_up_epochs:
            sort_channels((block for stage in self.stages for block in stage), optimizer)

    def masked_embed(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Tokens of the last stage ``(B, 1 + h * w, C)``, and which channels each image has ``(B, 1, C)``.

        Where all images pass the largest network this is :meth:`embed`, and the mask is None.

        Raises:
            DataError: a batch in training that networks cannot share.
        """
        masks = self._masks(len(images), images.device)
        if masks is None:
            return self.embed(images), None
        self.check_images(images)
        height, width = images.shape[-2:]
        tokens, grid = self.patches(F.pad(images, (0, -width % self.multiple, 0, -height % self.multiple)))
        mask = None
        for index, stage in enumerate(self.stages):
            if index:
                reduction = self.reductions[index - 1]
                normed = masked_layer_norm(tokens, reduction.norm, mask)
                tokens = reduction.combine(tokens, normed, grid)
                grid = (grid[0] // 2, grid[1] // 2)
            mask = masks.dims[index]
            tokens = tokens * mask
            for block, parts in zip(stage, masks.blocks[index]):
                tokens = _masked_block(block, tokens, mask, parts)
        return tokens, mask

    def _masks(self, batch: int, device: torch.device) -> Masks | None:
        if self.network is not None:
            return masks_of(self.space, [self.network], batch, device)
        return masks_of(self.space, self._drawn(batch), batch, device) if self.training else None

    def _drawn(self, batch: int) -> list[Network]:
        if batch % self.images_per_network:
            raise DataError(
                f"a batch of {batch} images cannot be shared by networks with {self.images_per_network} "
                "each: set batch_size to a multiple of images_per_network, and drop_last=True"
            )
        if not self.warm_up_epochs:
            return draw(self.space, batch // self.images_per_network)
        epoch = int(self.epoch)
        if epoch < 0:
            raise ConfigError(
                "SuperViTResNAS does not know the epoch, which its warm-up needs: add "
                "custom_hooks=[dict(type='SupernetHook')], or set warm_up_epochs=0"
            )
        return draw(self.space, batch // self.images_per_network, min(1.0, epoch / self.warm_up_epochs))


def _masked_block(block: TransformerBlock, tokens: Tensor, mask: Tensor, parts: BlockMasks) -> Tensor:
    """A block of which every image has its own part: tokens ``(B, N, C)``, zero outside of ``mask``."""
    kept = mask & parts.exists
    attended = _masked_attention(block.attn, masked_layer_norm(tokens, block.norm1, mask), parts.heads)
    tokens = tokens + block.drop_path(attended) * kept
    hidden = block.mlp.activation(block.mlp.fc1(masked_layer_norm(tokens, block.norm2, mask)))
    return tokens + block.drop_path(block.mlp.fc2(hidden * parts.hidden)) * kept


def _masked_attention(attention: SelfAttention, tokens: Tensor, heads: Tensor) -> Tensor:
    query, key, value = (
        attention.qkv(tokens).unflatten(2, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)
    )
    attended = attention.attend(query, key, value, None, 0) * heads  # (B, M, N, d)
    return attention.proj(attended.transpose(1, 2).flatten(2))
