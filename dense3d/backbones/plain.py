"""What plain backbones share: tokens of one width on one grid, the contract of backbones, that of adapters.

A family supplies how its tokens are made and what its blocks do; padding, maps, freezing, activation
checkpointing, depths of layers and pretrained weights are the same for all and live here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from dense3d.errors import ConfigError, DataError, did_you_mean
from dense3d.layers.class_heads import TokenHead
from dense3d.layers.patch_embed import Grid, resize_position_table, tokens_to_map


@dataclass(frozen=True)
class PlainArchitecture:
    """What the architectures of plain families have in common.

    Attributes:
        embed_dim: channels of a token, D.
        depth: number of blocks.
        num_heads: heads of the attention.
        patch_size: side of a patch in pixels.
        in_channels: channels of the image.
        mlp_ratio: width of the feed-forward networks in multiples of their channels.
        qkv_bias: whether queries, keys and values have biases.
        qk_scale: factor of the products of queries and keys; one over the root of a head's channels for None.
        norm_eps: epsilon of the norms.
    """

    embed_dim: int
    depth: int
    num_heads: int
    patch_size: int = 16
    in_channels: int = 3
    mlp_ratio: float = 4.0
    qkv_bias: bool = True
    qk_scale: float | None = None
    norm_eps: float = 1e-6

    def __post_init__(self) -> None:
        if self.num_heads < 1 or self.embed_dim % self.num_heads:
            raise ConfigError(
                f"{self.embed_dim} channels cannot be shared by {self.num_heads} heads; choose a multiple"
            )


@dataclass(frozen=True)
class TableArchitecture(PlainArchitecture):
    """What the architectures of plain families with a table of positions have in common.

    Attributes:
        pretrain_size: side in pixels of the image that the table is for, or rows and columns.
    """

    pretrain_size: int | tuple[int, int] = 224

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.table_grid) < 1:
            raise ConfigError(
                f"pretrain_size={self.pretrain_size} of a backbone holds no patch of {self.patch_size} pixels"
            )

    @property
    def table_grid(self) -> Grid:
        """Rows and columns of the position table."""
        size = self.pretrain_size
        rows, columns = (size, size) if isinstance(size, int) else size
        return rows // self.patch_size, columns // self.patch_size


Architecture = TypeVar("Architecture")


def read_architecture(
    kind: type[Architecture], released: Mapping[str, dict], arch: str | dict | Architecture, family: str
) -> Architecture:
    """The architecture of a name, of a dict of its attributes, or of a name with attributes that differ.

    Args:
        kind: dataclass of the family's architectures.
        released: name -> attributes.
        arch: ``"small"``, or ``dict(name="small", depth=4)``, or a dict without a name that has all
            attributes without a default.
        family: named in messages.

    Raises:
        ConfigError: unknown name or attribute, or one is missing; the message lists the nearest.

    Example:
        >>> released = {"small": dict(embed_dim=8, depth=2, num_heads=2)}
        >>> read_architecture(PlainArchitecture, released, "small", "ViT").depth
        2
    """
    if isinstance(arch, kind):
        return arch
    given = {"name": arch} if isinstance(arch, str) else dict(arch)
    name = given.pop("name", None)
    if name is not None and name not in released:
        families = dict.fromkeys(known.split("_")[0] for known in released)
        hint = did_you_mean(name, released) or f"; their names begin with {', '.join(families)}"
        raise ConfigError(f"no {family} is called {name!r}{hint}")
    settings = {**released.get(name, {}), **given}
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for key in settings:
        if key not in fields:
            raise ConfigError(f"a {family} architecture has no attribute {key!r}{did_you_mean(key, fields)}")
    missing = [k for k, f in fields.items() if f.default is dataclasses.MISSING and k not in settings]
    if missing:
        raise ConfigError(
            f"the {family} architecture {arch} lacks {missing[0]!r}; give it, or a name to start from"
        )
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()})


class PlainBackbone(BaseModule):
    """Base of plain backbones: ``depth`` blocks on tokens of one width.

    Args:
        arch: the family's architecture.
        out_indices: blocks whose tokens become maps, ascending; -1 is the last. Blocks after them do not run.
        frozen_stages: -1 freezes nothing, 0 the embedding, k also the first k blocks, ``depth`` all; frozen
            blocks stay in evaluation mode, without stochastic depth.
        with_cp: recompute activations in the backward pass (activation checkpointing).
        init_cfg: mmengine initialisation; ``dict(type="Pretrained", checkpoint=path)`` reads a local file in
            any layout that the family's ``converters`` know, or in ours.

    Attributes:
        out_channels, out_strides: channels and stride of each map.
        embed_dims: channels of a token, D.
        patch_size: side of a patch in pixels.
        num_prefix: P, tokens in front of the patches.
        blocks: the transformer blocks.

    Raises:
        ConfigError: ``out_indices`` name blocks that do not exist.
    """

    converters: tuple[str, ...] = ()  # of dense3d.checkpoints, tried on pretrained weights in turn
    embedding: tuple[str, ...] = ("patch_embed", "cls_token", "pos_embed")  # parts before the blocks
    num_prefix: int = 1
    blocks: nn.ModuleList

    def __init__(
        self,
        arch: Any,
        out_indices: Sequence[int] = (-1,),
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.arch = arch
        self.with_cp, self.frozen_stages = with_cp, frozen_stages
        self.embed_dims, self.patch_size = arch.embed_dim, arch.patch_size
        self.out_indices = _block_indices(out_indices, arch.depth)
        self.out_channels: tuple[int, ...] = (arch.embed_dim,) * len(self.out_indices)
        self.out_strides: tuple[int, ...] = (arch.patch_size,) * len(self.out_indices)

    # What a family may supply ---------------------------------------------------------------------------

    def embed(self, images: Tensor) -> tuple[Tensor, Grid]:
        """Tokens ``(B, P + h * w, D)`` that enter the first block, and the grid ``(h, w)``."""
        tokens, grid = self.patch_embed(images)
        if self.pos_embed is not None:
            tokens = tokens + self.position_table(grid)
        return torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], dim=1), grid

    def position_table(self, grid: Grid) -> Tensor:
        """What is added to the patches of a grid, ``(1, h * w, D)``: a module gives it, or a table."""
        return self.pos_embed(grid) if isinstance(self.pos_embed, nn.Module) else self.resized_table(grid)

    def resized_table(self, grid: Grid) -> Tensor:
        """The position table of another grid, ``(1, h * w, D)``: bicubic, not antialiased."""
        return resize_position_table(self.pos_embed, self.arch.table_grid, grid)

    def run_block(self, index: int, tokens: Tensor, grid: Grid) -> Tensor:
        """Pass tokens ``(B, P + h * w, D)`` through one block."""
        return self.recomputed(self.blocks[index], tokens, grid, self.num_prefix)

    def normalise(self, tokens: Tensor) -> Tensor:
        """Final norm of all tokens ``(B, P + N, D)``, where there is one."""
        return tokens if self.norm is None else self.norm(tokens)

    def class_head(self, num_classes: int) -> nn.Module:
        """The official tail of a classifier, from what :meth:`encode` gives to logits."""
        norm = nn.LayerNorm(self.embed_dims, eps=self.arch.norm_eps)
        return TokenHead(norm, self.embed_dims, num_classes, self.num_prefix)

    def adapt(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Converted weights less the parts that this network was built without."""
        if self.norm is None:
            state = {name: value for name, value in state.items() if not name.startswith("norm.")}
        return state

    # What all families do -------------------------------------------------------------------------------

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """``(B, 3, H, W)`` to the tuple of maps described in the class."""
        self.check_images(images)
        tokens, grid = self.embed(self.pad(images))
        maps, start = [], 0
        for index in self.out_indices:
            tokens = self.run_blocks(tokens, grid, start, index + 1)
            maps.append(tokens_to_map(self.normalise(tokens)[:, self.num_prefix :], grid))
            start = index + 1
        return tuple(maps)

    def encode(self, images: Tensor) -> Tensor:
        """Tokens that leave the last of ``out_indices``, without the final norm: ``(B, P + h * w, D)``."""
        self.check_images(images)
        tokens, grid = self.embed(self.pad(images))
        return self.run_blocks(tokens, grid, 0, self.out_indices[-1] + 1)

    def drop_output_norms(self) -> None:
        """Take the final norm away: a classifier has its own."""
        self.norm = None

    def pad(self, images: Tensor) -> Tensor:
        """Images with zeros right and below, so that whole patches cover them."""
        height, width = images.shape[-2:]
        return F.pad(images, (0, -width % self.patch_size, 0, -height % self.patch_size))

    def check_images(self, images: Tensor) -> None:
        """Complain about images that no patch fits into.

        Raises:
            DataError: an image is smaller than a patch, or has another number of channels.
        """
        size, channels = self.patch_size, self.arch.in_channels
        if images.ndim != 4 or images.shape[1] != channels:
            raise DataError(
                f"images of shape {tuple(images.shape)} do not fit a ViT that takes (B, {channels}, H, W): "
                f"in_channels of its arch is {channels}; change it, or convert the images"
            )
        height, width = images.shape[-2:]
        if height < size or width < size:
            raise DataError(
                f"an image of {height} x {width} pixels is smaller than one patch of {size} x {size}; "
                "resize it, or leave it out"
            )

    def run_blocks(self, tokens: Tensor, grid: Grid, start: int = 0, stop: int | None = None) -> Tensor:
        """Pass tokens ``(B, P + h * w, D)`` through ``blocks[start:stop]``; adapters work between ranges."""
        for index in range(start, len(self.blocks) if stop is None else stop):
            tokens = self.run_block(index, tokens, grid)
        return tokens

    def recomputed(self, module: nn.Module, *arguments: Any) -> Any:
        """Call a module, with activation checkpointing where that is asked for."""
        if self.with_cp and torch.is_grad_enabled():
            return checkpoint(module, *arguments, use_reentrant=False)
        return module(*arguments)

    @property
    def num_layers(self) -> int:
        """Depth of the last block by :meth:`layer_ids`; what follows counts one more."""
        return self.arch.depth

    def layer_ids(self) -> dict[str, int]:
        """Parameter name -> depth for layer-wise decay: 0 embedding, i + 1 block i, depth + 1 the rest."""
        return {name: self._layer_id(*name.split(".")) for name, _ in self.named_parameters()}

    def _layer_id(self, part: str, index: str = "", *_: str) -> int:
        if part in self.embedding:
            return 0
        return int(index) + 1 if part == "blocks" else self.num_layers + 1

    def no_weight_decay(self) -> set[str]:
        """Parameters without weight decay beside vectors and biases: learned tokens and positions."""
        own = {name for name, _ in self.named_parameters(recurse=False) if name in self.embedding}
        return own | {n for n, _ in self.named_parameters() if n.startswith("pos_embed.") or ".get_v." in n}

    def train(self, mode: bool = True) -> PlainBackbone:
        """Training mode, except for frozen blocks, whose stochastic depth stays off."""
        super().train(mode)
        for part in self.frozen_parts():
            if isinstance(part, nn.Module):
                part.eval()
        return self

    def freeze(self) -> None:
        """Freeze what ``frozen_stages`` and ``out_indices`` leave out; call when everything is built.

        Raises:
            ConfigError: ``frozen_stages`` is no number of blocks.
        """
        depth = self.arch.depth
        if not -1 <= self.frozen_stages <= depth:
            raise ConfigError(f"frozen_stages={self.frozen_stages}: this ViT has the stages -1 to {depth}")
        for part in self.frozen_parts():
            part.requires_grad_(False)
        self.freeze_after(self.out_indices[-1])

    def freeze_after(self, last: int) -> None:
        """Take the blocks after block ``last``, which are not to run, out of the training."""
        self.blocks[last + 1 :].requires_grad_(False)

    def frozen_parts(self) -> list[nn.Module | nn.Parameter]:
        """What ``frozen_stages`` freezes: the embedding, blocks, the final norm behind all of them."""
        if self.frozen_stages < 0:
            return []
        parts = [getattr(self, name, None) for name in self.embedding]
        parts += [*self.blocks[: self.frozen_stages]]
        if self.frozen_stages == self.arch.depth:
            parts.append(self.norm)
        return [part for part in parts if part is not None]

    def init_weights(self) -> None:
        """Load ``init_cfg``'s checkpoint; everything else was initialised at construction.

        Raises:
            CheckpointError: the file cannot be read, or names or shapes differ; the message lists them.
        """
        if not self.init_cfg or self.init_cfg.get("type") != "Pretrained":
            return
        from dense3d.checkpoints.pretrained import read_backbone
        from dense3d.engine.checkpoint import load_into

        path = self.init_cfg["checkpoint"]
        state = read_backbone(path, self.converters, set(self.state_dict()))
        load_into(self, self.adapt(state), source=str(path))


def initialise_linears(module: nn.Module) -> None:
    """Truncated normal of 0.02 for the matrices of linear layers, zeros for their biases."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.trunc_normal_(part.weight, std=0.02)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def per_block(name: str, value: Any, depth: int) -> list:
    """``value`` for each of ``depth`` blocks, of which a sequence has one entry each.

    Raises:
        ConfigError: the sequence has another length.
    """
    if not isinstance(value, Sequence):
        return [value] * depth
    if len(value) != depth:
        raise ConfigError(f"{name} has {len(value)} entries, but the ViT has {depth} blocks")
    return list(value)


def drop_path_rates(rate: float | Sequence[float], depth: int) -> list[float]:
    """Rate of stochastic depth of each block: growing linearly from 0 to ``rate``, or one's own for each.

    Example:
        >>> drop_path_rates(0.25, 3)
        [0.0, 0.125, 0.25]
    """
    if isinstance(rate, (int, float)):
        rate = [rate * i / max(depth - 1, 1) for i in range(depth)]
    return per_block("drop_path_rate", rate, depth)


def _block_indices(out_indices: Sequence[int], depth: int) -> tuple[int, ...]:
    bad = [i for i in out_indices if not -depth <= i < depth]
    if bad or not out_indices:
        raise ConfigError(
            f"out_indices {bad or ()} of a ViT with the blocks 0..{depth - 1}; choose among them"
        )
    indices = tuple(i % depth for i in out_indices)
    if list(indices) != sorted(set(indices)):
        raise ConfigError(f"out_indices {tuple(out_indices)} must be ascending, as the maps are")
    return indices
