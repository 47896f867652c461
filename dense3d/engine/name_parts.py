"""Parameter groups by parts of names and by norms, where several rules may hold for one parameter."""

from __future__ import annotations

import math

from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from dense3d.errors import ConfigError
from dense3d.registry import OPTIM_WRAPPER_CONSTRUCTORS

MULTIPLIERS = {"lr_mult", "decay_mult"}
OPTIONS = {"custom_keys", "norm_decay_mult"}
# Batch and instance norms of all kinds, and those over channels.
NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class NamePartsOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """Multiplies the factors of every key of ``custom_keys`` that a parameter's name contains.

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
            rules = [f for part, f in self.paramwise_cfg.get("custom_keys", {}).items() if part in name]
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


def _of_norms(module: nn.Module) -> set[str]:
    """Names of the parameters of all norms."""
    return {
        f"{prefix}.{name}" if prefix else name
        for prefix, part in module.named_modules()
        if isinstance(part, NORMS)
        for name, _ in part.named_parameters(recurse=False)
    }
