"""Golden adapter of Relation-DETR's FocalNet kits (system ``relation-detr``, ``arch`` ``focalnet_*``)."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from dense3d.backbones.focalnet import ARCHITECTURES, FocalNet
from dense3d.checkpoints import convert
from tests.golden import UnknownCheckError
from tests.golden.weights import load_strictly, tensors_of

Arrays = dict[str, np.ndarray]


def open_kit(kit) -> Callable[[dict, Arrays], Arrays]:
    """Build the kit's network with its weights; what the config leaves open follows from their shapes."""
    official = tensors_of(kit)
    normed = sorted(int(m[1]) for name in official if (m := re.fullmatch(r"(?:1\.)?norm(\d)\.weight", name)))
    model = FocalNet(sizes(kit.meta["config"], official), out_indices=normed)
    load_strictly(model, convert("focalnet", official), kit)

    @torch.no_grad()
    def run(check: dict, inputs: Arrays) -> Arrays:
        names = {f"layers.{stage}.blocks": k for k, stage in enumerate(model.out_indices)}
        if len(inputs) != 1 or not set(check["outputs"]) <= set(names):
            raise UnknownCheckError(f"FocalNet has no rule for the check {check['name']!r}")
        maps = model(torch.from_numpy(next(iter(inputs.values()))))
        return {name: maps[names[name]].numpy() for name in check["outputs"]}

    return run


def sizes(config: dict, official: dict[str, Tensor]) -> dict:
    """``arch`` by name, with the config's widths and depths and the levels and kernels of the weights.

    Whether the context is divided by the levels leaves no trace in the weights: the name tells.
    """
    name = re.sub(r"^focalnet_|_lrf(?=_fl)", "", config["arch"])
    levels = [
        int(m[1]) for n in official if (m := re.search(r"layers\.0\.blocks\.0\..*focal_layers\.(\d+)\.0", n))
    ]
    first = next(v for n, v in official.items() if n.endswith("focal_layers.0.0.weight"))
    patch = next(v for n, v in official.items() if n.endswith("patch_embed.proj.weight"))
    released = dict(ARCHITECTURES[name]) if name in ARCHITECTURES else {}
    return released | dict(
        embed_dim=patch.shape[0],
        depths=config.get("depths", released.get("depths")),
        focal_levels=max(levels) + 1,
        focal_window=first.shape[-1],
        overlapping_patches=patch.shape[-1] == 7,
    )
