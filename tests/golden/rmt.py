"""Golden adapter of RMT (system ``rmt``)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from dense3d.backbones import RMT
from dense3d.backbones.rmt import ManhattanDecay
from dense3d.checkpoints.rmt import convert, convert_head
from tests.golden.checks import Run, by_name
from tests.golden.kit import GoldenKit
from tests.golden.options import Options
from tests.golden.weights import load_strictly, tensors_of

# official argument -> key of arch, default of the official constructor
SIZES = {
    "embed_dims": ("dims", (96, 192, 384, 768)),
    "depths": ("depths", (2, 2, 6, 2)),
    "num_heads": ("num_heads", (3, 6, 12, 24)),
    "mlp_ratios": ("mlp_ratios", (3, 3, 3, 3)),
    "chunkwise_recurrents": ("factored", (True, True, False, False)),
    "layerscales": ("layer_scale_stages", (False, False, False, False)),
}


def open_kit(kit: GoldenKit) -> Run:
    """Build the kit's network, and its classifier where it has one, with its weights."""
    options = kit.options
    sizes = take_sizes(options)
    sizes["init_values"] = options.take("init_values", (1, 1, 1, 1))
    sizes["heads_ranges"] = options.take("heads_ranges", (3, 3, 3, 3))
    indices = sorted(options.take("out_indices", range(4)))
    official = tensors_of(kit)
    state = convert(official)
    normed = {name.removeprefix("norm")[0] for name in state if name.startswith("norm")}
    unused = {f"norm{i}.{n}" for i in range(4) if i not in indices for n in ("weight", "bias")}
    model = RMT(
        sizes,
        token_labels=options.agree("token_label", "aux_head.weight" in official),
        in_channels=options.take("in_chans", 3),
        out_indices=indices,
    )
    own = {n: v for n, v in model.state_dict().items() if n.startswith("norm") and n[4] not in normed}
    load_strictly(model, own | {n: v for n, v in state.items() if n not in unused}, kit)
    head = classifier(model, kit, official)
    modules = options.take("modules", {})

    def position(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        size = inputs["size"].tolist()
        stage = stage_of(modules, check)
        x = torch.zeros(1, *size, model.channels[stage])
        found = rotation_of(model, stage, x)
        masks = model.masks(stage, x)
        if isinstance(masks[0], ManhattanDecay):
            return found | {"mask": masks[0](slice(0, size[0]), torch.float32)[0]}
        return found | dict(zip(("mask_h", "mask_w"), masks))

    rules = parts_by_module(model, modules, "x") | {
        "features": lambda check, inputs: maps_of(model, inputs["image"], check["outputs"]),
        "logits": lambda check, inputs: {"logits": head(model.embed(inputs["image"]))},
        "position": position,
    }
    return by_name(rules)


def take_sizes(options: Options) -> dict[str, Any]:
    """``arch`` of the arguments that RMT and PPMA share."""
    options.neutral("drop_path_rate", "layer_init_values", "use_checkpoints", "norm_eval", "patch_norm")
    return {ours: options.take(name, default) for name, (ours, default) in SIZES.items()}


def classifier(model: nn.Module, kit: GoldenKit, official: dict[str, Tensor]) -> nn.Module | None:
    """The official tail, where the kit has one."""
    if "proj.weight" not in official:
        kit.options.neutral("num_classes", "projection")
        return None
    head = model.class_head(
        num_classes=kit.options.agree("num_classes", len(official["head.weight"])),
        hidden_dim=kit.options.agree("projection", len(official["proj.weight"])),
    )
    return load_strictly(head, convert_head(official), kit)


def maps_of(model: nn.Module, images: Tensor, outputs: list[str]) -> dict[str, Tensor]:
    """``f1`` ... of a batch: by their stages, else in the order in which they are returned."""
    maps = model(images)
    staged = {f"f{i + 1}": features for i, features in zip(model.out_indices, maps)}
    if set(outputs) <= set(staged):
        return staged
    return {f"f{i + 1}": features for i, features in enumerate(maps)}


def stage_of(modules: dict[str, str], check: dict) -> int:
    """Number of the stage whose module a check runs."""
    return int(modules[check["name"]].split(".")[1])


def rotation_of(model: nn.Module, stage: int, x: Tensor) -> dict[str, Tensor]:
    """Sines and cosines ``(h, w, d)`` of a stage, channels 2i and 2i + 1 with one angle."""
    halves = (part[:, 0].chunk(2, dim=-1)[0] for part in model.rotation(stage, x))
    maps = (part.repeat_interleave(2, dim=-1).unflatten(0, x.shape[1:3]) for part in halves)
    return dict(zip(("sin", "cos"), maps))


def parts_by_module(model: nn.Module, modules: dict[str, str], name: str) -> dict[str, Any]:
    """Rules of the checks of a block and of an attention, with the position tensors of the input's grid."""

    def part(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        x, stage = inputs[name], stage_of(modules, check)
        block = model.blocks(stage)[int(modules[check["name"]].split(".")[3])]
        module = block.attn if check["name"].startswith("mixer") else block
        return {"y": module(x, model.rotation(stage, x), *model.masks(stage, x))}

    return {"block": part, "mixer": part}
