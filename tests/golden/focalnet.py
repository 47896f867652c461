"""Golden adapter of Relation-DETR's FocalNet (system ``relation-detr``, ``arch`` ``focalnet_*``)."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from dense3d.backbones import FocalNet
from dense3d.backbones.focalnet import ARCHITECTURES
from dense3d.checkpoints.focalnet import convert
from tests.golden import UnknownCheckError
from tests.golden.checks import Arrays, Run, tensors_of_inputs, wanted
from tests.golden.options import Options
from tests.golden.weights import load_strictly, tensors_of


def open_kit(kit) -> Run:
    """Build the kit's network with its weights; what the config leaves open follows from their shapes."""
    official, options = tensors_of(kit), kit.options
    name = options.take("arch")
    normed = sorted(int(m[1]) for n in official if (m := re.fullmatch(r"(?:1\.)?norm(\d)\.weight", n)))
    model = FocalNet(sizes(name, options, official), out_indices=normed)
    options.agree("return_indices", normed)
    load_strictly(model, convert(official, norms_after(name, options)), kit)

    @torch.no_grad()
    def run(check: dict, inputs: Arrays) -> Arrays:
        if len(inputs) != 1:
            raise UnknownCheckError(f"FocalNet has no rule for the check {check['name']!r}")
        (images,) = tensors_of_inputs(inputs).values()
        names = (f"layers.{stage}.blocks" for stage in model.out_indices)
        return wanted(check, dict(zip(names, model(images))))

    return run


# what Relation-DETR calls otherwise than we
FOCALNET_NAMES = {"large_lrf": "large_fl3", "xlarge_lrf": "xlarge_fl3"}


def _released(name: str, options: Options) -> dict:
    name = re.sub(r"^focalnet_|_lrf(?=_fl)", "", name)
    name = FOCALNET_NAMES.get(name, name)
    if name not in ARCHITECTURES:
        raise options.refusal("arch", name, f"released are {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]


def norms_after(name: str, options: Options) -> bool:
    """Whether the norms stand after the branches, which leaves no trace in the weights."""
    return options.take("use_postln", _released(name, options).get("post_norm", False))


def sizes(name: str, options: Options, official: dict[str, Tensor]) -> dict:
    """``arch`` by name, with the widths, depths, levels and kernels of the weights.

    Where the norms stand and whether the context is divided by the levels leaves no trace in the weights:
    the options tell, else the name.
    """
    options.neutral("weights", "freeze_indices", "stochastic_depth_prob", "dropout")
    options.only("patch_size", [4, 4], 4)
    blocks = Weights(official)
    normalised = _released(name, options).get("normalize_modulator", False)
    return dict(
        embed_dim=options.agree("embed_dim", blocks.dim),
        depths=options.agree("depths", blocks.depths),
        focal_levels=options.agree("focal_levels", blocks.levels),
        focal_window=options.agree("focal_windows", blocks.windows),
        mlp_ratio=options.ratio("mlp_ratio", blocks.dim, blocks.hidden),
        overlapping_patches=options.agree("use_conv_embed", blocks.overlapping),
        layer_scale=1e-4 if options.agree("use_layerscale", blocks.scaled) else None,
        modulation_norm=options.agree("use_postln_in_modulation", blocks.modulation_norm),
        post_norm=norms_after(name, options),
        normalize_modulator=options.take("normalize_modulator", normalised),
    )


class Weights:
    """What the official parameters of a FocalNet show."""

    def __init__(self, official: dict[str, Tensor]) -> None:
        state = {re.sub(r"^0\.", "", name): value for name, value in official.items()}
        kernels = {n: v for n, v in state.items() if ".focal_layers." in n}
        places = {tuple(map(int, re.findall(r"\.(\d+)", n)[:3])) for n in kernels}  # stage, block, level
        stages = range(1 + max(stage for stage, _, _ in places))
        first = "layers.0.blocks.0."
        self.dim = len(state["patch_embed.proj.weight"])
        self.overlapping = state["patch_embed.proj.weight"].shape[-1] == 7
        self.depths = [1 + max(block for s, block, _ in places if s == stage) for stage in stages]
        self.levels = [1 + max(level for s, _, level in places if s == stage) for stage in stages]
        self.windows = [
            state[f"layers.{stage}.blocks.0.modulation.focal_layers.0.0.weight"].shape[-1] for stage in stages
        ]
        self.hidden = len(state[f"{first}mlp.fc1.weight"])
        self.scaled = f"{first}gamma_1" in state
        self.modulation_norm = f"{first}modulation.ln.weight" in state
