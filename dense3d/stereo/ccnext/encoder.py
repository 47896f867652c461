"""CCNeXt's encoder: one backbone for both images, with epipolar cross-attention between its stages."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from dense3d.backbones.cutting import cut_backbone
from dense3d.errors import ConfigError
from dense3d.layers.feature_maps import ChannelLayerNorm
from dense3d.registry import MODELS
from dense3d.stereo.ccnext.attention import EpipolarAttention
from dense3d.stereo.row_matching import CLUES, Match, RowMatching

STEMS = ("replaced", "beside", "own")


class ConvStem(nn.Sequential):
    """A map of stride 2: 7x7 convolution, layer norm, and an inverted bottleneck of 1x1 convolutions.

    Args:
        channels: of the map.
        in_channels: of the images.

    Shape:
        ``(B, in_channels, H, W)`` of even sizes -> ``(B, channels, H / 2, W / 2)``.
    """

    def __init__(self, channels: int = 64, in_channels: int = 3) -> None:
        super().__init__(
            nn.Conv2d(in_channels, channels, 7, stride=2, padding=3),
            ChannelLayerNorm(channels),
            nn.Conv2d(channels, 4 * channels, 1),
            nn.GELU(),
            nn.Conv2d(4 * channels, channels, 1),
        )


class PairEncoder(BaseModule):
    """Features of both images at strides 2, 4, 8, 16 and 32.

    Attended maps run on through the backbone; what the decoder gets of a stage is the map before the
    attention. Both images go through one batch, the attention's batch norms see one after the other.

    Args:
        backbone: config of a hierarchical backbone with maps of strides 4, 8, 16, 32.
        stem: where the map of stride 2 comes from. ``"replaced"``, as in the official network: a new
            :class:`ConvStem` with max pooling takes the place of a ConvNeXt's first convolution.
            ``"beside"``: that stem stands beside the backbone, for the decoder alone. ``"own"``: the
            backbone has such a map (timm's ResNets). None takes the first of replaced, own and beside that
            is possible.
        stem_channels: of the new stem, where it stands beside the backbone.
        window_size, attention_init, attention_norm: see :class:`EpipolarAttention`.
        matching: also match rows at strides 4, 8 and 16 and give the decoder what is found, in two channels
            more: ``max_disparity`` in pixels and ``temperature`` of :class:`RowMatching`. The official
            network does not; short training from random weights profits.
        mean, std: what images in [0, 1] are normalised by: a number, or one for each channel.

    Shape:
        two batches of images ``(B, 3, H, W)`` in [0, 1], sizes multiples of :attr:`multiple`
        -> for each image a list of five maps ``(B, channels[i], H / 2 ** (i + 1), W / 2 ** (i + 1))``.

    Raises:
        ConfigError: the backbone cannot be cut between its stages, or has not the stem that is asked for.
    """

    def __init__(
        self,
        backbone: dict,
        stem: str | None = None,
        stem_channels: int = 64,
        window_size: float = 0.26,
        attention_init: str = "recommended",
        attention_norm: bool = True,
        matching: dict | None = None,
        mean: float | Sequence[float] = 0.45,
        std: float | Sequence[float] = 0.225,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.backbone = MODELS.build(backbone)
        self.cut = cut_backbone(self.backbone)
        self.stem_kind = self._choose_stem(stem)
        channels, in_channels = self.cut.channels, self.backbone.in_channels
        self.stem = self.pool = None
        half = self.cut.half_channels
        if self.stem_kind != "own":
            half = channels[0] if self.stem_kind == "replaced" else stem_channels
            self.stem = ConvStem(half, in_channels)
        if self.stem_kind == "replaced":
            self.pool = nn.MaxPool2d(3, stride=2, padding=1)
            holder, name = self.cut.stem_holder()
            self._replaced = (holder, name, getattr(holder, name))  # no part of the network any more
            setattr(holder, name, nn.Identity())
        self.attentions = nn.ModuleList(
            EpipolarAttention(c, window_size, attention_init, attention_norm) for c in channels[:3]
        )
        self.matchings = self._build_matchings(channels[:3], **matching) if matching is not None else None
        more = 0 if matching is None else CLUES
        self.channels: tuple[int, ...] = (half, *(c + more for c in channels[:3]), channels[3])
        for name, value in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.as_tensor(value).float().reshape(-1, 1, 1), persistent=False)

    @property
    def multiple(self) -> int:
        """Sizes of images have to be multiples of it."""
        return self.cut.multiple

    def forward(self, left: Tensor, right: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Five maps of each image, see the class."""
        return self.match(left, right)[:2]

    def match(self, left: Tensor, right: Tensor) -> tuple[list[Tensor], list[Tensor], list[Match]]:
        """The same, and the matches of left and right at strides 4, 8 and 16; none without ``matching``."""
        images = (torch.cat([left, right]) - self.mean) / self.std
        half, x = self._begin(images)
        pairs = [half.chunk(2)]
        matches: list[Match] = []
        for index in range(4):
            x = self.cut.stage(index, x)
            pair = self.cut.feature(index, x).chunk(2)
            if index < 3:
                attended = self.attentions[index](*self.cut.to_map(x).chunk(2))
                if self.matchings is not None:
                    *attended, found = self.matchings[index](*attended)
                    matches.extend(found)
                    pair = [torch.cat([p, m.clues.to(p.dtype)], dim=1) for p, m in zip(pair, found)]
                x = self.cut.from_map(torch.cat(attended))
            pairs.append(pair)
        return [pair[0] for pair in pairs], [pair[1] for pair in pairs], matches

    @staticmethod
    def _build_matchings(
        channels: Sequence[int], max_disparity: int = 64, temperature: float = 20.0
    ) -> nn.ModuleList:
        strides = (4, 8, 16)
        return nn.ModuleList(
            RowMatching(c, max_disparity // stride, stride, temperature)
            for c, stride in zip(channels, strides)
        )

    def _begin(self, images: Tensor) -> tuple[Tensor, Tensor]:
        if self.stem_kind == "own":
            return self.cut.begin(images)
        half = self.stem(images)
        entering = self.pool(half) if self.stem_kind == "replaced" else images
        return half, self.cut.begin(entering)[1]

    def init_weights(self) -> None:
        """Pretrained weights of the backbone, which go into its whole self, and then those of the rest."""
        if self.stem_kind == "replaced" and not self.backbone.is_init:
            holder, name, patches = self._replaced
            nothing = getattr(holder, name)
            setattr(holder, name, patches)
            try:
                self.backbone.init_weights()
            finally:
                setattr(holder, name, nothing)
            self.backbone.is_init = True
        super().init_weights()

    def _choose_stem(self, stem: str | None) -> str:
        replaceable = self.cut.stem_holder() is not None
        has_own = self.cut.half_channels is not None
        if stem is None:
            return "replaced" if replaceable else "own" if has_own else "beside"
        name = type(self.backbone).__name__
        if stem not in STEMS:
            raise ConfigError(f"stem={stem!r}, but there are {', '.join(STEMS)}")
        if stem == "replaced" and not replaceable:
            raise ConfigError(
                f"stem='replaced' needs a ConvNeXt, whose first convolution it replaces; {name} is none"
            )
        if stem == "own" and not has_own:
            raise ConfigError(
                f"stem='own' needs a backbone with a map of stride 2, which {name} does not have"
            )
        return stem
