"""Golden adapters of CroCo's pre-training (system ``croco``) and of its positions (system ``rope2d``)."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from dense3d.layers import GridRope, grid_positions, resize_position_table, rotate, sincos_position_table
from dense3d.layers.pixel_patches import (
    denormalised_patches,
    normalised_patches,
    patch_loss,
    patchify,
    unpatchify,
)
from dense3d.pretraining import CroCo
from dense3d.pretraining.croco import random_view_mask
from tests.golden.checks import Run, by_name
from tests.golden.kit import GoldenKit
from tests.golden.notes import stated_block
from tests.golden.options import Options
from tests.golden.weights import Recorder, load_kit

ORDINALS = {"second": 1, "third": 2, "last": -1}  # how a note may count blocks

# argument -> default of the official constructor
NETWORK = {
    "img_size": 224,
    "patch_size": 16,
    "enc_embed_dim": 768,
    "enc_depth": 12,
    "enc_num_heads": 12,
    "dec_embed_dim": 512,
    "dec_depth": 8,
    "dec_num_heads": 16,
    "mlp_ratio": 4,
    "norm_im2_in_dec": True,
    "pos_embed": "cosine",
    "norm_eps": 1e-6,
}


def network_of(options: Options) -> dict:
    """Arguments of ``CrocoNetwork`` for a kit's config."""
    options.only("norm_layer", None)  # norm_eps says what is left of it
    options.neutral("batch")
    return options.take_all(NETWORK)


def open_kit(kit: GoldenKit) -> Run:
    """Build the model of the kit's config and load its weights."""
    network, ratio = network_of(kit.options), kit.options.take("mask_ratio", 0.9)
    model = load_kit(CroCo(network, ratio), kit, "croco")
    network, size = model.network, model.network.patch_size
    recorder = Recorder(
        {
            f"{part}_block{i}": b
            for part in ("enc", "dec")
            for i, b in enumerate(network.get_submodule(f"{part}_blocks"))
        }
    )

    def pretrain(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        first, second, hidden = inputs["img1"], inputs["img2"], inputs["mask"] > 0
        count = int(hidden[0].sum())
        found = {"pred": model.complete(first, second, hidden, count)}
        found |= {f"dec_block{i}": recorder[f"dec_block{i}"] for i in range(len(network.dec_blocks))}
        found |= _encodings(model, first, second, hidden)
        patches, grid = patchify(first, size), tuple(n // size for n in first.shape[-2:])
        targets = normalised_patches(patches)
        return found | {
            "target": patches,
            "loss_norm_pix": patch_loss(found["pred"], targets, hidden),
            "loss_norm_pix_all_patches": patch_loss(found["pred"], targets),
            "loss_raw": patch_loss(found["pred"], patches, hidden),
            "reconstruction": unpatchify(denormalised_patches(found["pred"], patches), grid, size),
        }

    def mask(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        hidden = random_view_mask(inputs["noise"], ratio).float()
        return {"mask": hidden, "count": hidden.sum(dim=1)}

    def block(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        ordinal = re.search(r"\b(second|third|last) decoder block", check.get("note", ""))
        number = stated_block(kit, check, "dec_blocks", len(network.dec_blocks))
        module = network.dec_blocks[ORDINALS[ordinal[1]] if ordinal else number]
        rope = network.dec_rope
        turns = [None if rope is None else rope.rotation(inputs[name]) for name in ("xpos", "ypos")]
        x, y = inputs["x"], inputs["y"]
        attended = module.attn(module.norm1(x), rotation=turns[0])
        return {"x": module(x, y, *turns), "self_attn": attended, "memory_norm": module.norm_y(y)}

    return by_name({"pretrain": pretrain, "random_mask": mask, "cross_attention_block": block})


def _encodings(model: CroCo, first: Tensor, second: Tensor, hidden: Tensor) -> dict[str, Tensor]:
    """Encoder blocks and final tokens of the visible patches, by selection, and of the second view."""
    network = model.network
    tokens, grid = network.embed(first)
    batch = len(tokens)
    visible = tokens[~hidden].view(batch, -1, tokens.shape[2])
    positions = grid
    if network.enc_rope is not None:
        positions = grid_positions(grid).expand(batch, -1, -1)[~hidden].view(batch, -1, 2)
    blocks, masked = network.encode_tokens(visible, positions)
    found = {f"enc_block{i}_masked": block for i, block in enumerate(blocks)}
    return found | {"enc_masked": masked, "enc_reference": network.encode(second)[1]}


def open_positions(kit: GoldenKit) -> Run:
    """Rotations and tables; there are no weights."""
    head_dim = kit.options.take("head_dim")

    def rope(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        turns = GridRope(inputs["tokens"].shape[-1], float(inputs["freq"]), float(inputs["f0"]))
        return {"tokens": rotate(inputs["tokens"], turns.rotation(inputs["positions"]))}

    def positions(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        grid = tuple(inputs["grid"].tolist())
        assert torch.equal(GridRope(head_dim).coordinates(grid), grid_positions(grid))
        return {"positions": grid_positions(grid)}

    def table(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        rows, columns, dim = inputs["hwd"].tolist()
        return {"table": sincos_position_table((rows, columns), dim)[0]}

    def resized(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        side, rows, columns, dim = inputs["spec"].tolist()
        table = sincos_position_table((side, side), dim)
        return {"table": resize_position_table(table, (side, side), (rows, columns))[0]}

    rules = {"rope": rope, "grid_positions": positions, "sincos": table, "interpolate_sincos": resized}
    return by_name(rules)
