"""Golden checks of Relation-DETR's decoder: outputs, biases and gradients of each layer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from dense3d.detection2d.relation_detr.decoder import RelationDecoder
from dense3d.layers.position_relation import PositionRelation
from tests.golden.gradients import kept_numbers, normalised, waves
from tests.golden.weights import load_strictly, tensors_of

Arrays = dict[str, np.ndarray]
RELATION = "position_relation_embedding."


class LayerRecord:
    """Inputs and outputs of the decoder's layers in the latest pass, by the kits' names."""

    def __init__(self, decoder: RelationDecoder) -> None:
        self.tensors: dict[str, Tensor] = {}
        for index, layer in enumerate(decoder.layers):
            layer.register_forward_hook(self._keep(index))

    def _keep(self, index: int) -> Callable:
        def hook(_layer, inputs: tuple, output: Tensor) -> None:
            _, position, bias = inputs[:3]
            self.tensors[f"layer{index}"] = output.detach()
            self.tensors[f"query_pos{index}"] = position.detach()
            if bias is not None and bias.ndim == 4:
                flat = bias.detach().flatten(0, 1)  # (B * heads, Q, Q)
                self.tensors[f"attention_bias{index}"] = flat.masked_fill(flat.isneginf(), -1e4)

        return hook


def build_decoder(config: dict, official: dict[str, Tensor]) -> RelationDecoder:
    """The decoder of a kit; its parameters tell whether it has a relation and a scale of positions."""
    relation = None
    if f"{RELATION}pos_proj.0.weight" in official:
        heads, channels = official[f"{RELATION}pos_proj.0.weight"].shape[:2]
        relation = PositionRelation(channels // 4, heads)
    decoder = RelationDecoder(
        config["num_layers"],
        config["num_classes"],
        query_scale=any(name.startswith("query_scale.") for name in official),
        embed_dims=config["embed_dim"],
        num_heads=config["n_heads"],
        num_levels=config["n_levels"],
        num_points=config["n_points"],
        feedforward_channels=config["d_ffn"],
    )
    decoder.relation = relation
    return decoder


def open_kit(kit) -> Callable[[dict, Arrays], Arrays]:
    """Build the decoder of the kit's ``config`` and load its weights."""
    official = tensors_of(kit)
    decoder = build_decoder(kit.meta["config"], official)
    ours = {name: name.replace(RELATION, "relation.") for name in official}
    load_strictly(decoder, {ours[name]: tensor for name, tensor in official.items()}, kit)
    record = LayerRecord(decoder)
    parameters = dict(decoder.named_parameters())

    def run(check: dict, inputs: Arrays) -> Arrays:
        tensors = {name: torch.from_numpy(value) for name, value in inputs.items()}
        leaves = [tensors[n].requires_grad_() for n in ("query", "memory", "reference_points")]
        with_relation = not check["name"].startswith("skip_relation")
        classes, boxes = _decode(decoder, tensors, with_relation)
        found = {"classes": classes.detach().numpy(), "boxes": boxes.detach().numpy()}
        found |= {name: tensor.numpy() for name, tensor in record.tensors.items()}
        if any(name.startswith("grad") for name in check["outputs"]):
            objective = 10 * waves(classes, 0.37) + 10 * waves(boxes, 0.71, torch.sin)
            leaves += [parameters[ours[name]] for name in official]
            gradients = torch.autograd.grad(objective, leaves, allow_unused=True)
            names = ("grad_query", "grad_memory", "grad_reference_points")
            found |= {name: gradient.numpy() for name, gradient in zip(names, gradients)}
            found |= normalised(dict(zip(official, gradients[3:])), kept_numbers(kit, check))
        return {name: found[name] for name in check["outputs"] if name in found}

    return run


def _decode(
    decoder: RelationDecoder, tensors: dict[str, Tensor], with_relation: bool
) -> tuple[Tensor, Tensor]:
    return decoder(
        tensors["query"],
        tensors["reference_points"],
        decoder.project_values(tensors["memory"], tensors.get("padding_mask")),
        [tuple(shape) for shape in tensors["spatial_shapes"].tolist()],
        tensors["valid_ratios"],
        tensors.get("attn_mask"),
        with_relation,
    )
