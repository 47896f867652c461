"""Hierarchical backbones, cut between their stages: for networks that do something to the maps on the way.

A cut backbone runs ``begin``, then four ``stage`` calls of strides 4, 8, 16 and 32. Between two of them, what
runs through can be taken out as a map ``(B, C, h, w)``, changed, and put back. Whether the parts give what
the whole gives is computed when a backbone is cut; one that cannot be cut is refused by its name.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from dense3d.backbones.staged import StagedBackbone
from dense3d.backbones.timm_backbone import TimmBackbone
from dense3d.errors import ConfigError

STRIDES = (4, 8, 16, 32)


class CutBackbone:
    """What the two kinds of cut backbones share; :func:`cut_backbone` makes one.

    Attributes:
        backbone: the whole network, which keeps owning the modules.
        channels: of the maps of strides 4, 8, 16, 32 on their way.
        half_channels: of the backbone's own map of stride 2; None where it has none.
        multiple: images need whole multiples of this.
    """

    def __init__(
        self, backbone: nn.Module, channels: Sequence[int], half_channels: int | None, multiple: int
    ) -> None:
        self.backbone = backbone
        self.channels = tuple(channels)
        self.half_channels = half_channels
        self.multiple = multiple
        self.channels_last = False

    def begin(self, images: Tensor) -> tuple[Tensor | None, Tensor]:
        """The map of stride 2, if there is one, and what the first stage takes."""
        raise NotImplementedError

    def stage(self, index: int, x: Tensor) -> Tensor:
        """What runs through after stage ``index``."""
        raise NotImplementedError

    def feature(self, index: int, x: Tensor) -> Tensor:
        """The map ``(B, C, h, w)`` that the whole backbone hands out for this stage."""
        return self.to_map(x)

    def to_map(self, x: Tensor) -> Tensor:
        """What runs through, as ``(B, C, h, w)``."""
        return x.permute(0, 3, 1, 2) if self.channels_last else x

    def from_map(self, x: Tensor) -> Tensor:
        """A map ``(B, C, h, w)`` in the form that the next stage takes."""
        return x.permute(0, 2, 3, 1) if self.channels_last else x

    def features(self, images: Tensor) -> tuple[Tensor, ...]:
        """The maps of strides 4..32 of images of whole multiples, stage by stage, nothing changed between."""
        _, x = self.begin(images)
        maps = []
        for index in range(len(STRIDES)):
            x = self.stage(index, x)
            maps.append(self.feature(index, x))
        return tuple(maps)

    def stem_holder(self) -> tuple[nn.Module, str] | None:
        """Where a ConvNeXt's first convolution sits (module and name); None in other families."""
        return None


class CutStaged(CutBackbone):
    """A family of ours."""

    def __init__(self, backbone: StagedBackbone) -> None:
        multiple = max(STRIDES[-1], backbone.pad_multiple)
        super().__init__(backbone, backbone.channels[:4], None, multiple)
        rows, columns = 2 * STRIDES[-1], 3 * STRIDES[-1]
        with _undisturbed(backbone) as device:
            images = torch.zeros(1, backbone.in_channels, rows, columns, device=device)
            x = backbone.stage(0, backbone.stem(images))
        self.channels_last = tuple(x.shape[1:3]) == (rows // STRIDES[0], columns // STRIDES[0])

    def begin(self, images: Tensor) -> tuple[Tensor | None, Tensor]:
        """The stem; these families begin with patches of 4 pixels."""
        return None, self.backbone.stem(images)

    def stage(self, index: int, x: Tensor) -> Tensor:
        """Down-sampling and blocks."""
        return self.backbone.stage(index, x)

    def feature(self, index: int, x: Tensor) -> Tensor:
        """With the output norm, where the backbone has one."""
        return self.backbone.output(index, x)

    def stem_holder(self) -> tuple[nn.Module, str] | None:
        """ConvNeXt's patch embedding is a convolution and a norm."""
        stem = getattr(getattr(self.backbone, "body", None), "stem", None)
        is_convnext = type(self.backbone).__name__ == "ConvNeXt" and isinstance(stem, nn.Sequential)
        return (stem, "0") if is_convnext else None


class CutTimm(CutBackbone):
    """A timm network that is a chain of modules, some of which give maps."""

    def __init__(self, backbone: TimmBackbone) -> None:
        info = {entry["reduction"]: entry for entry in backbone.body.feature_info.get_dicts()}
        half = info[2]["num_chs"] if 2 in info else None
        channels = [info[stride]["num_chs"] for stride in STRIDES]
        super().__init__(backbone, channels, half, max(STRIDES[-1], backbone._divisor))
        self.channels_last = backbone._channels_last_output
        names = [name for name, _ in self._chain()]
        taps = [info[stride]["module"] for stride in (2, *STRIDES) if stride in info]
        self.ends = [_position(names, tap) for tap in taps]  # of the parts, in the chain
        if half is None:
            self.ends.insert(0, None)

    def _chain(self) -> list[tuple[str, nn.Module]]:
        chain: list[tuple[str, nn.Module]] = []
        for name, module in self.backbone.body.named_children():
            if name == "blocks" and isinstance(module, nn.Sequential):
                chain += [(f"blocks_{inner}", block) for inner, block in module.named_children()]
            else:
                chain.append((name, module))
        return chain

    def _run(self, start: int, stop: int, x: Tensor) -> Tensor:
        keep = not (getattr(self.backbone.body, "grad_checkpointing", False) and x.requires_grad)
        for _, module in self._chain()[start:stop]:
            x = module(x) if keep else checkpoint(module, x, use_reentrant=False)
        return x

    def begin(self, images: Tensor) -> tuple[Tensor | None, Tensor]:
        """Everything up to the map of stride 2; nothing where there is none."""
        if self.backbone._channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        if self.ends[0] is None:
            return None, images
        half = self._run(0, self.ends[0], images)
        return half, half

    def stage(self, index: int, x: Tensor) -> Tensor:
        """The modules from the map before to this one."""
        return self._run(self.ends[index] or 0, self.ends[index + 1], x)

    def stem_holder(self) -> tuple[nn.Module, str] | None:
        """timm calls ConvNeXt's first convolution ``stem_0`` where it cuts the network into maps."""
        stem = getattr(self.backbone.body, "stem_0", None)
        is_convnext = self.backbone.model_name.startswith("convnext") and isinstance(stem, nn.Conv2d)
        return (self.backbone.body, "stem_0") if is_convnext else None


def cut_backbone(backbone: nn.Module) -> CutBackbone:
    """Cut a backbone with maps of strides 4, 8, 16 and 32 between its stages.

    Args:
        backbone: a :class:`StagedBackbone` with all four stages, or a :class:`TimmBackbone`.

    Raises:
        ConfigError: it has other strides, is an adapter or a plain vision transformer, or timm's network is
            no chain of modules; the message names it.

    Example:
        >>> from dense3d.backbones import ConvNeXt
        >>> arch = dict(dims=(8, 16, 24, 32), depths=(1, 1, 1, 1))
        >>> cut = cut_backbone(ConvNeXt(arch))
        >>> [tuple(m.shape[1:]) for m in cut.features(torch.zeros(1, 3, 64, 96))]
        [(8, 16, 24), (16, 8, 12), (24, 4, 6), (32, 2, 3)]
    """
    name = type(backbone).__name__
    if isinstance(backbone, TimmBackbone):
        name = f"TimmBackbone {backbone.model_name!r}"
    strides = tuple(getattr(backbone, "out_strides", ()))
    wanted = tuple(stride for stride in strides if stride >= STRIDES[0])
    if wanted != STRIDES:
        raise ConfigError(
            f"{name} gives maps of strides {strides}, and cannot be cut between stages of strides 4, 8, 16, "
            "32: take a hierarchical backbone (ConvNeXt, FocalNet, Swin, or TimmBackbone with a ResNet)"
        )
    kinds = {StagedBackbone: CutStaged, TimmBackbone: CutTimm}
    kind = next((kinds[known] for known in kinds if isinstance(backbone, known)), None)
    if kind is None:
        raise ConfigError(
            f"{name} cannot be cut between stages: its four maps are made of one vision transformer's; take "
            "a hierarchical backbone (ConvNeXt, FocalNet, Swin, or TimmBackbone with a ResNet)"
        )
    try:
        cut = kind(backbone)
        same = _parts_equal_whole(cut)
    except (AttributeError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        same, reason = False, f" ({str(error).splitlines()[0]})" if str(error) else ""
    else:
        reason = ""
    if not same:
        raise ConfigError(
            f"{name} cannot be cut between its stages: it is no chain of modules from map to map{reason}; "
            "take another hierarchical backbone (ConvNeXt, FocalNet, Swin, or TimmBackbone with a ResNet)"
        )
    return cut


def _position(names: list[str], tap: str) -> int:
    """Where the chain has given the map of ``tap``: one behind its module."""
    name = tap.replace(".", "_")
    if name in ("bn1", "conv_stem") and "blocks_0" in names:
        return names.index("blocks_0")  # an activation may follow
    return names.index(name) + 1


def _parts_equal_whole(cut: CutBackbone) -> bool:
    """Whether the parts, one after the other, give the maps of the whole backbone."""
    backbone, side = cut.backbone, max(cut.multiple, 64)
    if next(backbone.parameters()).is_meta:
        return True  # nothing can be computed
    with _undisturbed(backbone) as device:
        ramp = torch.linspace(-1, 1, 3 * side * side, device=device).reshape(1, 3, side, side)
        images = ramp[:, : backbone.in_channels].sin() if backbone.in_channels <= 3 else ramp.sin()
        whole, parts = backbone(images)[-4:], cut.features(images)
    return all(torch.allclose(a, b, rtol=1e-3, atol=1e-4) for a, b in zip(whole, parts, strict=True))


class _undisturbed:
    """Evaluation mode without gradients, on the backbone's device; its modes come back afterwards."""

    def __init__(self, backbone: nn.Module) -> None:
        self.modes = {module: module.training for module in backbone.modules()}
        self.backbone, self.no_grad = backbone, torch.no_grad()

    def __enter__(self) -> torch.device:
        self.no_grad.__enter__()
        self.backbone.eval()
        return next(self.backbone.parameters()).device

    def __exit__(self, *error: object) -> None:
        for module, training in self.modes.items():
            module.training = training
        self.no_grad.__exit__(*error)
