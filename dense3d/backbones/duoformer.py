"""DuoFormer, a ResNet whose maps become tokens of regions: attention over scales, then over regions.

Tang et al., "DuoFormer: Leveraging Hierarchical Visual Representations by Local and Global Attention", 2024
(arXiv:2407.13920); official code: xiaoyatang/DuoFormer, its class without extra parameters, which classifies
images of 224 x 224. Own is the dense form: ResNet's first three maps, and for stride 32 the tokens of regions
after the attention over scales, for images of any size. Attention over regions is part of the classifier.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from dense3d.backbones.staged import StagedBackbone
from dense3d.errors import ConfigError, did_you_mean
from dense3d.layers.attention import SelfAttention
from dense3d.layers.patch_embed import Grid, map_to_tokens, resize_position_table
from dense3d.layers.region_tokens import ChannelToken, region_tokens, start_projection
from dense3d.layers.transformer_block import TransformerBlock
from dense3d.optional import require
from dense3d.registry import MODELS

_VIT_BASE = dict(embed_dim=768, depth=12, num_heads=12)
# Sizes by their ResNet; "channels" are those of its blocks before expansion.
ARCHITECTURES: dict[str, dict] = {
    "r18": dict(block="basic", layers=(2, 2, 2, 2), channels=(64, 128, 256, 512), **_VIT_BASE),
    "r50": dict(block="bottleneck", layers=(3, 4, 6, 3), channels=(64, 128, 256, 512), **_VIT_BASE),
}
_EXPANSIONS = {"basic": 1, "bottleneck": 4}
SCALES = (2, 3, 4)
SCALE_TOKENS = ("random", "channel")
TABLE_GRID = (7, 7)  # of the positions of regions
_STD = 0.036


class RegionHead(nn.Module):
    """Attention over regions, then a linear layer on the class token.

    The blocks are attention alone, without norms and residuals. The official code computes a final norm and
    does not use it; there is none here.

    Args:
        dim: channels of a token.
        depth: blocks.
        num_heads: of their attention.
        num_classes: logits.

    Shape:
        a map of regions ``(B, dim, h, w)`` to logits ``(B, num_classes)``.

    Example:
        >>> RegionHead(8, 2, 2, 5)(torch.zeros(3, 8, 4, 6)).shape
        torch.Size([3, 5])
    """

    def __init__(self, dim: int, depth: int, num_heads: int, num_classes: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + TABLE_GRID[0] * TABLE_GRID[1], dim))
        self.blocks = nn.ModuleList(SelfAttention(dim, num_heads) for _ in range(depth))
        self.head = nn.Linear(dim, num_classes)
        nn.init.normal_(self.cls_token, std=_STD)
        nn.init.trunc_normal_(self.pos_embed, std=_STD)
        _initialise(self.blocks)

    def tokens(self, regions: Tensor) -> Tensor:
        """Class token and regions after the blocks, ``(B, 1 + h * w, dim)``."""
        tokens = torch.cat([self.cls_token.expand(len(regions), -1, -1), map_to_tokens(regions)], dim=1)
        tokens = tokens + self.positions((regions.shape[2], regions.shape[3]))
        for block in self.blocks:
            tokens = block(tokens)
        return tokens

    def positions(self, grid: Grid) -> Tensor:
        """The table of another grid (bicubic), ``(1, 1 + h * w, dim)``."""
        resized = resize_position_table(self.pos_embed[:, 1:], TABLE_GRID, grid)
        return torch.cat([self.pos_embed[:, :1], resized], dim=1)

    def forward(self, regions: Tensor) -> Tensor:
        """Logits of regions."""
        return self.head(self.tokens(regions)[:, 0])


@MODELS.register_module()
class DuoFormer(StagedBackbone):
    """DuoFormer, maps of strides 4, 8, 16 of its ResNet and 32 of its regions.

    Args:
        arch: a released size by its ResNet (``"r18"``, ``"r50"``), or a dict with ``block`` (``"basic"`` or
            ``"bottleneck"``), ``layers`` and ``channels`` of the ResNet, four of each, and ``embed_dim``,
            ``depth`` and ``num_heads`` of both attentions.
        scales: maps that give tokens, from the coarsest on: 2, 3 or 4.
        scale_token: what gathers a region: ``"random"``, a learned token; ``"channel"``, one computed from
            the channels of all maps.
        mlp_ratio: width of the feed-forward networks of the attention over scales.
        drop_path_rate: rate of the last block over scales; it grows linearly from 0. The official code has
            none.
        in_channels, out_indices, frozen_stages, with_cp, init_cfg: see :class:`StagedBackbone`; the blocks of
            the last stage are ResNet's and those over scales. A checkpoint may be torchvision's ResNet.

    Shape:
        images ``(B, in_channels, H, W)`` of any size -> tuple of
        ``(B, out_channels[i], ceil(H / out_strides[i]), ceil(W / out_strides[i]))``.

    Raises:
        ConfigError: unknown size or key, ``scales`` or ``scale_token`` that there are none of, stages out of
            range.
        MissingDependencyError: timm, whose ResNet it is, is too old.

    Example:
        >>> sizes = dict(layers=(1, 1, 1, 1), channels=(4, 8, 12, 16), embed_dim=24, depth=1, num_heads=2)
        >>> backbone = DuoFormer(dict(block="basic", **sizes)).eval()
        >>> [tuple(m.shape) for m in backbone(torch.zeros(1, 3, 70, 50))]
        [(1, 4, 18, 13), (1, 8, 9, 7), (1, 12, 5, 4), (1, 24, 3, 2)]
    """

    converters = ("duoformer",)
    tiny_variants: ClassVar[dict[str, dict]] = {
        token: dict(
            arch=dict(
                block="basic",
                layers=(1, 1, 1, 1),
                channels=(8, 16, 24, 32),
                embed_dim=32,
                depth=1,
                num_heads=2,
            ),
            scale_token=token,
        )
        for token in SCALE_TOKENS
    }

    def __init__(
        self,
        arch: str | dict = "r50",
        scales: int = 4,
        scale_token: str = "random",
        mlp_ratio: float = 4.0,
        drop_path_rate: float = 0.0,
        in_channels: int = 3,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        sizes = _sizes(arch)
        dim, depth, layers = sizes["embed_dim"], sizes["depth"], sizes["layers"]
        if scales not in SCALES or scale_token not in SCALE_TOKENS:
            raise ConfigError(
                f"DuoFormer: scales={scales!r} and scale_token={scale_token!r}, but there are scales "
                f"{', '.join(map(str, SCALES))} and tokens {', '.join(SCALE_TOKENS)}"
            )
        widths = [c * _EXPANSIONS[sizes["block"]] for c in sizes["channels"]]
        super().__init__((*widths[:3], dim), 4, in_channels, out_indices, frozen_stages, with_cp, init_cfg)
        self.depths = (*layers[:3], layers[3] + depth)
        self.scales, self.head_sizes = scales, (dim, depth, sizes["num_heads"])
        resnet = require("timm.models.resnet", "DuoFormer")
        self.resnet = resnet.ResNet(
            resnet.BasicBlock if sizes["block"] == "basic" else resnet.Bottleneck,
            layers,
            num_classes=0,
            in_chans=in_channels,
            channels=sizes["channels"],
        )
        if scale_token == "random":
            self.scale_token = nn.Parameter(nn.init.normal_(torch.empty(1, 1, 1, dim), std=_STD))
        self.channel_token = ChannelToken(widths, dim) if scale_token == "channel" else None
        self.projections = nn.ModuleDict(
            {str(i): start_projection(nn.Conv2d(widths[i], dim, 1)) for i in range(4 - scales, 4)}
        )
        length = 1 + sum(4**i for i in range(scales))
        self.scale_positions = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, 1, length, dim), std=_STD))
        self.scale_blocks = nn.ModuleList(
            TransformerBlock(
                dim, sizes["num_heads"], mlp_ratio, drop_path=drop_path_rate * i / max(depth - 1, 1)
            )
            for i in range(depth)
        )
        _initialise(self.scale_blocks)
        self.freeze()

    @property
    def pad_multiple(self) -> int:
        """Whole regions."""
        return 32

    def stem(self, images: Tensor) -> tuple[Tensor, ...]:
        """No maps yet, and ``(B, C, H / 4, W / 4)`` after ResNet's pooling."""
        resnet = self.resnet
        return (resnet.maxpool(resnet.act1(resnet.bn1(resnet.conv1(images)))),)

    def stage(self, index: int, x: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The maps before and ResNet's next; after the last one that of regions, which takes its place."""
        features = x[-1]
        for block in self._layer(index):
            features = self.run(block, features)
        maps = (*x[:index], features)
        return maps if index < 3 else (*maps[:3], self.regions(maps))

    def regions(self, maps: Sequence[Tensor]) -> Tensor:
        """Scale tokens of the regions after the blocks, ``(B, D, h, w)``, from ResNet's four maps."""
        tokens = self.region_sequences(maps) + self.scale_positions
        batch = len(tokens)
        tokens = tokens.flatten(0, 1)  # (B h w, S, D)
        for block in self.scale_blocks:
            tokens = self.run(block, tokens)
        gathered = tokens[:, 0].unflatten(0, (batch, -1))  # (B, h w, D)
        return gathered.transpose(1, 2).unflatten(2, maps[3].shape[-2:]).contiguous()

    def region_sequences(self, maps: Sequence[Tensor]) -> Tensor:
        """Scale token and tokens of all scales, coarse first: ``(B, h * w, S, D)``."""
        projected = [self.projections[str(i)](maps[i]) for i in range(3, 3 - self.scales, -1)]
        tokens = region_tokens(projected)
        if self.channel_token is not None:
            first = self.channel_token(maps)
        else:
            first = self.scale_token.expand(*tokens.shape[:2], -1, -1)
        return torch.cat([first, tokens], dim=2)

    def output(self, index: int, x: tuple[Tensor, ...]) -> Tensor:
        """The map of stage ``index``; there are no output norms."""
        return x[index]

    def to_map(self, x: tuple[Tensor, ...]) -> Tensor:
        """The last map; after the last stage that of regions."""
        return x[-1]

    def class_head(self, num_classes: int) -> nn.Module:
        """The blocks over regions and the linear layer on their class token."""
        return RegionHead(*self.head_sizes, num_classes)

    def stem_modules(self) -> list[nn.Module]:
        """ResNet's first convolution and its norm."""
        return [self.resnet.conv1, self.resnet.bn1]

    def downsampling(self, index: int) -> nn.Module:
        """Nothing: ResNet's blocks do it."""
        return nn.Identity()

    def blocks(self, index: int) -> nn.ModuleList:
        """Blocks of one stage; in the last one those over scales too."""
        return nn.ModuleList([*self._layer(index), *(self.scale_blocks if index == 3 else ())])

    def freeze(self) -> None:
        """As the base does; what makes tokens of maps goes with the last stage."""
        super().freeze()
        if self.out_indices[-1] < 3 or self.frozen_stages == 4:
            for name, parameter in self.named_parameters():
                if not name.startswith("resnet."):
                    parameter.requires_grad_(False)

    def layer_ids(self) -> dict[str, int]:
        """As the base has it; what makes tokens of maps has the depth of the first block over scales."""
        ids, first = super().layer_ids(), self.num_layers - len(self.scale_blocks) + 1
        added = ("scale_token", "scale_positions", "projections.", "channel_token.")
        return {name: first if name.startswith(added) else depth for name, depth in ids.items()}

    def adapt(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weights of a ResNet alone leave what makes tokens of its maps as it is."""
        if any(not name.startswith("resnet.") for name in state):
            return state
        self.log("these are weights of a ResNet: what makes tokens of its maps starts anew")
        return {n: v for n, v in self.state_dict().items() if not n.startswith("resnet.")} | state

    def no_weight_decay(self) -> set[str]:
        """Scale token and positions; vectors and biases are the optimiser's rule."""
        return {n for n, _ in self.named_parameters() if n in ("scale_token", "scale_positions")}

    def _layer(self, index: int) -> nn.Sequential:
        return getattr(self.resnet, f"layer{index + 1}")

    def _frozen_modules(self) -> list[nn.Module]:
        modules = super()._frozen_modules()
        tokens = self.channel_token
        return [*modules, tokens] if self.frozen_stages == 4 and tokens is not None else modules


def _initialise(blocks: nn.Module) -> None:
    for module in blocks.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)


def _sizes(arch: str | dict) -> dict:
    if isinstance(arch, str):
        if arch not in ARCHITECTURES:
            raise ConfigError(
                f"DuoFormer has no size {arch!r}{did_you_mean(arch, ARCHITECTURES)} "
                f"(known: {', '.join(ARCHITECTURES)})"
            )
        return ARCHITECTURES[arch]
    needed = set(ARCHITECTURES["r50"])
    if set(arch) != needed:
        raise ConfigError(
            f"DuoFormer: arch needs {', '.join(sorted(needed))}, but has {', '.join(sorted(arch))}"
        )
    if arch["block"] not in _EXPANSIONS:
        raise ConfigError(f"DuoFormer: block={arch['block']!r}, but there are {', '.join(_EXPANSIONS)}")
    if not len(arch["layers"]) == len(arch["channels"]) == 4:
        raise ConfigError("DuoFormer: the ResNet has four stages: give four layers and four channels")
    return arch
