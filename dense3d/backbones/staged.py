"""What hierarchical backbones share: a stem, stages of strides 4, 8, 16, 32, and the backbone contract.

A family supplies how its stem and stages compute; padding, cropping, output norms, freezing, activation
checkpointing and pretrained weights are the same for all and live here.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch.nn.functional as F
from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from dense3d.errors import CheckpointError, ConfigError, DataError
from dense3d.layers.class_heads import MapHead


class StagedBackbone(BaseModule):
    """Base of hierarchical backbones.

    Args:
        channels: channels of each stage's map.
        patch_size: stride of the first map; each later one has twice the stride.
        in_channels: channels of the images.
        out_indices: stages whose maps are returned, increasing. Later stages are not computed, and frozen.
        frozen_stages: -1 freezes nothing, 0 the stem, k the stem and the first k stages, with the
            down-sampling that the family counts among them; frozen parts stay in evaluation mode, hence
            without drop path.
        with_cp: recompute each block's activations in the backward pass (activation checkpointing).
        init_cfg: mmengine initialisation; ``dict(type="Pretrained", checkpoint=path)`` reads a local file in
            any layout that the family's ``converters`` know, or in ours.

    Attributes:
        out_channels: channels of each returned map.
        out_strides: stride of each returned map.

    Raises:
        ConfigError: ``out_indices`` or ``frozen_stages`` name stages that do not exist.
    """

    downsampling_ends_stage = False  # whether it is frozen with the stage before it
    converters: tuple[str, ...] = ()  # of dense3d.checkpoints, tried on pretrained weights in turn
    norms_are_pretrained = False  # whether weights without the output norms are refused

    def __init__(
        self,
        channels: Sequence[int],
        patch_size: int = 4,
        in_channels: int = 3,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        name, stages = type(self).__name__, len(channels)
        if not out_indices or sorted(set(out_indices)) != list(out_indices):
            raise ConfigError(
                f"{name}: out_indices={tuple(out_indices)} must name stages in increasing order"
            )
        if not all(0 <= index < stages for index in out_indices):
            raise ConfigError(f"{name}: out_indices={tuple(out_indices)}, but its stages are 0..{stages - 1}")
        if not -1 <= frozen_stages <= stages:
            raise ConfigError(f"{name}: frozen_stages={frozen_stages}, but it can be -1..{stages}")
        self.in_channels = in_channels
        self.patch_size = patch_size
        self.channels = tuple(channels)
        self.out_indices = tuple(out_indices)
        self.frozen_stages = frozen_stages
        self.with_cp = with_cp
        self.out_channels: tuple[int, ...] = tuple(channels[i] for i in out_indices)
        self.out_strides: tuple[int, ...] = tuple(patch_size * 2**i for i in out_indices)

    # What a family supplies -----------------------------------------------------------------------------

    def stem(self, images: Tensor) -> Tensor:
        """``(B, in_channels, H, W)`` of padded size to the first map."""
        raise NotImplementedError

    def stage(self, index: int, x: Tensor) -> Tensor:
        """The map of stage ``index`` from the one before it (from the stem's for stage 0)."""
        raise NotImplementedError

    def stem_modules(self) -> list[nn.Module]:
        """Modules of the stem."""
        raise NotImplementedError

    def downsampling(self, index: int) -> nn.Module:
        """The down-sampling before stage ``index``, from 1 on."""
        raise NotImplementedError

    def blocks(self, index: int) -> nn.ModuleList | nn.Sequential:
        """Blocks of stage ``index``, without its down-sampling."""
        raise NotImplementedError

    def layer_ids(self) -> dict[str, int]:
        """Depth of every parameter, for layer-wise decay of the learning rate.

        0 the stem, then one id a block over all stages; a down-sampling has the id of the block that it is
        frozen with, the one after it or before it; output norms count with the head: last block + 1.
        """
        parts = {id(p): 0 for module in self.stem_modules() for p in module.parameters()}
        depth = 0
        for index in range(len(self.channels)):
            if index > 0:
                first = depth if self.downsampling_ends_stage else depth + 1
                parts |= {id(p): first for p in self.downsampling(index).parameters()}
            for block in self.blocks(index):
                depth += 1
                parts |= {id(p): depth for p in block.parameters()}
        return {name: parts.get(id(p), depth + 1) for name, p in self.named_parameters()}

    def stage_ids(self, num_layers: int | None = None) -> dict[str, int]:
        """Depth of every parameter, for stage-wise decay: 0 the stem and all down-sampling, i + 1 stage i.

        The rule of the official segmentation recipes of ConvNeXt: output norms count with the head, which
        stands at ``num_layers + 1`` (:attr:`num_layers` of this backbone unless given).
        """
        head = (self.num_layers if num_layers is None else num_layers) + 1
        ids = dict.fromkeys((name for name, _ in self.named_parameters()), 0)
        stage_of = {id(p): i for i in range(len(self.channels)) for p in self.blocks(i).parameters()}
        for name, parameter in self.named_parameters():
            if name.startswith("norm"):
                ids[name] = head
            elif id(parameter) in stage_of:
                ids[name] = stage_of[id(parameter)] + 1
        return ids

    def no_weight_decay(self) -> set[str]:
        """Parameters without weight decay beside vectors and biases."""
        return set()

    @property
    def num_layers(self) -> int:
        """Depth of the last block by :meth:`layer_ids`; what follows counts one more."""
        return sum(self.depths)

    @property
    def pad_multiple(self) -> int:
        """Images are padded, right and bottom with zeros, to a multiple of this."""
        return self.patch_size

    def output(self, index: int, x: Tensor) -> Tensor:
        """The map handed out for stage ``index``, ``(B, C, h, w)``."""
        norm = getattr(self, f"norm{index}", None)
        return self.to_map(x if norm is None else norm(x))

    def to_map(self, x: Tensor) -> Tensor:
        """What a stage gives as a map ``(B, C, h, w)``; families that keep channels last turn them."""
        return x

    def class_head(self, num_classes: int) -> nn.Module:
        """The official tail of a classifier, with its start: from what :meth:`embed` gives to logits."""
        return MapHead(self.out_channels[-1], num_classes)

    # What all families do -------------------------------------------------------------------------------

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Feature maps of an image batch.

        Shape:
            images ``(B, in_channels, H, W)``
            -> tuple of ``(B, out_channels[i], ceil(H / out_strides[i]), ceil(W / out_strides[i]))``.

        Raises:
            DataError: the batch has another number of axes or channels, or no pixels.
        """
        height, width = images.shape[-2:]
        maps = []
        for index, x in self._stages(images):
            if index in self.out_indices:
                maps.append(self._cropped(self.output(index, x), index, height, width))
        return tuple(maps)

    def embed(self, images: Tensor) -> Tensor:
        """What the official classifier hands to its tail: the last map without its norm, ``(B, C, h, w)``.

        Shape, errors: as :meth:`forward`, of the last of ``out_indices``.
        """
        for index, x in self._stages(images):
            last = index, x
        return self._cropped(self.to_map(last[1]), last[0], *images.shape[-2:])

    def drop_output_norms(self) -> None:
        """Take the output norms away: a classifier has its own."""
        for index in self.out_indices:
            if hasattr(self, f"norm{index}"):
                delattr(self, f"norm{index}")

    def _stages(self, images: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Number and map of each stage up to the last that is wanted."""
        self.check_images(images)
        height, width = images.shape[-2:]
        pad_y, pad_x = -height % self.pad_multiple, -width % self.pad_multiple
        if pad_y or pad_x:
            images = F.pad(images, (0, pad_x, 0, pad_y))
        x = self.stem(images)
        for index in range(self.out_indices[-1] + 1):
            x = self.stage(index, x)
            yield index, x

    def _cropped(self, x: Tensor, index: int, height: int, width: int) -> Tensor:
        """A map ``(B, C, h, w)`` of stage ``index`` without what padding added."""
        stride = self.patch_size * 2**index
        return x[..., : math.ceil(height / stride), : math.ceil(width / stride)]

    def check_images(self, images: Tensor) -> None:
        """Complain about a batch that is none of images.

        Raises:
            DataError: the batch has another number of axes or channels, or no pixels.
        """
        if images.dim() != 4 or images.shape[1] != self.in_channels:
            raise DataError(
                f"{type(self).__name__} takes images of shape (B, {self.in_channels}, H, W), "
                f"but this batch is {tuple(images.shape)}: set in_channels, or convert the images"
            )
        height, width = images.shape[-2:]
        if height == 0 or width == 0:
            raise DataError(f"{type(self).__name__} got images of {height} x {width} pixels: leave them out")

    def run(self, block: nn.Module, x: Tensor, *others: Any) -> Tensor:
        """Apply one block, with activation checkpointing where that is asked for.

        Args:
            block: the module.
            x: its map.
            others: what else it takes, such as positions.
        """
        if self.with_cp and self.training and x.requires_grad:
            return checkpoint(
                block,
                x,
                *others,
                use_reentrant=False,
                context_fn=lambda: (nullcontext(), _no_statistics(block)),
            )
        return block(x, *others)

    def train(self, mode: bool = True) -> StagedBackbone:
        """Training mode, except for frozen parts."""
        super().train(mode)
        for module in self._frozen_modules():
            module.eval()
        return self

    def freeze(self) -> None:
        """Freeze what ``frozen_stages`` and ``out_indices`` leave out; call when everything is built."""
        for index in range(self.out_indices[-1] + 1, len(self.channels)):
            self.blocks(index).requires_grad_(False)
            self.downsampling(index).requires_grad_(False)
        for module in self._frozen_modules():
            module.requires_grad_(False)

    def _frozen_modules(self) -> list[nn.Module]:
        if self.frozen_stages < 0:
            return []
        modules = list(self.stem_modules())
        for index in range(self.frozen_stages):
            modules.append(self.blocks(index))
            if hasattr(self, f"norm{index}"):
                modules.append(getattr(self, f"norm{index}"))
        last = self.frozen_stages + self.downsampling_ends_stage
        modules += [self.downsampling(index) for index in range(1, min(last, len(self.channels)))]
        return modules

    def init_weights(self) -> None:
        """Load ``init_cfg``'s checkpoint; everything else is initialised at construction.

        Classification checkpoints have no output norms: those then keep their initial 1 and 0.

        Raises:
            CheckpointError: the file cannot be read, names or shapes differ, or it lacks output norms that
                pre-training gives; the message lists them.
        """
        if not self.init_cfg or self.init_cfg.get("type") != "Pretrained":
            return
        from dense3d.checkpoints.pretrained import read_backbone
        from dense3d.engine.checkpoint import load_into

        path = self.init_cfg["checkpoint"]
        state = self.adapt(read_backbone(path, self.converters, set(self.state_dict())))
        norms = {
            name: value
            for name, value in self.state_dict().items()
            if name.startswith("norm") and name not in state
        }
        if norms and self.norms_are_pretrained:
            raise CheckpointError(
                f"{path} has no final norm for {', '.join(norms)}, without which the maps are not those of "
                "pre-training: take the whole file, or leave the norm out (output_norm='none')"
            )
        if norms:
            print_log(f"{path} has no output norms: {', '.join(norms)} start at 1 and 0", "current")
        wanted = set(self.state_dict())
        foreign = [n for n in state if n not in wanted and n.split(".")[0].startswith("norm")]
        for name in foreign:  # norms of stages that are not handed out
            del state[name]
        load_into(self, state | norms, source=str(path))

    def adapt(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Fit converted weights to this configuration; what is changed is logged."""
        return state

    def log(self, message: str) -> None:
        """Tell the user about something done to pretrained weights."""
        print_log(f"{type(self).__name__}: {message}", "current", logging.WARNING)


@contextmanager
def _no_statistics(block: nn.Module) -> Iterator[None]:
    """Batch norms update their running statistics in the first pass alone, not when it is repeated."""
    norms = [m for m in block.modules() if isinstance(m, _BatchNorm) and m.training]
    kept = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, kept):
            norm.momentum, norm.num_batches_tracked = momentum, count
