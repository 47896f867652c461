"""Optimisers: learning rates by depth or by parts of names, and mixed precision on any device."""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase

import torch
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.optim import AmpOptimWrapper as MMEngineAmpOptimWrapper
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from dense3d.errors import ConfigError, did_you_mean
from dense3d.half_precision import half_pays
from dense3d.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS

KEYS = ("decay_rate", "decay_type", "num_layers")
TYPES = {"layer_wise": "layer_ids", "stage_wise": "stage_ids"}
MULTIPLIERS = {"lr_mult", "decay_mult"}
OPTIONS = {"custom_keys", "norm_decay_mult"}
# Batch and instance norms of all kinds, and those over channels.
NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """Optimiser wrapper with ``lr * decay_rate ** (num_layers + 1 - depth)`` for each parameter.

    Depths are what ``layer_ids()`` of the backbone gives: 0 at the stem, ``num_layers`` at its last block;
    whatever lies outside of a backbone has depth ``num_layers + 1``, hence the full rate. Vectors, biases and
    what the backbone's ``no_weight_decay()`` names (position tables) get no weight decay.

    Args:
        optim_wrapper_cfg: as for mmengine's constructor; the optimiser needs ``lr``.
        paramwise_cfg: ``decay_rate``; ``decay_type``: ``"layer_wise"`` (default) or ``"stage_wise"``, which
            takes ``stage_ids()``; ``num_layers`` where a recipe counts otherwise than the backbone does.

    Raises:
        ConfigError: an unknown key or type, a rate outside (0, 1], no backbone that knows depths.

    Example:
        >>> from dense3d.backbones import Swin
        >>> model = nn.ModuleDict({
        ...     "backbone": Swin(dict(embed_dim=8, depths=(1, 1), num_heads=(1, 1)), out_indices=(0, 1)),
        ...     "head": nn.Linear(16, 2),
        ... })
        >>> optimizer = dict(type="SGD", lr=8.0)
        >>> build = LayerDecayOptimWrapperConstructor(dict(optimizer=optimizer), dict(decay_rate=0.5))
        >>> groups = []
        >>> build.add_params(groups, model)
        >>> sorted({group["lr"] for group in groups})
        [1.0, 2.0, 4.0, 8.0]
    """

    def _validate_cfg(self) -> None:
        super()._validate_cfg()
        for key in self.paramwise_cfg:
            if key not in KEYS:
                raise ConfigError(
                    f"layer-wise decay has no paramwise_cfg.{key}{did_you_mean(key, KEYS)} "
                    f"(known: {', '.join(KEYS)})"
                )
        rate = self.paramwise_cfg.get("decay_rate")
        if not isinstance(rate, (int, float)) or not 0 < rate <= 1:
            raise ConfigError(f"layer-wise decay needs paramwise_cfg.decay_rate in (0, 1], not {rate!r}")
        kind = self.paramwise_cfg.setdefault("decay_type", "layer_wise")
        if kind not in TYPES:
            raise ConfigError(f"paramwise_cfg.decay_type={kind!r}, but there are {' and '.join(TYPES)}")
        if self.base_lr is None:
            raise ConfigError("layer-wise decay needs optimizer.lr, the rate of the head")

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the wrapper and log the range of rates."""
        wrapper = super().__call__(model)
        rates = [group["lr"] for group in wrapper.optimizer.param_groups]
        print_log(
            f"{len(rates)} parameter groups, lr {min(rates):.4g} at the stem to {max(rates):.4g}", "current"
        )
        return wrapper

    def add_params(self, params: list[dict], module: nn.Module, prefix: str = "", **_) -> None:
        """Append one group for each depth and weight decay, in order of depth."""
        depths, undecayed, head = self._depths(module)
        groups: dict[tuple[int, bool], dict] = {}
        for name, parameter in module.named_parameters():
            if not parameter.requires_grad:
                continue
            depth = depths.get(name, head)
            decayed = parameter.dim() > 1 and not name.endswith(".bias") and name not in undecayed
            group = groups.setdefault((depth, decayed), self._group(head - depth, decayed))
            group["params"].append(parameter)
        params += [group for _, group in sorted(groups.items(), key=lambda item: item[0])]

    def _group(self, distance: int, decayed: bool) -> dict:
        group = {"params": [], "lr": self.base_lr * self.paramwise_cfg["decay_rate"] ** distance}
        if self.base_wd is not None:
            group["weight_decay"] = self.base_wd if decayed else 0.0
        return group

    def _depths(self, module: nn.Module) -> tuple[dict[str, int], set[str], int]:
        """Depth by parameter name, names without weight decay, and the depth of the head."""
        depths, heads = {}, []
        method = TYPES[self.paramwise_cfg["decay_type"]]
        for prefix, backbone in _outermost(module, method):
            ids, num_layers = self._ids(backbone, method)
            depths |= {prefix + name: depth for name, depth in ids.items()}
            heads.append(num_layers + 1)
        if not heads:
            raise ConfigError(
                f"no part of {type(module).__name__} has the method {method}(), which a {method[:-4]}-wise "
                "decay of the learning rate needs: take a backbone of dense3d"
            )
        return depths, _undecayed(module), max(heads)

    def _ids(self, backbone: nn.Module, method: str) -> tuple[dict[str, int], int]:
        num_layers = self.paramwise_cfg.get("num_layers")
        ids = getattr(backbone, method)
        if num_layers is None:
            depths = ids()
            # An adapter has no such number, but always parameters as deep as the head: those it adds.
            return depths, getattr(backbone, "num_layers", max(depths.values()) - 1)
        if "num_layers" not in inspect.signature(ids).parameters:
            raise ConfigError(
                f"{type(backbone).__name__} counts its layers itself: leave paramwise_cfg.num_layers out"
            )
        return ids(num_layers), num_layers


def _outermost(module: nn.Module, method: str, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Modules that have the method and lie in no other that has it, with the prefix of their parameters."""
    if hasattr(module, method):
        yield prefix, module
        return
    for name, child in module.named_children():
        yield from _outermost(child, method, f"{prefix}{name}.")


def _undecayed(module: nn.Module) -> set[str]:
    """What parts of the model keep from weight decay, by name in the model; a whole speaks for its parts."""
    return {
        f"{prefix}{name}"
        for prefix, part in _outermost(module, "no_weight_decay")
        for name in part.no_weight_decay()
    }


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class NamePartsOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """Multiplies the factors of every key of ``custom_keys`` that a parameter's name contains.

    In a key, ``*`` stands for anything: ``backbone.*.bias`` are the biases of the backbone.

    mmengine's own takes the longest such key alone, so that "biases have no weight decay" and "the backbone
    has a tenth of the learning rate" cannot both hold for a bias of the backbone. ``norm_decay_mult`` is one
    more factor for weights and biases of norms, whatever their names. Parameters with the same factors share
    one group, which lets the optimiser treat them together.
    """

    def _validate_cfg(self) -> None:
        super()._validate_cfg()
        keys = self.paramwise_cfg.get("custom_keys", {})
        unknown = {name for factors in keys.values() for name in factors} - MULTIPLIERS
        unknown |= set(self.paramwise_cfg) - OPTIONS
        if unknown:
            raise ConfigError(
                "paramwise_cfg of NamePartsOptimWrapperConstructor holds custom_keys, each with lr_mult or "
                f"decay_mult, and norm_decay_mult, not {sorted(unknown)}"
            )

    def add_params(self, params: list[dict], module: nn.Module, **_) -> None:
        """Append one group for each pair of factors that occurs."""
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        norms = _of_norms(module)
        norm_decay = self.paramwise_cfg.get("norm_decay_mult", 1.0)
        for name, parameter in module.named_parameters():
            rules = [f for part, f in self.paramwise_cfg.get("custom_keys", {}).items() if _has(name, part)]
            factors = (
                math.prod(rule.get("lr_mult", 1.0) for rule in rules),
                math.prod(rule.get("decay_mult", 1.0) for rule in rules)
                * (norm_decay if name in norms else 1.0),
            )
            if parameter.requires_grad:
                groups.setdefault(factors, []).append(parameter)
        for (lr_factor, decay_factor), parameters in groups.items():
            group: dict = {"params": parameters}
            if lr_factor != 1:
                group["lr"] = self.base_lr * lr_factor
            if decay_factor != 1:
                group["weight_decay"] = self.base_wd * decay_factor
            params.append(group)


def _has(name: str, part: str) -> bool:
    return part in name if "*" not in part else fnmatchcase(name, f"*{part}*")


def _of_norms(module: nn.Module) -> set[str]:
    """Names of the parameters of all norms."""
    return {
        f"{prefix}.{name}" if prefix else name
        for prefix, part in module.named_modules()
        if isinstance(part, NORMS)
        for name, _ in part.named_parameters(recurse=False)
    }


@OPTIM_WRAPPERS.register_module()
class AmpOptimWrapper(MMEngineAmpOptimWrapper):
    """mmengine's ``AmpOptimWrapper``, which refuses the CPU, on the CPU as well.

    Args:
        loss_scale: ``"dynamic"``, a fixed number, or the arguments of ``torch.amp.GradScaler``.
        dtype: ``"float16"`` or ``"bfloat16"``; by default what autocast takes on the device. A CPU
            computes in bfloat16 whatever is asked for; one without instructions for it, which would take
            several times as long as in float32, in float32.
        **kwargs: as for mmengine's ``OptimWrapper``; ``use_fsdp`` as for its ``AmpOptimWrapper``.
    """

    def __init__(
        self,
        loss_scale: str | float | dict = "dynamic",
        dtype: str | torch.dtype | None = None,
        **kwargs,
    ) -> None:
        if get_device() != "cpu":
            super().__init__(loss_scale=loss_scale, dtype=dtype, **kwargs)
            return
        kwargs.pop("use_fsdp", None)
        OptimWrapper.__init__(self, **kwargs)
        self._scale_update_param = float(loss_scale) if isinstance(loss_scale, (int, float)) else None
        self.loss_scaler = torch.amp.GradScaler("cpu", **_scaler_arguments(loss_scale))
        self.cast_dtype = torch.bfloat16
        if not half_pays("cpu"):
            print_log(
                "mixed precision: this CPU has no instructions for bfloat16, float32 is faster and is used",
                logger="current",
                level=logging.WARNING,
            )

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """The context of a training step: autocast where half precision pays."""
        base = super() if half_pays(get_device()) else super(MMEngineAmpOptimWrapper, self)
        with base.optim_context(model):
            yield


def _scaler_arguments(loss_scale: str | float | dict) -> dict:
    if loss_scale == "dynamic":
        return {}
    if isinstance(loss_scale, (int, float)):
        return {"init_scale": float(loss_scale)}
    if isinstance(loss_scale, dict):
        return dict(loss_scale)
    raise ConfigError(f'loss_scale must be "dynamic", a number or a dict, not {loss_scale!r}')
