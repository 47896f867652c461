"""What is searched: widths of stages, heads and feed-forward channels of blocks, and which blocks there are.

A network is a tuple with a value for each :class:`Gene` of the space, in the order of
:attr:`SearchSpace.genes`.
Liao et al., "Searching for Efficient Multi-Stage Vision Transformers", 2021 (arXiv:2109.00642).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from dense3d.backbones.vit_resnas import EMBED_CHANNELS
from dense3d.errors import ConfigError, did_you_mean

Network = tuple[int, ...]


class Gene(NamedTuple):
    """One thing that differs between networks.

    Attributes:
        kind: ``"dim"`` of a stage; ``"heads"``, ``"hidden"`` or ``"exists"`` (1 or 0) of a block.
        stage, block: where; -1 stands for no block.
        choices: its values, the largest first.
    """

    kind: str
    stage: int
    block: int
    choices: tuple[int, ...]

    @property
    def drawn(self) -> tuple[int, ...]:
        """What training draws from: as the choices, but of blocks that can go, twice with and twice without.

        So that, during warm-up, blocks go when half of the widths are in use.
        """
        return (1, 1, 0, 0) if self.choices == (1, 0) else self.choices


@dataclass(frozen=True)
class Stage:
    """Choices of a stage.

    Attributes:
        dims: widths, the largest first.
        heads, hidden: of every block, the largest first.
        head_dim: channels of a head.
        removable: for each block, whether networks may lack it. Of removable blocks that follow each other,
            the last go first.
    """

    dims: tuple[int, ...]
    heads: tuple[int, ...]
    hidden: tuple[int, ...]
    head_dim: int
    removable: tuple[bool, ...]

    def __post_init__(self) -> None:
        for name in ("dims", "heads", "hidden"):
            values = tuple(getattr(self, name))
            falling = list(values) == sorted(set(values), reverse=True)
            if not values or not falling or not all(isinstance(v, int) and v > 0 for v in values):
                raise ConfigError(
                    f"a stage of the search space has {name}={values}: give whole numbers, the largest first"
                )
            object.__setattr__(self, name, values)
        object.__setattr__(self, "removable", tuple(bool(v) for v in self.removable))
        if not self.removable or self.removable[0]:
            raise ConfigError(
                f"a stage of the search space has removable={self.removable}: its first block has to stay"
            )
        if not isinstance(self.head_dim, int) or self.head_dim < 1:
            raise ConfigError(f"a stage of the search space has head_dim={self.head_dim!r}: give channels")


class SearchSpace:
    """Stages and the genes of the networks in it.

    Args:
        stages: of the backbone, each no narrower in any network than the one before it.
        embed_channels: between the convolutions of the patches; None for plain patches.

    Raises:
        ConfigError: a stage may be narrower than the one before it.

    Example:
        >>> space = SPACES["tiny"]
        >>> len(space.genes), space.largest[:4], space.arch(space.smallest)["dims"]
        (57, (256, 6, 768, 1), (160, 320, 640))
    """

    def __init__(self, stages: Sequence[Stage], embed_channels: int | None = EMBED_CHANNELS) -> None:
        self.stages, self.embed_channels = tuple(stages), embed_channels
        for before, after in zip(self.stages, self.stages[1:]):
            if before.dims[0] > after.dims[-1]:
                raise ConfigError(
                    f"the search space has a stage with up to {before.dims[0]} channels before one with "
                    f"{after.dims[-1]} or more: no stage may be narrower than the one before it"
                )
        self.genes = tuple(_genes(self.stages))

    @property
    def largest(self) -> Network:
        """The network that contains all others."""
        return tuple(gene.choices[0] for gene in self.genes)

    @property
    def smallest(self) -> Network:
        """The network that all others contain."""
        return tuple(gene.choices[-1] for gene in self.genes)

    def settled(self, network: Sequence[int]) -> Network:
        """The network without removable blocks that follow a removed one."""
        values = list(network)
        for index in self._followers:
            if not values[index - 3]:  # the same gene of the block before
                values[index] = 0
        return tuple(values)

    @functools.cached_property
    def _followers(self) -> list[int]:
        """Indices of the genes of removable blocks that stand behind another one."""
        return [
            index
            for index, gene in enumerate(self.genes)
            if gene.kind == "exists"
            and self.stages[gene.stage].removable[gene.block]
            and gene.block
            and self.stages[gene.stage].removable[gene.block - 1]
        ]

    def check(self, network: Sequence[int]) -> Network:
        """The network, if it is in the space.

        Raises:
            ConfigError: it is not.
        """
        if len(network) != len(self.genes):
            raise ConfigError(
                f"a network of this search space has {len(self.genes)} values, not {len(network)}"
            )
        for value, gene in zip(network, self.genes):
            if value not in gene.choices:
                where = f"stage {gene.stage + 1}" + (f", block {gene.block + 1}" if gene.block >= 0 else "")
                raise ConfigError(
                    f"{gene.kind} of {where} is {value}, but the search space has {gene.choices}"
                )
        if self.settled(network) != tuple(network):
            raise ConfigError("a removable block follows a removed one: the search space has no such network")
        return tuple(network)

    def arch(self, network: Sequence[int]) -> dict[str, Any]:
        """The network as ``arch`` of :class:`dense3d.backbones.ViTResNAS`."""
        dims, blocks = [], []
        for stage, (dim, parts) in zip(self.stages, self.by_stage(network)):
            dims.append(dim)
            blocks.append(tuple((h, stage.head_dim, hidden) for h, hidden, exists in parts if exists))
        return dict(dims=tuple(dims), blocks=tuple(blocks), embed_channels=self.embed_channels)

    def kept(self, network: Sequence[int]) -> list[list[int]]:
        """For each stage, the blocks of the largest network that this one has."""
        return [
            [number for number, (_, _, exists) in enumerate(parts) if exists]
            for _, parts in self.by_stage(network)
        ]

    def by_stage(self, network: Sequence[int]) -> list[tuple[int, list[tuple[int, int, int]]]]:
        """For each stage its width, and of each block the heads, the hidden channels, whether it exists."""
        values, stages = iter(network), []
        for stage in self.stages:
            dim = next(values)
            stages.append((dim, [(next(values), next(values), next(values)) for _ in stage.removable]))
        return stages


def _genes(stages: Sequence[Stage]) -> list[Gene]:
    genes = []
    for number, stage in enumerate(stages):
        genes.append(Gene("dim", number, -1, stage.dims))
        for block, removable in enumerate(stage.removable):
            genes.append(Gene("heads", number, block, stage.heads))
            genes.append(Gene("hidden", number, block, stage.hidden))
            genes.append(Gene("exists", number, block, (1, 0) if removable else (1,)))
    return genes


def _down(high: int, low: int, step: int) -> tuple[int, ...]:
    return tuple(range(high, low - 1, -step))


_SIX, _SEVEN = (False, True) * 3, (*(False, True) * 3, False)
# The released spaces; that of Medium is Small's, under a larger budget.
SPACES: dict[str, SearchSpace] = {
    "tiny": SearchSpace(
        (
            Stage((256, 224, 192, 176, 160), (6, 5, 4, 3), _down(768, 384, 64), 32, _SIX),
            Stage((512, 448, 384, 352, 320), (12, 10, 8, 6), _down(1536, 768, 128), 48, _SIX),
            Stage((1024, 896, 768, 704, 640), (12, 10, 8, 6), _down(3072, 1536, 256), 64, _SIX),
        )
    ),
    "small": SearchSpace(
        (
            Stage((320, 280, 240, 220, 200), (8, 7, 6, 5), _down(960, 480, 80), 32, _SEVEN),
            Stage((640, 560, 480, 440, 400), (16, 14, 12, 10), _down(1920, 960, 160), 48, _SEVEN),
            Stage((1280, 1120, 960, 880, 800), (16, 14, 12, 10), _down(3840, 1920, 320), 64, _SEVEN),
        )
    ),
}


def as_space(settings: str | Mapping[str, Any]) -> SearchSpace:
    """A released space by its name, or one of ``dict(stages=[dict(dims=..., ...), ...])``.

    Raises:
        ConfigError: an unknown name or key, or faulty choices.
    """
    if isinstance(settings, str):
        if settings not in SPACES:
            raise ConfigError(
                f"no search space is named {settings!r}{did_you_mean(settings, SPACES)} "
                f"(known: {', '.join(SPACES)})"
            )
        return SPACES[settings]
    try:
        stages = [Stage(**stage) for stage in settings["stages"]]
        rest = {key: value for key, value in settings.items() if key != "stages"}
        return SearchSpace(stages, **rest)
    except (TypeError, KeyError) as error:
        raise ConfigError(
            f"the search space needs stages, each with dims, heads, hidden, head_dim and removable, and may "
            f"have embed_channels ({error})"
        ) from error
