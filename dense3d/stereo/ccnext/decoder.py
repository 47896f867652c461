"""CCNeXt's decoder: features of both images, mixed, to inverse depth at four resolutions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense3d.errors import ConfigError
from dense3d.stereo.ccnext.attention import check_init, projection, zero_norm

LEVELS = 5  # strides 2, 4, 8, 16, 32
SKIP_LEVELS = (4, 3, 2)  # which have residual skip blocks


def reflected(in_channels: int, out_channels: int) -> nn.Conv2d:
    """3x3 convolution that pads by reflection."""
    return nn.Conv2d(in_channels, out_channels, 3, padding=1, padding_mode="reflect")


class ResidualSkip(nn.Module):
    """``x + W(g(x))`` with 1x1 convolutions and batch norms; starts as the identity.

    Args:
        channels: of the map.
        init: ``"official"`` zeroes both batch norms, so that no gradient reaches the block's weights;
            ``"recommended"`` that of W alone.

    Example:
        >>> x = torch.randn(1, 4, 2, 3)
        >>> torch.equal(ResidualSkip(4)(x), x)
        True
    """

    def __init__(self, channels: int, init: str = "recommended") -> None:
        super().__init__()
        check_init(init)
        self.inner, self.output = projection(channels), projection(channels)
        zero_norm(self.output)
        if init == "official":
            zero_norm(self.inner)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` to the same."""
        return x + self.output(self.inner(x))


class DecoderBranch(nn.Module):
    """Convolutions of one image: lists are indexed by level, 0 is the finest.

    Args:
        features: channels of the five features.
        channels: of the decoder at the five levels.
        scales: levels that give a map of inverse depth.
    """

    def __init__(self, features: Sequence[int], channels: Sequence[int], scales: Sequence[int]) -> None:
        super().__init__()
        below = (*channels[1:], features[4])  # what comes up to each level
        self.mixers = nn.ModuleList(nn.Conv2d(2 * c, c, 3, padding=1, bias=False) for c in features)
        self.reducers = nn.ModuleList(reflected(b, c) for b, c in zip(below, channels))
        inputs = [c + f for c, f in zip(channels[:4], features)] + [channels[4]]
        self.fusers = nn.ModuleList(reflected(i, c) for i, c in zip(inputs, channels))
        self.heads = nn.ModuleDict({str(scale): reflected(channels[scale], 1) for scale in scales})

    def mix(self, level: int, left: Tensor, right: Tensor) -> Tensor:
        """Features of both images at one level, ``(B, C, h, w)`` each, as one map of C channels."""
        return F.relu(self.mixers[level](torch.cat([left, right], dim=1)))

    def climb(self, level: int, x: Tensor, mixed: Tensor) -> Tensor:
        """From the map below to this level, before the skip block."""
        x = F.elu(self.reducers[level](x))
        if level < LEVELS - 1:
            x = torch.cat([x, mixed], dim=1)
        return F.elu(self.fusers[level](x))

    def head(self, scale: int, x: Tensor) -> Tensor:
        """Sigmoid map ``(B, 1, h, w)``, in float32: half precision would round disparities."""
        head = self.heads[str(scale)]
        with torch.autocast(x.device.type, enabled=False):
            padded = F.pad(x.float(), (1, 1, 1, 1), mode="reflect")
            return F.conv2d(padded, head.weight.float(), head.bias.float()).sigmoid()


class PairDecoder(nn.Module):
    """Sigmoid maps of inverse depth, of the first image or, in two branches, of both.

    Args:
        features: channels of the five features, strides 2 to 32.
        dual: whether there is a branch for the second image, which training uses.
        channels: of the decoder at the five levels.
        scales: s of the maps of resolution H / 2^s, from 0 to 3.
        init: of the skip blocks, see :class:`ResidualSkip`.

    Shape:
        two lists of five maps -> for each branch a dict from scale to ``(B, 1, H / 2^s, W / 2^s)`` in (0, 1).

    Raises:
        ConfigError: a scale outside 0..3, or lists of other lengths than five.
    """

    def __init__(
        self,
        features: Sequence[int],
        dual: bool = True,
        channels: Sequence[int] = (16, 32, 64, 128, 256),
        scales: Sequence[int] = (0, 1, 2, 3),
        init: str = "recommended",
    ) -> None:
        super().__init__()
        if len(features) != LEVELS or len(channels) != LEVELS:
            raise ConfigError(
                f"the decoder has {LEVELS} levels, but got {len(features)} features and "
                f"{len(channels)} channels"
            )
        if not scales or not set(scales) <= {0, 1, 2, 3} or len(set(scales)) != len(scales):
            raise ConfigError(f"scales={tuple(scales)} must be some of 0, 1, 2, 3, each once")
        self.scales = tuple(scales)
        self.branches = nn.ModuleList(DecoderBranch(features, channels, scales) for _ in range(1 + dual))
        self.skips = nn.ModuleDict({str(level): ResidualSkip(channels[level], init) for level in SKIP_LEVELS})

    def forward(
        self,
        left: Sequence[Tensor],
        right: Sequence[Tensor],
        branches: Sequence[int] | None = None,
        scales: Sequence[int] | None = None,
    ) -> list[dict[int, Tensor]]:
        """Maps of the branches and scales that are asked for; all by default."""
        chosen = [self.branches[i] for i in (range(len(self.branches)) if branches is None else branches)]
        scales = self.scales if scales is None else scales
        found: list[dict[int, Tensor]] = [{} for _ in chosen]
        maps = [branch.mix(LEVELS - 1, left[-1], right[-1]) for branch in chosen]
        for level in reversed(range(LEVELS)):
            for i, branch in enumerate(chosen):
                mixed = branch.mix(level, left[level], right[level]) if level < LEVELS - 1 else None
                x = branch.climb(level, maps[i], mixed)
                if level in SKIP_LEVELS:
                    x = self.skips[str(level)](x)
                maps[i] = F.interpolate(x, scale_factor=2, mode="nearest")
                if level in scales:
                    found[i][level] = branch.head(level, maps[i])
        return found
