"""Golden checks of kMaX-DeepLab's parts: a decoder layer with gradients, axial blocks, the fusion of maps."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from dense3d.checkpoints.kmax_deeplab import convert
from dense3d.segmentation.kmax_deeplab import (
    KMaXDecoderLayer,
    ResidualBlock,
    ResizedFuse,
    assign_clusters,
)
from tests.golden import UnknownCheckError
from tests.golden.weights import load_strictly, tensors_of

Arrays = dict[str, np.ndarray]
# Names of the kit -> places in a whole checkpoint, which the converter knows.
PREFIXES = {
    "layer.": "sem_seg_head.predictor._kmax_transformer_layers.0.",
    "axial.": "sem_seg_head.pixel_decoder._stages.0.",
    "fuse.": "sem_seg_head.pixel_decoder._resized_fuses.0.",
}
OURS = {
    "decoder.layers.0.": "layer.",
    "pixel_decoder.stages.0.": "axial.",
    "pixel_decoder.fuses.0.": "fuse.",
}


def open_kit(kit) -> Callable[[dict, Arrays], Arrays]:
    """Build the kit's modules and load their weights."""
    config, official = kit.meta["config"], tensors_of(kit)
    state = {
        _replaced(n, OURS): v
        for n, v in convert({_replaced(n, PREFIXES): v for n, v in official.items()}).items()
    }
    pixels, base = config["in_channel_pixel"], config["base_filter"]
    number = 1 + max(int(match[1]) for match in map(re.compile(r"axial\.(\d+)\.").match, state) if match)
    widths = [pixels] + [4 * base] * (number - 1)
    parts = nn.ModuleDict(
        {
            "layer": KMaXDecoderLayer(config["num_classes"], pixels),
            "axial": nn.Sequential(*(ResidualBlock(width, base, "axial") for width in widths)),
            "fuse": ResizedFuse(4 * base, pixels, config["fuse_out"]),
        }
    )
    load_strictly(parts, state, kit)
    first = kit.inputs(kit.checks[0]["name"])

    def run(check: dict, inputs: Arrays) -> Arrays:
        found = _outputs(parts, {n: torch.from_numpy(v) for n, v in (first | inputs).items()})
        unknown = sorted(set(check["outputs"]) - set(found))
        if unknown:
            raise UnknownCheckError(f"there is no rule for {unknown[0]!r} of the check {check['name']!r}")
        return {name: found[name].detach().numpy() for name in check["outputs"]}

    return run


def _replaced(name: str, prefixes: dict[str, str]) -> str:
    return next((ours + name.removeprefix(p) for p, ours in prefixes.items() if name.startswith(p)), name)


def _outputs(parts: nn.ModuleDict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    layer = parts["layer"]
    pixels, queries = (inputs[n].requires_grad_() for n in ("pixel_feature", "query_feature"))
    updated, prediction = layer(pixels, queries)
    total = sum(
        (output * inputs[weight]).sum()
        for output, weight in (
            (updated, "w_query"),
            (prediction.masks, "w_mask"),
            (prediction.logits, "w_class"),
        )
    )
    leaves = {
        "grad_pixel_feature": pixels,
        "grad_query_feature": queries,
        "grad_value_conv": layer.value_proj.conv.weight,
        "grad_mask_head_conv": layer.predictor.mask_kernel.conv.weight,
    }
    gradients = dict(zip(leaves, torch.autograd.grad(total, list(leaves.values()))))
    blocks = parts["axial"](pixels)
    return {
        "assignment": assign_clusters(prediction.masks).int(),
        "class_logits": prediction.logits,
        "mask_logits": prediction.masks,
        "pixel_feature": prediction.pixels,
        "query_out": updated,
        "axial_blocks": blocks,
        "resized_fuse": parts["fuse"](blocks[:, :, ::2, ::2], pixels),
        "grad_pixel_feature": gradients["grad_pixel_feature"],
        "grad_query_feature": gradients["grad_query_feature"],
        "grad_value_conv": gradients["grad_value_conv"].flatten(1),
        "grad_mask_head_conv": gradients["grad_mask_head_conv"].flatten(1),
    }
