"""Golden checks of Relation-DETR's encodings: box relations, sine features, macroscopic correlation."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from dense3d.evaluation.macroscopic_correlation import macroscopic_correlation
from dense3d.layers.position_relation import (
    PositionRelation,
    log_box_encoding,
    relation_logits,
    sine_features,
)
from tests.golden import UnknownCheckError

Arrays = dict[str, np.ndarray]


def open_kit(kit) -> Callable[[dict, Arrays], Arrays]:
    """Build the relation encoder of the kit's ``config`` and load its weights."""
    config = kit.meta["config"]
    relation = PositionRelation(
        config["embed_dim"], config["num_heads"], config["temperature"], config["scale"]
    )
    relation.load_state_dict({name: torch.from_numpy(value) for name, value in kit.state_dict().items()})

    def run(check: dict, inputs: Arrays) -> Arrays:
        name = check["name"]
        tensors = {key: torch.from_numpy(value) for key, value in inputs.items()}
        if name.startswith("relation_gradients"):
            return _gradients(relation, **tensors)
        if name.startswith("relation"):
            outputs = _relation(relation, **tensors)
            return {key: outputs[key] for key in check["outputs"]}
        for prefix, function in CHECKS.items():
            if name.startswith(prefix):
                return function(check.get("note", ""), **tensors)
        raise UnknownCheckError(f"there is no rule for the check {name!r} of Relation-DETR's encodings")

    return run


def _relation(relation: PositionRelation, src_boxes: Tensor, tgt_boxes: Tensor | None = None) -> Arrays:
    target = src_boxes if tgt_boxes is None else tgt_boxes
    weight, bias = relation.pos_proj[0].weight.flatten(1), relation.pos_proj[0].bias
    temperature, scale = relation.temperature, relation.scale
    with torch.no_grad():
        encoding = log_box_encoding(src_boxes, target)
        embedding = relation(src_boxes, tgt_boxes)
        outputs = {
            "log_encoding": encoding,
            "sine": sine_features(encoding, weight.shape[1] // 4, temperature, scale),
            "pre_activation": relation_logits(src_boxes, target, weight, bias, temperature, scale),
            "embedding": embedding,
            "flat_bias": embedding.flatten(0, 1),
        }
    return {name: output.numpy() for name, output in outputs.items()}


def _gradients(relation: PositionRelation, src_boxes: Tensor, tgt_boxes: Tensor) -> Arrays:
    embedding = relation(src_boxes.requires_grad_(), tgt_boxes.requires_grad_())
    index = torch.arange(embedding.numel(), dtype=embedding.dtype).view_as(embedding)
    parameters = (relation.pos_proj[0].weight, relation.pos_proj[0].bias)
    weight, bias = torch.autograd.grad((embedding * torch.cos(0.37 * index)).sum(), parameters)
    return {"grad_weight": weight.numpy(), "grad_bias": bias.numpy()}


def _stated(note: str, output: str, features: int, temperature: float) -> tuple[int, float]:
    """Features of a coordinate and temperature that the note states for an output, else those given."""
    part = re.search(rf"{output}: ([^;]*)", note)
    number, degree = (re.search(p, part[1] if part else "") for p in (r"(\d+) per", r"temperature ([\d.]+)"))
    return int(number[1]) if number else features, float(degree[1].rstrip(".")) if degree else temperature


def _sine(note: str, x: Tensor) -> Arrays:
    exchanged = x[..., [1, 0, *range(2, x.shape[-1])]]
    return {
        "boxes_exchanged": sine_features(exchanged, *_stated(note, "boxes_exchanged", 128, 10000.0)).numpy(),
        "points_plain": sine_features(x[..., :2], *_stated(note, "points_plain", 64, 20.0)).numpy(),
    }


def _sine_map(note: str, mask: Tensor) -> Arrays:
    """mmdet's encoding of feature maps is the one that our detectors use."""
    from mmdet.models.layers import SinePositionalEncoding

    normalised = SinePositionalEncoding(
        *_stated(note, "norm", 128, 10000.0), normalize=True, offset=-0.5, eps=1e-6
    )
    plain = SinePositionalEncoding(*_stated(note, "plain", 16, 10000.0))
    return {"norm": normalised(mask).numpy(), "plain": plain(mask).numpy()}


def _macroscopic_correlation(_note: str, boxes_xywh: Tensor, offsets: Tensor) -> Arrays:
    images = np.split(boxes_xywh.numpy(), offsets.numpy()[1:-1])
    return {"mc": np.array([macroscopic_correlation(boxes) for boxes in images])}


CHECKS = {
    "sine_map": _sine_map,
    "sine": _sine,
    "macroscopic_correlation": _macroscopic_correlation,
}
