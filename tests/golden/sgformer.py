"""Golden adapter of SG-Former (system ``sgformer``); whole networks in float64, as the notes ask for."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from dense3d.backbones import SGFormer
from dense3d.checkpoints.sgformer import convert, convert_head
from dense3d.errors import DataError
from dense3d.layers import sincos_position_table
from tests.golden.checks import Run, by_name
from tests.golden.kit import GoldenKit
from tests.golden.options import square
from tests.golden.weights import load_strictly, tensors_of

# official argument -> key of arch, default of the official constructor
SIZES = {
    "embed_dims": ("dims", (64, 128, 256, 512)),
    "depths": ("depths", (3, 4, 6, 3)),
    "num_heads": ("num_heads", (1, 2, 4, 8)),
    "sr_ratios": ("reductions", (8, 4, 2, 1)),
    "mlp_ratios": ("mlp_ratios", (4, 4, 4, 4)),
}


def open_kit(kit: GoldenKit) -> Run:
    """Build the kit's network and classifier with its weights."""
    options, official = kit.options, tensors_of(kit)
    options.neutral("drop_path_rate", "drop_rate", "attn_drop_rate")
    options.only("qk_scale", None)
    sizes = {ours: options.take(name, default) for name, (ours, default) in SIZES.items()}
    options.only("num_stages", len(sizes["dims"]))
    model = SGFormer(
        sizes,
        img_size=square(options, "img_size", 224),
        qkv_bias=options.take("qkv_bias", True),
        norm_eps=options.take("norm_eps", 1e-6),
        in_channels=options.take("in_chans", 3),
    )
    load_strictly(model, convert(official), kit)
    head = model.class_head(options.agree("num_classes", len(official["head.weight"])))
    load_strictly(head, convert_head(official), kit)
    modules = options.take("modules", {})
    exact, exact_head = copy.deepcopy(model).double(), copy.deepcopy(head).double()

    def features(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        maps = exact(inputs["image"].double())
        return {f"f{i + 1}": features.float() for i, features in enumerate(maps)}

    def logits(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"logits": exact_head(exact.embed(inputs["image"].double())).float()}

    def part(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        grid = tuple(inputs["size"].tolist())
        module = module_of(model, modules[check["name"]])
        y, found = module(inputs["x"].unflatten(1, grid), significance_of(inputs, grid, check))
        outputs = {"y": y.flatten(1, 2)}
        if found is not None:
            by_columns = found.unflatten(1, grid).transpose(1, 2).flatten(1)
            outputs |= {"significance_row": found, "significance_col": by_columns}
        return outputs

    def position(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        side = int(inputs["grid"])
        return {"table": sincos_position_table((side, side), int(inputs["dim"]))[0]}

    rules = {"features": features, "logits": logits, "position": position, "mixer": part, "block": part}
    return by_name(rules)


def module_of(model: SGFormer, path: str) -> nn.Module:
    """Our module of an official path, ``block2.1`` or ``block2.1.attn``."""
    stage, number, *rest = path.removeprefix("block").split(".")
    return model.blocks(int(stage) - 1)[int(number)].get_submodule(".".join(rest))


def significance_of(inputs: dict[str, Tensor], grid: tuple[int, int], check: dict) -> Tensor | None:
    """The row-major significance, of which the column-major one has to be the transposed map.

    Raises:
        DataError: it is not.
    """
    rows = inputs.get("significance_row")
    if rows is None:
        return None
    columns = inputs["significance_col"].unflatten(1, grid[::-1]).transpose(1, 2).flatten(1)
    if not torch.equal(rows, columns):
        raise DataError(f"the significances of the check {check['name']!r} are of two different maps")
    return rows
