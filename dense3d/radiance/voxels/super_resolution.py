"""Finer voxels: NeRF-MAE's network with a head at a higher resolution (zubair-irshad/NeRF-MAE)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.errors import ConfigError, DataError
from dense3d.layers.assignment import mean_number
from dense3d.radiance.data_preprocessor import grids_of, padded
from dense3d.radiance.grid_errors import rgb_error
from dense3d.radiance.unet_decoder import PlainDecoder3D
from dense3d.radiance.voxels.network import VoxelNetwork, samples_with
from dense3d.registry import MODELS
from dense3d.structures.grid_sample import GridDataSample
from dense3d.structures.radiance_grid import OCCUPIED

CHANNELS = 4
DECODERS = ("unet", "plain")


@MODELS.register_module()
class VoxelSuperResolution(VoxelNetwork):
    """Colours of a finer grid from a coarse one; opacity is put out but not learnt, as officially.

    Args:
        encoder, pretrained, data_preprocessor, init_cfg: see :class:`VoxelNetwork`.
        factor: by which the sides grow: 1.6 from 160 to 256, 2.4 from 160 to 384.
        decoder: ``"unet"``, whose features are repeated for the finer voxels before the last convolution; or
            ``"plain"``, convolutions on the coarsest map alone, which the authors' script chooses.

    Shape:
        grids ``(B, 4, X, Y, Z)`` with sides of whole patches -> ``(B, 4, floor(X * factor), ...)``.

    Raises:
        ConfigError: an unknown decoder, or a factor below 1.

    Example:
        >>> small = dict(arch=dict(embed_dim=12, depths=(1, 1), num_heads=(2, 2)))
        >>> VoxelSuperResolution(small, factor=1.6)(torch.rand(1, 4, 16, 8, 8)).shape
        torch.Size([1, 4, 25, 12, 12])
    """

    def __init__(
        self,
        encoder: dict,
        factor: float = 1.6,
        decoder: str = "unet",
        pretrained: str | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(encoder, pretrained, data_preprocessor, init_cfg)
        if decoder not in DECODERS:
            raise ConfigError(f"decoder={decoder!r}: use one of {', '.join(map(repr, DECODERS))}")
        if not factor >= 1:
            raise ConfigError(f"factor={factor}: finer voxels are 1 time as many along a side, or more")
        self.factor, self.decoder_type = factor, decoder
        if decoder == "unet":
            self.predict = nn.Conv3d(self.add_decoder(), CHANNELS, 1)
        else:
            stages = len(self.encoder.out_channels)
            if stages != 4:
                raise ConfigError(f"decoder='plain' goes with an encoder of four stages, not {stages}")
            patch = self.encoder.patch_size[0]
            self.plain = PlainDecoder3D(self.encoder.out_channels[-1], patch, CHANNELS, last_factor=factor)

    def forward(
        self,
        inputs: Tensor | Mapping[str, Tensor],
        data_samples: list[GridDataSample] | None = None,
        mode: str = "tensor",
    ) -> dict[str, Tensor] | list[GridDataSample] | Tensor:
        """Losses, samples with ``pred_grid``, or finer grids.

        Args:
            inputs: grids.
            data_samples: with ``gt_grid`` ``(4, W', L', H')`` for ``"loss"``; ``"predict"`` adds errors where
                there is one.
            mode: ``"loss"``, ``"predict"`` or ``"tensor"``.
        """
        grids, shapes = grids_of(inputs)
        finer = self.finer(grids)
        if mode == "tensor":
            return finer
        if mode == "predict":
            return self.samples(finer, grids, shapes, data_samples)
        targets = samples_with(data_samples, "gt_grid", "super-resolution")
        return {"loss_rgb": self.loss(finer, self.batched(targets, finer, shapes, data_samples))}

    def finer(self, grids: Tensor) -> Tensor:
        """``(B, 4, floor(X * factor), floor(Y * factor), floor(Z * factor))``."""
        if self.decoder_type == "plain":
            self.check_sides(grids)
            return self.plain(self.encoder(grids)[-1])
        features = F.interpolate(self.features(grids), scale_factor=self.factor, mode="nearest")
        return self.predict(features)

    def batched(
        self, targets: list[Tensor], finer: Tensor, shapes: Tensor, samples: list[GridDataSample]
    ) -> Tensor:
        """Targets padded as the prediction is.

        Raises:
            DataError: one has another number of voxels than the model makes.
        """
        for sample, target, shape in zip(samples, targets, shapes.tolist()):
            self._require_factor(target, finer, shape, sample)
        return torch.stack([padded(target.to(finer), tuple(finer.shape[2:])) for target in targets])

    def _require_factor(
        self, target: Tensor, finer: Tensor, shape: list[int], sample: GridDataSample
    ) -> None:
        """Both grids are cut to whole, even sides, so that a side is about ``factor`` times the other."""
        slack = self.factor + 2
        sides = zip(target.shape[1:], finer.shape[2:], shape)
        if any(have > can or abs(have - self.factor * side) > slack for have, can, side in sides):
            made = "x".join(str(math.floor(side * self.factor)) for side in shape)
            raise DataError(
                f"{sample.get('sample_id')}: the finer grid has {'x'.join(map(str, target.shape[1:]))} "
                f"voxels, and the model makes {made} of {'x'.join(map(str, shape))}: set factor to "
                "what lies between the two grids"
            )

    def loss(self, finer: Tensor, target: Tensor) -> Tensor:
        """Squared errors summed over the colours, averaged over occupied voxels of the target.

        0 where nothing is occupied. Voxels are counted over all processes.
        """
        error = (finer[:, :3].float() - target[:, :3].float()).square().sum(1)
        seen = target[:, 3] > OCCUPIED
        return (error * seen).sum() / mean_number(float(seen.sum()), finer.device)

    def samples(
        self, finer: Tensor, grids: Tensor, shapes: Tensor, data_samples: list[GridDataSample] | None
    ) -> list[GridDataSample]:
        """Finer grids without padding, of the truth's sides where there is one."""
        samples = data_samples or [GridDataSample() for _ in finer]
        for index, (sample, shape) in enumerate(zip(samples, shapes.tolist())):
            truth = sample.get("gt_grid")
            if truth is not None:
                self._require_factor(truth, finer, shape, sample)
            sides = [math.floor(s * self.factor) for s in shape] if truth is None else truth.shape[1:]
            x, y, z = (slice(side) for side in sides)
            made = finer[index, :, x, y, z].float()
            x, y, z = (slice(side) for side in shape)
            fields = {"pred_grid": made, "grid": grids[index, :, x, y, z].float()}
            if truth is not None:
                fields |= dict(zip(("mse", "psnr"), rgb_error(made, truth.to(made))))
            sample.set_data(fields)
        return samples
