"""CoSwin: Swin for small images, whose blocks add a branch of convolutions to the window attention.

After "CoSwin", arXiv:2509.08959; official code: puskal-khadka/coswin. Published for classification of images
of 32 and 64 pixels, in three stages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torchvision.models import swin_transformer as tv

from dense3d.backbones.swin import Swin
from dense3d.errors import ConfigError, did_you_mean
from dense3d.registry import MODELS

# The published network, and one of ours with the strides that dense heads want.
ARCHITECTURES: dict[str, dict] = {
    "published": dict(embed_dim=96, depths=(2, 6, 4), num_heads=(3, 6, 12)),
    "four_stages": dict(embed_dim=96, depths=(2, 2, 6, 2), num_heads=(3, 6, 12, 24)),
}


class LocalBranch(nn.Module):
    """Two full 3x3 convolutions with a ReLU between, a tenth wider inside."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        hidden = int(1.1 * dim)
        self.conv1 = nn.Conv2d(dim, hidden, 3, padding=1)
        self.conv2 = nn.Conv2d(hidden, dim, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, h, w, C)`` to the same."""
        x = self.conv2(self.conv1(x.permute(0, 3, 1, 2)).relu())
        return x.permute(0, 2, 3, 1)


class CoSwinBlock(tv.SwinTransformerBlock):
    """A block of Swin with ``sigmoid(influence) * local(x)`` beside the attention.

    The branch sees the block's input before the norm, whole: neither cut into windows nor shifted nor padded.

    Shape:
        ``(B, h, w, C)`` to the same.
    """

    def __init__(self, dim: int, *args, **kwargs) -> None:
        super().__init__(dim, *args, **kwargs)
        self.local = LocalBranch(dim)
        self.influence = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: Tensor) -> Tensor:
        """``(B, h, w, C)`` to the same."""
        mixed = self.attn(self.norm1(x)) + self.influence.sigmoid() * self.local(x)
        x = x + self.stochastic_depth(mixed)
        return x + self.stochastic_depth(self.mlp(self.norm2(x)))


@MODELS.register_module()
class CoSwin(Swin):
    """CoSwin; maps of strides p, 2 p, ... for patches of p pixels.

    Args:
        arch: ``"published"``, three stages; ``"four_stages"``, ours; or a dict with ``embed_dim``, ``depths``
            and ``num_heads``.
        window_size: side of the attention windows, in tokens, for all stages or one each.
        mlp_ratio: width of the MLP over that of the stream.
        patch_size: side of a patch: 2 for images of 32 pixels, 4 for those of 64 and for dense heads.
        out_indices: stages whose maps are returned; all unless given.
        options: ``qkv_bias``, ``qk_scale``, ``patch_norm``, ``absolute_position_size``, ``output_norm``,
            ``drop_path_rate``, ``in_channels``, ``frozen_stages``, ``with_cp`` and ``init_cfg``: see
            :class:`dense3d.backbones.swin.Swin`.

    Shape:
        images ``(B, in_channels, H, W)`` of any size -> tuple of
        ``(B, embed_dim * 2 ** i, ceil(H / out_strides[i]), ceil(W / out_strides[i]))``.

    Raises:
        ConfigError: unknown size, an argument of Swin V2, and as Swin's.

    Example:
        >>> backbone = CoSwin(dict(embed_dim=16, depths=(1, 2), num_heads=(2, 4)))
        >>> [tuple(m.shape) for m in backbone(torch.zeros(1, 3, 33, 50))]
        [(1, 16, 9, 13), (1, 32, 5, 7)]
    """

    converters = ("coswin",)
    block_types: ClassVar[dict[int, type]] = {1: CoSwinBlock}
    tiny_variants: ClassVar[dict[str, dict]] = {
        "": dict(arch=dict(embed_dim=16, depths=(1, 1, 2, 1), num_heads=(1, 2, 2, 4)))
    }

    def __init__(
        self,
        arch: str | dict = "published",
        window_size: int | Sequence[int] = 4,
        mlp_ratio: float = 2.0,
        patch_size: int = 4,
        out_indices: Sequence[int] | None = None,
        **options,
    ) -> None:
        if isinstance(arch, str):
            if arch not in ARCHITECTURES:
                raise ConfigError(
                    f"CoSwin has no size {arch!r}{did_you_mean(arch, ARCHITECTURES)} "
                    f"(known: {', '.join(ARCHITECTURES)})"
                )
            arch = ARCHITECTURES[arch]
        for name in ("version", "pretrained_window_sizes", "shift_small_maps"):
            if name in options:
                raise ConfigError(f"CoSwin is built on Swin V1 without {name}: leave it out")
        super().__init__(
            arch,
            window_size=window_size,
            mlp_ratio=mlp_ratio,
            patch_size=patch_size,
            out_indices=range(len(arch.get("depths", ()))) if out_indices is None else out_indices,
            shift_small_maps=False,
            **options,
        )
