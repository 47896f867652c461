"""Golden adapter of DINOv3's ConvNeXt kits (system ``dinov3``, told from its transformers by ``depths``)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.backbones.convnext import ConvNeXt
from dense3d.checkpoints import convert
from tests.golden import UnknownCheckError
from tests.golden.convnext import build, unpadded_maps
from tests.golden.weights import load_strictly, tensors_of

Arrays = dict[str, np.ndarray]


def open_kit(kit) -> Callable[[dict, Arrays], Arrays]:
    """Build the kit's network with its weights."""
    official = tensors_of(kit)
    model = build(kit.meta["config"], official, output_norm="last")
    load_strictly(model, convert("dinov3-convnext", official), kit)
    return _Outputs(model, kit.meta["config"].get("patch_size")).run


class _Outputs:
    """Features of the last map, intermediate maps and their means."""

    def __init__(self, model: ConvNeXt, patch_size: int | None) -> None:
        self.model = model
        self.patch_size = patch_size

    @torch.no_grad()
    def run(self, check: dict, inputs: Arrays) -> Arrays:
        """Outputs of one check.

        Raises:
            UnknownCheckError: no rule for its name and inputs.
        """
        if set(inputs) != {"image"}:
            raise UnknownCheckError(f"DINOv3's ConvNeXt has no rule for the check {check['name']!r}")
        images = torch.from_numpy(inputs["image"])
        maps = list(unpadded_maps(self.model, images))
        found = self._features(maps[-1])
        for index, x in enumerate(maps):
            found |= self._intermediate(index, x, images.shape[-2:], normalise="raw" not in check["name"])
        if not set(check["outputs"]) <= set(found):
            raise UnknownCheckError(f"DINOv3's ConvNeXt has no rule for the check {check['name']!r}")
        return {name: found[name].numpy() for name in check["outputs"]}

    def _norm(self, tokens: Tensor) -> Tensor:
        """The network's norm on ``(..., C)``."""
        norm = self.model.norm3
        return F.layer_norm(tokens, tokens.shape[-1:], norm.weight, norm.bias, norm.eps)

    def _features(self, x: Tensor) -> dict[str, Tensor]:
        tokens = x.flatten(2).transpose(1, 2)  # (B, h w, C)
        return {"cls": self._norm(x.mean((2, 3))), "patch": self._norm(tokens), "prenorm": tokens}

    def _intermediate(
        self, index: int, x: Tensor, size: tuple[int, int], normalise: bool
    ) -> dict[str, Tensor]:
        mean = x.mean((2, 3))
        if self.patch_size is not None:
            grid = (size[0] // self.patch_size, size[1] // self.patch_size)
            x = F.interpolate(x, grid, mode="bilinear", antialias=True)
        if normalise and index == len(self.model.channels) - 1:
            mean, x = self._norm(mean), self._norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return {f"cls{index}": mean, f"map{index}": x}
