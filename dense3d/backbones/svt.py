"""SVT, the scattering vision transformer, for dense prediction.

Patro and Agneeswaran, Scattering Vision Transformer: Spectral Mixing Matters, NeurIPS 2023
(arXiv:2311.01310); official code: badripatro/svt, whose networks take images of 224 pixels alone. It is a
SpectFormer whose first stage works in a wavelet basis and whose others attend.
"""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from dense3d.backbones.spectformer import SpectFormer
from dense3d.layers.scattering import ScatteringMixer
from dense3d.registry import MODELS


@MODELS.register_module()
class SVT(SpectFormer):
    """SVT, maps of strides 4, 8, 16, 32.

    Args:
        arch, pretrain_size, token_labels, drop_path_rate: see :class:`SpectFormer`, whose sizes these are
            (H-S to H-L there); channels of the first stage are a multiple of 4. ``pretrain_size`` is of the
            gate of the low band, which is resized to other maps.
        in_channels, out_indices, frozen_stages, with_cp, init_cfg: see :class:`StagedBackbone`.

    Shape:
        images ``(B, in_channels, H, W)`` of any size -> tuple of
        ``(B, embed_dims[i], ceil(H / out_strides[i]), ceil(W / out_strides[i]))``.

    Raises:
        ConfigError: see :class:`SpectFormer`.

    Example:
        >>> import torch
        >>> arch = dict(embed_dims=(8, 8, 16, 16), depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2), stem_dim=4)
        >>> backbone = SVT(arch, out_indices=(0, 2))
        >>> [tuple(m.shape) for m in backbone(torch.zeros(1, 3, 33, 50))]
        [(1, 8, 9, 13), (1, 16, 3, 4)]
    """

    spectral_stages = 1
    converters = ("svt",)
    tiny_variants: ClassVar[dict[str, dict]] = SpectFormer.tiny_variants

    def spectral_mixer(self, dim: int, side: int) -> nn.Module:
        """Wavelets, for maps of ``side`` squared."""
        return ScatteringMixer(dim, (side, side))
