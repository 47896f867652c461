"""A small variant of every registered backbone and adapter, for comparisons and tables of what fits."""

from __future__ import annotations

import copy

from dense3d.errors import ConfigError
from dense3d.registry import MODELS

_PACKAGES = ("dense3d.backbones.", "dense3d.adapters.")


def tiny_backbones() -> dict[str, dict]:
    """Name of a variant -> config, for every class that the packages of backbones and adapters register.

    A class joins by its attribute ``tiny_variants``: what is behind its name -> arguments of the constructor.

    Raises:
        ConfigError: a registered class has no such attribute.

    Example:
        >>> tiny_backbones()["Swin (V2)"]["type"]
        'dense3d.Swin'
    """
    found = {}
    for name, registered in sorted(MODELS.import_all().items()):
        if not registered.__module__.startswith(_PACKAGES):
            continue
        variants = vars(registered).get("tiny_variants")
        if not variants:
            raise ConfigError(
                f"{name} in {registered.__module__} is in no table of compatibility: give the class an "
                'attribute tiny_variants = {"": dict(...)} with arguments that make a very small network'
            )
        for variant, arguments in variants.items():
            label = f"{name} ({variant})" if variant else name
            found[label] = dict(copy.deepcopy(arguments), type=f"dense3d.{name}")
    return found
