"""Golden adapter of HorNet: classification and dense code in one list of parameters (system ``hornet``).

The kits floor odd sizes at every down-sampling, as the official code does; the adapter therefore runs the
stages without the padding that the backbone adds.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn

from dense3d.backbones import HorNet
from dense3d.checkpoints.hornet import convert_head
from tests.golden.checks import Arrays, Run, tensors_of_inputs, wanted
from tests.golden.kit import GoldenKit
from tests.golden.options import Options
from tests.golden.staged_networks import StagedNetwork, Tensors, unpadded_maps
from tests.golden.weights import tensors_of


def open_kit(kit: GoldenKit) -> Run:
    """Build the kit's network with its weights."""
    return _HorNet(kit, build(kit.options, tensors_of(kit)), "hornet", convert_head).run


def build(options: Options, official: dict[str, Tensor]) -> HorNet:
    """The network of an official config; its weights tell whether there is a layer scale."""
    options.neutral("drop_path_rate", "layer_scale_init_value", "head_init_scale", "uniform_init")
    options.neutral("use_checkpoint", "pretrained", "num_classes")
    filters = options.take("global_filter_hw", None)
    return HorNet(
        dict(
            base_dim=options.take("base_dim", 96),
            depths=options.take("depths", (3, 3, 9, 3)),
            orders=options.take("orders", (5, 5, 5, 5)),
            filters=(None,) * 4 if filters is None else filters,
            scale=options.take("s", 1.0),
        ),
        layer_scale=1.0 if any(name.endswith("gamma1") for name in official) else 0.0,
        in_channels=options.take("in_chans", 3),
    )


class _HorNet(StagedNetwork):
    def __init__(self, kit: GoldenKit, *args) -> None:
        # the official dense class has all norms and runs those of the maps that it returns
        self.returned = sorted(kit.options.take("out_indices", range(4)))
        super().__init__(kit, *args)

    @torch.no_grad()
    def run(self, check: dict, inputs: Arrays) -> Arrays:
        """Maps by the order in which they are returned; the rest as all networks do."""
        if not check["name"].startswith("features"):
            return super().run(check, inputs)
        found = self.features(tensors_of_inputs(inputs)["image"])
        maps = [found[f"f{i + 1}"] for i in self.returned]
        return wanted(check, dict(zip(check["outputs"], maps, strict=True)))

    def last_map(self, image: Tensor) -> Tensor:
        """The last map without norm."""
        *_, last = unpadded_maps(self.model, image)
        return self.model.to_map(last)

    def part(self, kind: str, path: str, tensors: Tensors) -> Tensors:
        """A module on a map ``(B, C, h, w)``; filters take it as it is, the others with channels last."""
        (x,) = tensors.values()
        module = self.submodule(_ours(path))
        if isinstance(module, nn.Conv2d) or hasattr(module, "spectral"):
            return {"y": module(x)}
        return {"y": module(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)}


def _ours(path: str) -> str:
    """Our path of an official module."""
    path = re.sub(r"^downsample_layers\.0$", "patch_embed", path)
    path = re.sub(r"^downsample_layers\.(\d)$", r"stages.\1.downsample", path)
    path = re.sub(r"^stages\.(\d)\.(\d+)", r"stages.\1.blocks.\2", path)
    return path.replace(".gnconv.dwconv", ".attn.filter").replace(".gnconv", ".attn")
