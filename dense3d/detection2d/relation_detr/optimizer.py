"""Parameter groups by parts of names, where several rules may hold for one parameter."""

from __future__ import annotations

import math

from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from dense3d.errors import ConfigError
from dense3d.registry import OPTIM_WRAPPER_CONSTRUCTORS

MULTIPLIERS = {"lr_mult", "decay_mult"}


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class NamePartsOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """Multiplies the factors of every key of ``custom_keys`` that a parameter's name contains.

    mmengine's own takes the longest such key alone, so that "biases have no weight decay" and "the backbone
    has a tenth of the learning rate" cannot both hold for a bias of the backbone. Parameters with the same
    factors share one group, which lets the optimiser treat them together.
    """

    def _validate_cfg(self) -> None:
        super()._validate_cfg()
        keys = self.paramwise_cfg.get("custom_keys", {})
        unknown = {name for factors in keys.values() for name in factors} - MULTIPLIERS
        if unknown or set(self.paramwise_cfg) != {"custom_keys"}:
            raise ConfigError(
                "paramwise_cfg of NamePartsOptimWrapperConstructor holds custom_keys alone, each with "
                f"lr_mult or decay_mult, not {sorted(unknown or set(self.paramwise_cfg))}"
            )

    def add_params(self, params: list[dict], module: nn.Module, **_) -> None:
        """Append one group for each pair of factors that occurs."""
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in module.named_parameters():
            rules = [f for part, f in self.paramwise_cfg["custom_keys"].items() if part in name]
            factors = (
                math.prod(rule.get("lr_mult", 1.0) for rule in rules),
                math.prod(rule.get("decay_mult", 1.0) for rule in rules),
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
