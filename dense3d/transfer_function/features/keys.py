"""Keys (or queries, values) of a vision transformer's last block, as maps of patches.

They are the raw output of the last ``qkv`` projection, bias included, before scale and rotation: blocks
0 ... L - 2, the first norm of the last block, and the wanted third of its projection. Nothing behind it runs,
and class token and registers are left out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.backbones import VisionTransformer
from dense3d.errors import ConfigError
from dense3d.layers.attention import SelfAttention

PARTS = ("q", "k", "v")


def projection_of(attention: SelfAttention, part: str) -> tuple[Tensor, Tensor | None]:
    """Rows of weight (D, D) and bias (D,) of ``qkv`` that give queries, keys or values.

    Raises:
        ConfigError: ``part`` is none of ``"q"``, ``"k"`` and ``"v"``.
    """
    if part not in PARTS:
        raise ConfigError(f"part={part!r} of an attention: use one of {', '.join(map(repr, PARTS))}")
    index = PARTS.index(part)
    weight = attention.qkv.weight.chunk(3)[index]
    if attention.q_bias is not None:  # keys have none
        return weight, {"q": attention.q_bias, "k": None, "v": attention.v_bias}[part]
    bias = attention.qkv.bias
    return weight, None if bias is None else bias.chunk(3)[index]


class KeyNetwork:
    """A vision transformer, asked for the keys of its last block.

    Args:
        network: :class:`dense3d.backbones.VisionTransformer`, or a plain ViT of timm in
            :class:`dense3d.backbones.TimmBackbone`; it is put into evaluation mode.
        part: ``"k"`` as in the paper, ``"q"`` or ``"v"``.

    Attributes:
        channels: F of the maps.
        patch_size: side of a patch in pixels.

    Raises:
        ConfigError: the network has no plain ``qkv`` projection in a last block.

    Example:
        >>> vit = VisionTransformer(dict(name="deit_tiny_patch16", depth=2, pretrain_size=32))
        >>> KeyNetwork(vit)(torch.zeros(1, 3, 32, 48)).shape
        torch.Size([1, 192, 2, 3])
    """

    def __init__(self, network: nn.Module, part: str = "k") -> None:
        if part not in PARTS:
            raise ConfigError(f"part={part!r} of an attention: use one of {', '.join(map(repr, PARTS))}")
        self.network, self.part = network.eval(), part
        self._of_timm = None if isinstance(network, VisionTransformer) else _timm_vit(network)
        if self._of_timm is None:
            self.channels, self.patch_size = network.embed_dims, network.patch_size
        else:
            self.channels = self._of_timm.blocks[-1].attn.qkv.out_features // 3
            self.patch_size = self._of_timm.patch_embed.patch_size[0]

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Normalised images (B, 3, h p, w p) to maps (B, F, h, w), in the precision that is on."""
        grid = tuple(side // self.patch_size for side in images.shape[-2:])
        if self._of_timm is None:
            network = self.network
            tokens, _ = network.embed(images)
            tokens = network.run_blocks(tokens, grid, 0, len(network.blocks) - 1)
            last = network.blocks[-1]
            tokens = last.norm1(tokens[:, network.num_prefix :])
            keys = F.linear(tokens, *projection_of(last.attn, self.part))  # (B, h w, F)
        else:
            keys = self._timm_keys(images)
        return keys.transpose(1, 2).unflatten(2, grid)

    def _timm_keys(self, images: Tensor) -> Tensor:
        vit, index = self._of_timm, PARTS.index(self.part)
        projection = vit.blocks[-1].attn.qkv
        with _until(projection) as inputs:
            vit.forward_features(images)
        weight = projection.weight.chunk(3)[index]
        bias = None if projection.bias is None else projection.bias.chunk(3)[index]
        tokens = inputs[0][
            :, -(images.shape[-2] // self.patch_size) * (images.shape[-1] // self.patch_size) :
        ]
        return F.linear(tokens, weight, bias)

    def to(self, device: str | torch.device) -> KeyNetwork:
        """The same network on another device."""
        self.network.to(device)
        return self


class _Reached(Exception):
    """Ends a forward pass."""


@contextlib.contextmanager
def _until(module: nn.Module) -> Iterator[list[Tensor]]:
    """A forward pass in the block ends where ``module`` would run; the list then holds its input."""
    inputs: list[Tensor] = []

    def stop(_module: nn.Module, arguments: tuple) -> None:
        inputs.append(arguments[0])
        raise _Reached

    handle = module.register_forward_pre_hook(stop)
    try:
        with contextlib.suppress(_Reached):
            yield inputs
    finally:
        handle.remove()


def _timm_vit(network: nn.Module) -> nn.Module:
    """The plain ViT inside of a :class:`dense3d.backbones.TimmBackbone`."""
    name = getattr(network, "model_name", type(network).__name__)
    body = getattr(network, "body", network)
    vit = getattr(body, "model", body)
    blocks = getattr(vit, "blocks", None)
    projection = getattr(getattr(blocks[-1], "attn", None), "qkv", None) if blocks else None
    patch = getattr(getattr(vit, "patch_embed", None), "patch_size", None)
    if not isinstance(projection, nn.Linear) or patch is None or patch[0] != patch[1]:
        raise ConfigError(
            f"{name} has no last block with one projection of queries, keys and values: take a plain "
            "vision transformer, as DINO, DINOv2, DINOv3, MAE and DeiT are"
        )
    return vit
