"""The network that voxel semantics and super-resolution share: NeRF-MAE's, with a skip from the voxels."""

from __future__ import annotations

from typing import Any

from mmengine.model import BaseModel
from torch import Tensor

from dense3d.errors import ConfigError, DataError
from dense3d.radiance.data_preprocessor import GridDataPreprocessor
from dense3d.radiance.swin3d import Swin3D
from dense3d.radiance.unet_decoder import ResidualBlock3D, UNetDecoder3D, UpBlock3D


class VoxelNetwork(BaseModel):
    """Features of every voxel of a grid.

    Args:
        encoder: arguments of :class:`dense3d.radiance.swin3d.Swin3D`, which has the position table here
            unless it says otherwise; the authors' networks from scratch have none, and no stochastic depth.
        pretrained: a checkpoint of NeRF-MAE, ours or an official one, whose encoder and decoder (but for its
            finest block) the network starts from.
        data_preprocessor, init_cfg: see mmengine's ``BaseModel``.

    Raises:
        ConfigError: patches that are no cubes.
    """

    def __init__(
        self,
        encoder: dict,
        pretrained: str | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor or GridDataPreprocessor(multiple=32), init_cfg)
        settings = {"position_table": True, **{k: v for k, v in encoder.items() if k != "type"}}
        self.encoder = Swin3D(**settings)
        self.pretrained = pretrained
        if len(set(self.encoder.patch_size)) > 1:
            raise ConfigError(f"patch_size={self.encoder.patch_size}: the decoder takes cubic patches")

    def add_decoder(self) -> int:
        """The U-Net with its skip from the voxels; gives the channels of its features."""
        channels, width = self.encoder.out_channels, self.encoder.out_channels[0] // 2
        self.decoder = UNetDecoder3D(channels)
        self.finest = UpBlock3D(channels[0], width, self.encoder.patch_size[0])
        self.voxel_stem = ResidualBlock3D(self.encoder.in_channels, width)
        return width

    def init_weights(self) -> None:
        """Load what ``pretrained`` or an ``init_cfg`` asks for."""
        super().init_weights()
        self.encoder.init_weights()
        if self.pretrained:
            from dense3d.radiance.voxels.loading import load_pretrained

            load_pretrained(self, self.pretrained)
            self.pretrained = None

    def features(self, grids: Tensor) -> Tensor:
        """``(B, 4, X, Y, Z)`` -> ``(B, C / 2, X, Y, Z)``."""
        self.check_sides(grids)
        return self.finest(self.decoder(self.encoder(grids)), self.voxel_stem(grids))

    def check_sides(self, grids: Tensor) -> None:
        """Complain about grids that patches do not fill.

        Raises:
            DataError: sides are no multiples of the patch.
        """
        patch = self.encoder.patch_size[0]
        if any(side % patch for side in grids.shape[2:]):
            raise DataError(
                f"grids of {'x'.join(map(str, grids.shape[2:]))} voxels cannot be cut into patches: pad them "
                f"to multiples of {patch}, for instance by GridDataPreprocessor(multiple=32)"
            )


def samples_with(samples: list | None, field: str, purpose: str) -> list[Any]:
    """The field of every sample.

    Raises:
        DataError: a sample lacks it.
    """
    for index, sample in enumerate(samples or [None]):
        if sample is None or field not in sample:
            name = None if sample is None else sample.get("sample_id")
            raise DataError(
                f"{name or f'grid {index} of the batch'} has no {field}, which {purpose} learns from: "
                "give it a data set with them"
            )
    return [sample.get(field) for sample in samples]
