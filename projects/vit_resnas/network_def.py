"""Networks in the form of the official code, and the file that a search writes.

``network_def`` is a list of ``[4, width]``, patches by convolutions (``[0, width]`` plain ones,
``[5, width, channels]`` convolutions of other channels); ``[1, [width, heads, channels of a head],
[width, hidden], exists]``, a block; ``[3, width before, width]``, a reduction; ``[2, width, classes]``, the
head.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dense3d.backbones.vit_resnas import EMBED_CHANNELS
from dense3d.errors import ConfigError
from projects.vit_resnas.space import Network, SearchSpace

_LINEAR, _BLOCK, _HEAD, _REDUCTION, _CONVOLUTIONS, _FLEXIBLE = range(6)


class Definition(NamedTuple):
    """A ``network_def`` by stages.

    Attributes:
        dims: widths of the stages.
        blocks: for each stage the heads, channels of a head, hidden channels and existence of each block.
        embed_channels: between the convolutions of the patches, or None.
        classes: of the head.
    """

    dims: list[int]
    blocks: list[list[tuple[int, int, int, int]]]
    embed_channels: int | None
    classes: int

    @property
    def arch(self) -> dict[str, Any]:
        """``arch`` of :class:`dense3d.backbones.ViTResNAS`."""
        blocks = tuple(tuple(block[:3] for block in stage if block[3]) for stage in self.blocks)
        return dict(dims=tuple(self.dims), blocks=blocks, embed_channels=self.embed_channels)


def parse(network_def: Sequence) -> Definition:
    """A ``network_def`` taken apart.

    Raises:
        ConfigError: it is none.

    Example:
        >>> parse([[4, 8], [1, [8, 2, 4], [8, 16], 1], [1, [8, 1, 4], [8, 8], 0], [2, 8, 10]]).arch
        {'dims': (8,), 'blocks': (((2, 4, 16),),), 'embed_channels': 24}
    """
    try:
        kind, dim, *middle = network_def[0]
        channels = {_LINEAR: None, _CONVOLUTIONS: EMBED_CHANNELS}[kind] if kind != _FLEXIBLE else middle[0]
        dims, blocks = [int(dim)], [[]]
        for entry in network_def[1:-1]:
            if entry[0] == _REDUCTION:
                dims.append(int(entry[2]))
                blocks.append([])
                continue
            code, (_, heads, head_dim), (_, hidden), exists = entry
            if code != _BLOCK:
                raise ValueError(f"an entry of kind {code}")
            blocks[-1].append((int(heads), int(head_dim), int(hidden), int(bool(exists))))
        kind, _, classes = network_def[-1]
        if kind != _HEAD:
            raise ValueError("no head at the end")
    except (TypeError, ValueError, KeyError, IndexError) as error:
        raise ConfigError(
            "network_def must be a list of patches [4, width], blocks [1, [width, heads, channels], "
            f"[width, hidden], exists], reductions [3, width, width] and a head [2, width, classes] ({error})"
        ) from error
    return Definition(dims, blocks, channels, int(classes))


def to_network_def(space: SearchSpace, network: Network, classes: int) -> list:
    """A network of a space in the official form, with the blocks that it lacks.

    Args:
        space: of the network.
        network: its values.
        classes: of the head.
    """
    channels, entries, dim = space.embed_channels, [], 0
    for number, (stage, (width, parts)) in enumerate(zip(space.stages, space.by_stage(network))):
        if number:
            entries.append([_REDUCTION, dim, width])
        elif channels is None:
            entries.append([_LINEAR, width])
        else:
            entries.append(
                [_CONVOLUTIONS, width] if channels == EMBED_CHANNELS else [_FLEXIBLE, width, channels]
            )
        dim = width
        entries += [
            [_BLOCK, [dim, heads, stage.head_dim], [dim, hidden], exists] for heads, hidden, exists in parts
        ]
    return [*entries, [_HEAD, dim, classes]]


def from_network_def(space: SearchSpace, network_def: Sequence) -> Network:
    """The network of a space that a definition describes; blocks that it lacks have to be in it, with a 0.

    Raises:
        ConfigError: it is no definition, or not of this space.
    """
    found, values = parse(network_def), []
    shape = [len(stage.removable) for stage in space.stages]
    if [len(stage) for stage in found.blocks] != shape or found.embed_channels != space.embed_channels:
        raise ConfigError(
            f"network_def has {[len(stage) for stage in found.blocks]} blocks in its stages and "
            f"embed_channels={found.embed_channels}, the search space {shape} and {space.embed_channels}: it "
            "is of another space"
        )
    for dim, stage, blocks in zip(found.dims, space.stages, found.blocks):
        if any(block[1] != stage.head_dim for block in blocks):
            raise ConfigError(f"network_def has other channels of a head than the space's {stage.head_dim}")
        values += [dim, *(value for heads, _, hidden, exists in blocks for value in (heads, hidden, exists))]
    return space.check(values)


def read_network_def(path: str | Path) -> list:
    """The ``network_def`` of a search's file.

    Raises:
        ConfigError: there is no such file, or it has none.
    """
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
        return document["network_def"]
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read ({error.strerror}); name the file that search.py has written"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} has no network_def: name the file that search.py has written") from error
