"""The masked autoencoder of radiance grids: blocks of tokens are hidden, colour and opacity are predicted.

Irshad et al., "NeRF-MAE: Masked AutoEncoders for Self-Supervised 3D Representation Learning for Neural
Radiance Fields", ECCV 2024, arXiv:2404.01300 (zubair-irshad/NeRF-MAE, ``SwinTransformer_MAE3D_New``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from dense3d.errors import ConfigError, DataError
from dense3d.pretraining.nerf_mae.masking import MASKS, block_mask, mask_of_scene, mask_of_tokens, repeated
from dense3d.pretraining.nerf_mae.objective import (
    RGB_ON,
    alpha_error,
    reconstruction_losses,
)
from dense3d.radiance.data_preprocessor import GridDataPreprocessor, grids_of, inside_of
from dense3d.radiance.grid_errors import rgb_error
from dense3d.radiance.swin3d import Swin3D
from dense3d.radiance.unet_decoder import PlainDecoder3D, UNetDecoder3D, UpBlock3D
from dense3d.registry import MODELS
from dense3d.structures.grid_sample import GridDataSample

CHANNELS = 4  # red, green, blue, opacity
DECODERS = ("unet", "plain")


class Reconstruction(NamedTuple):
    """What the network made of a batch of grids.

    Attributes:
        predicted: ``(B, 4, X, Y, Z)``, colours as they are and the logit of opacity.
        grids: ``(B, 4, X, Y, Z)``, the input.
        valid: ``(B, X, Y, Z)`` bool, true within the grids.
        removed: ``(B or 1, X, Y, Z)`` bool, true where a block is hidden.
    """

    predicted: Tensor
    grids: Tensor
    valid: Tensor
    removed: Tensor


@MODELS.register_module()
class NeRFMAE(BaseModel):
    """Pre-training on radiance grids: colour and opacity of hidden blocks.

    Args:
        encoder: arguments of :class:`dense3d.radiance.swin3d.Swin3D`, which has the position table here
            unless it says otherwise.
        decoder: ``"unet"``, with the encoder's finer maps as skips, as the released checkpoint; or
            ``"plain"``, convolutions on the coarsest map alone, the older one.
        mask_ratio: probability of a block to be hidden.
        mask_type: see :func:`~dense3d.pretraining.nerf_mae.masking.block_mask`.
        mask_block: tokens of a block along each axis.
        shared_mask: whether all grids of a batch have one mask, as in the official code.
        loss_weights: of colour and of opacity.
        rgb_on: voxels of the colour loss, see :func:`reconstruction_losses`.
        data_preprocessor: :class:`~dense3d.radiance.data_preprocessor.GridDataPreprocessor` with sides of a
            multiple of 32 unless given.
        init_cfg: see mmengine's ``BaseModel``.

    Shape:
        grids ``(B, 4, X, Y, Z)`` with sides that are multiples of the patch, or what the preprocessor gives.

    Raises:
        ConfigError: an unknown decoder, mask or loss, a ratio outside (0, 1), or weights below 0.

    Example:
        >>> model = NeRFMAE(dict(arch=dict(embed_dim=12, depths=(1, 1), num_heads=(2, 2))))
        >>> sorted(model(torch.rand(1, 4, 32, 32, 32), mode="loss"))
        ['loss_alpha', 'loss_rgb']
    """

    def __init__(
        self,
        encoder: dict,
        decoder: str = "unet",
        mask_ratio: float = 0.75,
        mask_type: str = "random",
        mask_block: int = 4,
        shared_mask: bool = True,
        loss_weights: tuple[float, float] = (1.0, 1.0),
        rgb_on: str = "occupied",
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor or GridDataPreprocessor(multiple=32), init_cfg)
        settings = {"position_table": True, **{k: v for k, v in encoder.items() if k != "type"}}
        self.encoder = Swin3D(**settings)
        self.decoder_type, self.mask_ratio, self.mask_type = decoder, mask_ratio, mask_type
        self.mask_block, self.shared_mask = mask_block, shared_mask
        self.loss_weights, self.rgb_on = tuple(loss_weights), rgb_on
        self._check_settings()
        channels, patch = self.encoder.out_channels, self.encoder.patch_size
        self.mask_token = nn.Parameter(nn.init.normal_(torch.empty(self.encoder.embed_dim), std=0.02))
        if decoder == "unet":
            self.decoder = UNetDecoder3D(channels)
            self.finest = UpBlock3D(channels[0], channels[0] // 2, patch[0], skip=False)
            self.predict = nn.Conv3d(channels[0] // 2, CHANNELS, 1)
        else:
            self.decoder = PlainDecoder3D(channels[-1], patch[0], CHANNELS, upsample="trilinear")

    def _check_settings(self) -> None:
        choices = {"decoder": DECODERS, "mask_type": MASKS, "rgb_on": RGB_ON}
        given = {"decoder": self.decoder_type, "mask_type": self.mask_type, "rgb_on": self.rgb_on}
        for name, known in choices.items():
            if given[name] not in known:
                raise ConfigError(f"{name}={given[name]!r}: use one of {', '.join(map(repr, known))}")
        if not 0 < self.mask_ratio < 1:
            raise ConfigError(f"mask_ratio={self.mask_ratio}: give a probability above 0 and below 1")
        if len(self.loss_weights) != 2 or min(self.loss_weights) < 0 or not sum(self.loss_weights):
            raise ConfigError(
                f"loss_weights={self.loss_weights}: colour and opacity have one of 0 or more, not both 0"
            )
        if self.mask_block < 1:
            raise ConfigError(f"mask_block={self.mask_block}: give 1 token or more")
        if len(set(self.encoder.patch_size)) > 1:
            raise ConfigError(f"patch_size={self.encoder.patch_size}: the decoder takes cubic patches")
        if self.decoder_type == "plain" and len(self.encoder.out_channels) != 4:
            raise ConfigError("decoder='plain' goes with an encoder of four stages")

    def init_weights(self) -> None:
        """Load what ``init_cfg`` of the model or of its encoder asks for."""
        super().init_weights()
        self.encoder.init_weights()

    def forward(
        self,
        inputs: Tensor | Mapping[str, Tensor],
        data_samples: list[GridDataSample] | None = None,
        mode: str = "tensor",
        mask: Tensor | None = None,
    ) -> dict[str, Tensor] | list[GridDataSample] | tuple[Tensor, ...]:
        """Losses, reconstructed grids or features.

        Args:
            inputs: grids.
            data_samples: what ``"predict"`` adds its fields to; there are no labels.
            mode: ``"loss"``; ``"predict"``, see :meth:`samples`, with a mask that depends on the scene's size
                alone (the official evaluation draws another one each time, and its figures scatter); or
                ``"tensor"``, the encoder's maps with nothing hidden.
            mask: ``(x, y, z)`` or ``(B, x, y, z)`` bool of blocks, true for hidden; drawn unless given.
        """
        grids, shapes = grids_of(inputs)
        if mode == "tensor":
            return self.encoder(grids)
        found = self.reconstruct(grids, shapes, mask, repeatable=mode == "predict")
        if mode == "predict":
            return self.samples(found, shapes, data_samples)
        losses = reconstruction_losses(found.predicted, found.grids, found.valid, found.removed, self.rgb_on)
        return {
            name: weight * losses[name] for name, weight in zip(("loss_rgb", "loss_alpha"), self.loss_weights)
        }

    def reconstruct(
        self, grids: Tensor, shapes: Tensor, mask: Tensor | None = None, repeatable: bool = False
    ) -> Reconstruction:
        """Hide blocks of grids and predict all of their voxels.

        Args:
            grids: ``(B, 4, X, Y, Z)``.
            shapes: ``(B, 3)``, voxels of each that are no padding.
            mask: see :meth:`forward`.
            repeatable: give each scene the mask of :func:`~.masking.mask_of_scene`.
        """
        self._check_sides(grids)
        tokens = self.encoder.embed(grids)
        given = shapes if repeatable and mask is None else None
        hidden = self.hidden_tokens(tuple(tokens.shape[1:4]), len(grids), mask, given).to(grids.device)
        token = self.mask_token.to(tokens.dtype)
        maps = self.encoder.encode(torch.where(hidden[..., None], token, tokens))
        removed = repeated(hidden, self.encoder.patch_size, tuple(grids.shape[2:]))
        valid = inside_of(shapes, tuple(grids.shape[2:]))
        return Reconstruction(self.decode(maps), grids, valid, removed)

    def hidden_tokens(
        self,
        tokens: tuple[int, int, int],
        batch: int,
        mask: Tensor | None = None,
        shapes: Tensor | None = None,
    ) -> Tensor:
        """``(B or 1, X, Y, Z)`` bool of tokens, true for hidden.

        Of a mask of blocks; of scenes of ``shapes`` ``(B, 3)``, the same every time; or drawn.
        """
        blocks = tuple(side // self.mask_block for side in tokens)
        if 0 in blocks:
            raise DataError(
                f"grids of {'x'.join(map(str, tokens))} tokens hold no block of {self.mask_block} tokens a "
                "side that could be hidden: take larger grids or a smaller mask_block"
            )
        if shapes is not None:
            settings = (self.encoder.patch_size[0], self.mask_block, self.mask_ratio, self.mask_type)
            return torch.stack([mask_of_scene(tuple(s), tokens, *settings) for s in shapes.tolist()])
        if mask is None:
            count = 1 if self.shared_mask else batch
            mask = torch.stack([block_mask(blocks, self.mask_ratio, self.mask_type) for _ in range(count)])
        elif tuple(mask.shape[-3:]) != blocks or mask.ndim not in (3, 4):
            raise DataError(
                f"a mask of these grids is of {'x'.join(map(str, blocks))} blocks, not {tuple(mask.shape)}"
            )
        mask = mask if mask.ndim == 4 else mask[None]
        return mask_of_tokens(mask, tokens, self.mask_block)

    def decode(self, maps: tuple[Tensor, ...]) -> Tensor:
        """Voxels ``(B, 4, X, Y, Z)`` of the encoder's maps."""
        if self.decoder_type == "plain":
            return self.decoder(maps[-1])
        return self.predict(self.finest(self.decoder(maps)))

    def samples(
        self, found: Reconstruction, shapes: Tensor, data_samples: list[GridDataSample] | None
    ) -> list[GridDataSample]:
        """Reconstructed grids without their padding, and their errors; see :class:`GridDataSample`."""
        samples = data_samples or [GridDataSample() for _ in found.grids]
        predicted = torch.cat([found.predicted[:, :3], found.predicted[:, 3:].sigmoid()], dim=1).float()
        removed = found.removed.expand_as(found.valid)
        for index, (sample, shape) in enumerate(zip(samples, shapes.tolist())):
            x, y, z = (slice(side) for side in shape)
            grid, made = (values[index, :, x, y, z] for values in (found.grids.float(), predicted))
            hidden = removed[index, x, y, z]
            mse, psnr = rgb_error(made, grid)
            alpha = alpha_error(made, grid, hidden)
            fields = dict(grid=grid, pred_grid=made, removed=hidden, mse=mse, psnr=psnr, alpha_mse=alpha)
            sample.set_data(fields)
        return samples

    def _check_sides(self, grids: Tensor) -> None:
        patch = self.encoder.patch_size[0]
        coarsest = patch * 2 ** (len(self.encoder.out_channels) - 1)
        needed = coarsest if self.decoder_type == "plain" else patch
        if any(side % needed for side in grids.shape[2:]):
            raise DataError(
                f"grids of {'x'.join(map(str, grids.shape[2:]))} voxels cannot be cut into patches: pad them "
                f"to multiples of {needed}, for instance by GridDataPreprocessor(multiple={coarsest})"
            )
