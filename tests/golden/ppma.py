"""Golden adapter of PPMA (system ``ppma``)."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor

from dense3d.backbones import PPMA
from dense3d.backbones.ppma import polyline_mask
from dense3d.checkpoints.ppma import convert
from dense3d.errors import DataError
from tests.golden.checks import Run, by_name
from tests.golden.kit import GoldenKit
from tests.golden.notes import full_note
from tests.golden.rmt import classifier, maps_of, take_sizes
from tests.golden.weights import load_strictly, tensors_of


def open_kit(kit: GoldenKit) -> Run:
    """Build the kit's network, and its classifier where it has one, with its weights."""
    sizes = take_sizes(kit.options)
    sizes["criss_cross"] = sizes.pop("factored")
    kit.options.neutral("init_values", "heads_ranges")  # of RMT, which the official code does not use
    indices = sorted(kit.options.take("out_indices", range(4)))
    official = tensors_of(kit)
    state = convert(official)
    normed = {name[4] for name in state if name.startswith("norm")}
    unused = {f"norm{i}.{n}" for i in range(4) if i not in indices for n in ("weight", "bias")}
    model = PPMA(sizes, in_channels=kit.options.take("in_chans", 3), out_indices=indices)
    own = {n: v for n, v in model.state_dict().items() if n.startswith("norm") and n[4] not in normed}
    load_strictly(model, own | {n: v for n, v in state.items() if n not in unused}, kit)
    head = classifier(model, kit, official)

    def part(check: dict, inputs: dict[str, Tensor]) -> dict[str, Any]:
        x = inputs["map"]
        stage, number = place_of(kit, check, model, x.shape[-1])
        block = model.blocks(stage)[number]
        kind = check["name"].split(".")[0]
        if kind == "mask":
            across, down = block.attn.path_masks(x)
            mask = polyline_mask(across, down, slice(0, x.shape[1]))
            return {"mask_w": across, "mask_h": down, "mask": mask}
        return {"y": (block.attn if kind == "mixer" else block)(x, model.rotation(stage, x))}

    return by_name(
        {
            "features": lambda check, inputs: maps_of(model, inputs["image"], check["outputs"]),
            "logits": lambda check, inputs: {"logits": head(model.embed(inputs["image"]))},
            "mixer": part,
            "mask": part,
            "block": part,
        }
    )


def place_of(kit: GoldenKit, check: dict, model: torch.nn.Module, channels: int) -> tuple[int, int]:
    """Stage and block of a check: as its note says (stages from 1), else the first stage of such a width.

    Raises:
        DataError: no stage has the width of the check's input.
    """
    stated = re.search(r"stage (\d+)(?: block (\d+))?", full_note(kit, check))
    form = {"criss_cross": True, "whole": False}.get(check["name"].partition(".")[2])
    fitting = [
        index
        for index, width in enumerate(model.channels)
        if width == channels and form in (None, model.criss_cross[index])
    ]
    stage = int(stated[1]) - 1 if stated else -1
    if stage in fitting:
        return stage, int(stated[2] or 0)
    if not fitting:
        raise DataError(f"no stage of this PPMA fits the check {check['name']!r} of {channels} channels")
    return fitting[0], 0
