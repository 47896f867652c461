"""What the adapters of plain vision transformers share: sizes, the stride of 16, depths of layers."""

from __future__ import annotations

import math

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from dense3d.backbones.plain import PlainBackbone
from dense3d.errors import ConfigError
from dense3d.layers.patch_embed import Grid
from dense3d.registry import MODELS

STRIDES = (4, 8, 16, 32)
TOKEN_STRIDE = 16


class ViTAdapter(BaseModule):
    """Base of adapters: wraps a ViT and satisfies the backbone contract.

    Tokens always stand on a grid of stride 16. A network with another patch size sees the image resized by
    ``patch_size / 16`` for it (bilinear, antialiased); the convolutions of an adapter see the image itself.

    Args:
        vit: config of a :class:`dense3d.backbones.vit.VisionTransformer`, or with its ``type`` of another
            plain backbone; its final norm is left out unless the config says otherwise.
        out_channels: channels of the four maps; the ViT's unless given.
        multiple: images are padded right and below with zeros to a multiple of this.
        init_cfg: mmengine initialisation; ``dict(type="Pretrained", checkpoint=path)`` reads converted
            weights of the whole adapter, or of a detector of ours. Weights of the ViT alone go into ``vit``.

    Raises:
        ConfigError: ``vit`` is no plain ViT.
    """

    def __init__(
        self, vit: dict, out_channels: int | None = None, multiple: int = 32, init_cfg: dict | None = None
    ) -> None:
        super().__init__(init_cfg)
        vit = {"type": "VisionTransformer", "final_norm": False, **vit}
        wrapped = vit["type"] if isinstance(vit["type"], type) else MODELS.get(vit["type"])
        if not (isinstance(wrapped, type) and issubclass(wrapped, PlainBackbone)):
            raise ConfigError(
                f"{type(self).__name__} wraps a VisionTransformer or another plain backbone, "
                f"not {vit['type']!r}"
            )
        # Not built by the registry, which may be looking from within another library's model.
        self.vit = wrapped(**{key: value for key, value in vit.items() if key not in ("type", "_scope_")})
        self.embed_dims = self.vit.embed_dims
        self.out_channels: tuple[int, ...] = (out_channels or self.embed_dims,) * len(STRIDES)
        self.out_strides: tuple[int, ...] = STRIDES
        self.multiple = multiple

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """``(B, 3, H, W)`` to four maps ``(B, C, ceil(H / s), ceil(W / s))``, s = 4, 8, 16, 32.

        Raises:
            DataError: an image is smaller than a patch, or has another number of channels.
        """
        self.vit.check_images(images)
        height, width = images.shape[-2:]
        padded = F.pad(images, (0, -width % self.multiple, 0, -height % self.multiple))
        maps = self.pyramid(padded)
        return tuple(
            m[..., : math.ceil(height / s), : math.ceil(width / s)] for m, s in zip(maps, self.out_strides)
        )

    def pyramid(self, images: Tensor) -> tuple[Tensor, ...]:
        """The four maps of images whose sides are multiples of ``multiple``."""
        raise NotImplementedError

    def embed(self, images: Tensor) -> tuple[Tensor, Grid]:
        """Tokens ``(B, P + h * w, D)`` on a grid of stride 16, and the grid."""
        patch = self.vit.patch_size
        if patch != TOKEN_STRIDE:
            size = [n * patch // TOKEN_STRIDE for n in images.shape[-2:]]
            images = F.interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=True)
        return self.vit.embed(images)

    def init_weights(self) -> None:
        """Load the checkpoint of ``init_cfg``, or else the ViT's; the rest was initialised at construction.

        Raises:
            CheckpointError: the file cannot be read, or names or shapes differ; the message lists them.
        """
        if not self.init_cfg or self.init_cfg.get("type") != "Pretrained":
            self.vit.init_weights()
            return
        from dense3d.engine.checkpoint import load_checkpoint, load_into, weights_of

        path = self.init_cfg["checkpoint"]
        weights = weights_of(load_checkpoint(path), path)
        prefix = "backbone." if any(name.startswith("backbone.") for name in weights) else ""
        weights = {n.removeprefix(prefix): v for n, v in weights.items() if n.startswith(prefix)}
        inside = {n.removeprefix("vit."): v for n, v in weights.items() if n.startswith("vit.")}
        added = {name: value for name, value in weights.items() if not name.startswith("vit.")}
        fitted = {f"vit.{name}": value for name, value in self.vit.adapt(inside).items()}
        load_into(self, fitted | added, source=str(path))

    @property
    def num_layers(self) -> int:
        """Depth of the ViT's last block in :meth:`layer_ids`."""
        return self.vit.num_layers

    def layer_ids(self) -> dict[str, int]:
        """Parameter name -> depth for layer-wise decay: the ViT's own, everything added at the top."""
        inside = self.vit.layer_ids()
        top = self.num_layers + 1
        return {name: inside.get(name.removeprefix("vit."), top) for name, _ in self.named_parameters()}

    def no_weight_decay(self) -> set[str]:
        """Parameters without weight decay beside vectors and biases: the ViT's."""
        return {f"vit.{name}" for name in self.vit.no_weight_decay()}


def initialise_added(module: nn.Module) -> None:
    """ViT-Adapter's start of the parts it adds: truncated normal matrices, He for convolutions."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.trunc_normal_(part.weight, std=0.02)
        elif isinstance(part, (nn.Conv2d, nn.ConvTranspose2d)):
            fan_out = part.kernel_size[0] * part.kernel_size[1] * part.out_channels // part.groups
            nn.init.normal_(part.weight, std=math.sqrt(2.0 / fan_out))
        else:
            continue
        if part.bias is not None:
            nn.init.zeros_(part.bias)
