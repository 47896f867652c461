"""Hierarchical backbones whose every stage begins with an embedding of the map before it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from dense3d.backbones.staged import StagedBackbone


class Stage(nn.Module):
    """Blocks of one resolution, and the embedding before them."""

    def __init__(self, embed: nn.Module, blocks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.embed = embed
        self.blocks = nn.ModuleList(blocks)


class EmbeddedStages(StagedBackbone):
    """Base of backbones that keep their stages in ``stages``, a list of :class:`Stage`.

    The first embedding is the stem; each other one belongs to the stage that it begins.
    """

    stages: nn.ModuleList

    def stem(self, images: Tensor) -> Tensor:
        """``(B, in_channels, H, W)`` -> ``(B, C, H / 4, W / 4)``."""
        return self.stages[0].embed(images)

    def stage(self, index: int, x: Tensor) -> Tensor:
        """Embed the map before and run the blocks: ``(B, C, h, w)``."""
        if index > 0:
            x = self.downsampling(index)(x)
        for block in self.blocks(index):
            x = self.run(block, x)
        return x

    def stem_modules(self) -> list[nn.Module]:
        """The first embedding."""
        return [self.stages[0].embed]

    def downsampling(self, index: int) -> nn.Module:
        """The embedding before stage ``index``."""
        return self.stages[index].embed

    def blocks(self, index: int) -> nn.ModuleList:
        """Blocks of one stage."""
        return self.stages[index].blocks
