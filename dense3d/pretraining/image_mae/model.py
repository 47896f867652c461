"""The masked autoencoder: a vision transformer sees a quarter of the patches, a small one paints the rest.

He et al., "Masked Autoencoders Are Scalable Vision Learners", CVPR 2022 (facebookresearch/mae).
"""

from __future__ import annotations

import torch
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from dense3d.backbones.vit import VisionTransformer
from dense3d.backbones.vit_scattered import scattered_faults
from dense3d.errors import ConfigError, DataError
from dense3d.layers.patch_embed import Grid, resize_position_table, sincos_position_table
from dense3d.layers.pixel_patches import normalised_patches, paint, patch_loss, patchify
from dense3d.layers.transformer_block import TransformerBlock
from dense3d.pretraining.image_mae.masking import random_masking
from dense3d.registry import MODELS


class PixelDecoder(nn.Module):
    """Predicts the pixels of all patches from the encoded ones.

    Args:
        encoder_dim: channels of the encoded tokens.
        grid: rows and columns that the position table is for; other grids get it resized.
        patch_values: pixels times channels of a patch.
        dim, depth, num_heads, mlp_ratio, norm_eps: of the decoder's blocks.
    """

    def __init__(
        self,
        encoder_dim: int,
        grid: Grid,
        patch_values: int,
        dim: int = 512,
        depth: int = 8,
        num_heads: int = 16,
        mlp_ratio: float = 4.0,
        norm_eps: float = 1e-6,
    ) -> None:
        super().__init__()
        self.grid = grid
        self.embed = nn.Linear(encoder_dim, dim)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(sincos_position_table(grid, dim), requires_grad=False)
        self.blocks = nn.ModuleList(
            TransformerBlock(dim, num_heads, mlp_ratio, norm_eps=norm_eps) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(dim, eps=norm_eps)
        self.pred = nn.Linear(dim, patch_values)

    def forward(self, latent: Tensor, ids_restore: Tensor, grid: Grid) -> Tensor:
        """Pixels ``(B, N, p * p * C)`` from the class token and K encoded patches ``(B, 1 + K, D)``."""
        tokens = self.embed(latent)
        missing = ids_restore.shape[1] + 1 - tokens.shape[1]
        masked = self.mask_token.to(tokens.dtype).expand(len(tokens), missing, -1)
        patches = torch.cat([tokens[:, 1:], masked], dim=1)
        patches = patches.gather(1, ids_restore[..., None].expand(-1, -1, tokens.shape[2]))
        patches = patches + resize_position_table(self.pos_embed, self.grid, grid)
        tokens = torch.cat([tokens[:, :1], patches], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        return self.pred(self.norm(tokens))[:, 1:]


@MODELS.register_module()
class MaskedAutoencoder(BaseModel):
    """Image pre-training by painting removed patches.

    Args:
        encoder: config of a :class:`dense3d.backbones.VisionTransformer` with a class token, absolute
            positions and global attention.
        decoder: arguments of :class:`PixelDecoder` beside those that the encoder decides.
        mask_ratio: part of the patches that is removed.
        norm_pix_loss: predict each patch normalised by its own mean and (unbiased) variance.
        data_preprocessor, init_cfg: see mmengine's ``BaseModel``.

    Shape:
        images ``(B, 3, H, W)``, normalised RGB, whole patches.

    Raises:
        ConfigError: the encoder cannot work on scattered patches; the ratio is not between 0 and 1.
        DataError: images are not made of whole patches, have another number of channels, or have so few
            patches that none is removed or none is left.

    Example:
        >>> encoder = dict(arch=dict(name="mae_base_patch16", depth=1, pretrain_size=32))
        >>> model = MaskedAutoencoder(encoder, dict(dim=32, depth=1, num_heads=2))
        >>> sorted(model(torch.zeros(2, 3, 32, 32), mode="loss"))
        ['loss']
    """

    def __init__(
        self,
        encoder: dict,
        decoder: dict | None = None,
        mask_ratio: float = 0.75,
        norm_pix_loss: bool = True,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.encoder = VisionTransformer(**{k: v for k, v in encoder.items() if k != "type"})
        arch = self.encoder.arch
        values = arch.patch_size**2 * arch.in_channels
        self.decoder = PixelDecoder(arch.embed_dim, arch.table_grid, values, **(decoder or {}))
        self.mask_ratio, self.norm_pix_loss = mask_ratio, norm_pix_loss
        self._check_settings()
        self._initialise()

    def _check_settings(self) -> None:
        if not 0 < self.mask_ratio < 1:
            raise ConfigError(
                f"mask_ratio={self.mask_ratio}: it is the part of the patches to remove, between 0 and 1"
            )
        arch = self.encoder.arch
        faults = {
            "no class token (prefix_tokens=False)": self.encoder.cls_token is None,
            "registers": arch.num_registers > 0,
        }
        found = [fault for fault, is_there in faults.items() if is_there]
        found += scattered_faults(self.encoder)
        if found:
            raise ConfigError(
                f"the encoder of a MaskedAutoencoder sees scattered patches and a class token, so it cannot "
                f"have {', '.join(found)}; an arch such as 'mae_base_patch16' fits"
            )

    def forward(
        self,
        inputs: Tensor,
        data_samples: list | None = None,
        mode: str = "tensor",
        noise: Tensor | None = None,
    ) -> dict[str, Tensor] | list[BaseDataElement] | tuple[Tensor, Tensor]:
        """Losses, reconstructions or predicted patches.

        Args:
            inputs: images ``(B, 3, H, W)``.
            data_samples: what ``"predict"`` adds its fields to; there are no labels.
            mode: ``"loss"``; ``"predict"``, data samples with ``image``, ``masked`` (removed patches are 0)
                and ``reconstruction`` (removed patches are painted), all ``(3, H, W)`` and normalised, and
                ``error``, the image's own loss; or ``"tensor"``, predicted patches ``(B, N, p * p * 3)`` and
                the mask ``(B, N)``.
            noise: see :func:`random_masking`.
        """
        inputs = torch.stack(list(inputs)) if isinstance(inputs, (list, tuple)) else inputs
        self._check_images(inputs)
        latent, mask, restore, grid = self.encode(inputs, self.mask_ratio, noise)
        predicted = self.decoder(latent, restore, grid)
        if mode == "loss":
            return {"loss": self.loss(inputs, predicted, mask)}
        if mode == "predict":
            return self._samples(inputs, data_samples, predicted, mask)
        return predicted, mask

    def _check_images(self, images: Tensor) -> None:
        self.encoder.check_images(images)
        size, (height, width) = self.encoder.patch_size, images.shape[-2:]
        if height % size or width % size:
            raise DataError(
                f"images of {height} x {width} pixels are not made of whole patches of {size} x {size}; "
                "resize or crop them to multiples of it"
            )
        patches = height // size * (width // size)
        if int(patches * (1 - self.mask_ratio)) in (0, patches):
            raise DataError(
                f"of the {patches} patches in images of {height} x {width} pixels, mask_ratio="
                f"{self.mask_ratio} keeps {int(patches * (1 - self.mask_ratio))}; use larger images"
            )

    def encode(
        self, images: Tensor, mask_ratio: float, noise: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Grid]:
        """Encoded class token and kept patches ``(B, 1 + K, D)``, mask, ``ids_restore`` and the grid."""
        encoder = self.encoder
        tokens, grid = encoder.embed(images)
        prefix, patches = tokens[:, : encoder.num_prefix], tokens[:, encoder.num_prefix :]
        kept, mask, restore = random_masking(patches, mask_ratio, noise)
        tokens = encoder.run_blocks(torch.cat([prefix, kept], dim=1), grid)
        return encoder.normalise(tokens), mask, restore, grid

    def loss(self, images: Tensor, predicted: Tensor, mask: Tensor) -> Tensor:
        """Mean squared error of the removed patches of the batch.

        Args:
            images: ``(B, 3, H, W)``.
            predicted: ``(B, N, p * p * 3)``.
            mask: ``(B, N)``, 1 for removed.
        """
        return patch_loss(predicted, self.targets(images), mask)

    def targets(self, images: Tensor) -> Tensor:
        """What the patches ``(B, N, p * p * 3)`` should become."""
        patches = patchify(images, self.encoder.patch_size)
        return normalised_patches(patches) if self.norm_pix_loss else patches

    def _samples(
        self, images: Tensor, data_samples: list | None, predicted: Tensor, mask: Tensor
    ) -> list[BaseDataElement]:
        masked, painted = paint(images, predicted, mask, self.encoder.patch_size, self.norm_pix_loss)
        samples = data_samples or [BaseDataElement() for _ in images]
        for i, sample in enumerate(samples):
            error = self.loss(images[i : i + 1], predicted[i : i + 1], mask[i : i + 1])
            sample.set_data(dict(image=images[i], masked=masked[i], reconstruction=painted[i], error=error))
        return samples

    def _initialise(self) -> None:
        """Xavier-uniform matrices, the patch kernel as one of them, and normal tokens."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.xavier_uniform_(self.encoder.patch_embed.proj.weight.data.flatten(1))
        nn.init.normal_(self.encoder.cls_token, std=0.02)
        nn.init.normal_(self.decoder.mask_token, std=0.02)
