"""Golden adapter of Relation-DETR's parts: criterion, denoising, attention, encodings, results."""

from __future__ import annotations

import re

import numpy as np
import torch
from mmengine.model import stack_batch
from torch import Tensor

from dense3d.detection2d.relation_detr import (
    ContrastiveDenoising,
    DenoisingQueries,
    SetCriterion,
    TrainingLosses,
    keep_best,
    top_detections,
)
from dense3d.detection2d.relation_detr.queries import inverse_sigmoid
from dense3d.evaluation.macroscopic_correlation import macroscopic_correlation
from dense3d.layers import (
    BoxTargets,
    MatchedPairs,
    MultiScaleDeformableAttention,
    PositionRelation,
    sine_features,
)
from dense3d.layers.padded_levels import padding_masks
from dense3d.layers.position_relation import log_box_encoding, relation_logits
from dense3d.ops import multi_scale_deformable_attention
from tests.golden import UnknownCheckError
from tests.golden.checks import Arrays, Run, tensors_of_inputs, wanted
from tests.golden.evaluation_resize import evaluation_resize, evaluation_size
from tests.golden.notes import full_note
from tests.golden.weights import kept_numbers, load_strictly, strided, tensors_of

UNWEIGHTED = dict(loss_class_weight=1.0, loss_bbox_weight=1.0, loss_giou_weight=1.0)


def open_criterion(kit) -> Run:
    """Matcher and criterion of the kit's ``config``; there are no weights."""
    take = kit.options.take
    matcher = {name: take(name) for name in ("cost_class", "cost_bbox", "cost_giou")}
    matcher |= dict(alpha=take("focal_alpha", 0.25), gamma=take("focal_gamma", 2.0))
    alpha, gamma, assign = take("alpha", 0.25), take("gamma", 2.0), take("hybrid_assign", 6)
    kit.options.neutral("num_classes", "weight_dict")  # the logits have it; losses are not weighted
    for name in ("mixed_match", "two_stage_binary_cls"):
        kit.options.only(name, False)

    def run(check: dict, inputs: Arrays) -> Arrays:
        name = check["name"]
        tensors = tensors_of_inputs(inputs)
        class_loss = "focal" if name.startswith("focal") else "varifocal"
        criterion = SetCriterion(class_loss, alpha, gamma, matcher=matcher, **UNWEIGHTED)
        if "pred_boxes" in tensors:
            return wanted(check, _matcher(criterion, **tensors))
        if "last.logits" not in tensors:
            raise UnknownCheckError(f"there is no rule for the check {name!r} of the criterion")
        stored = kit.outputs(name)
        copies = _copies(full_note(kit, check), assign) if name.startswith("hybrid") else 1
        found = wanted(check, Predictions(criterion, tensors).results(copies))
        return {key: _same_copy(found, stored, key, tensors) for key in found}

    return run


def _matcher(
    criterion: SetCriterion, pred_boxes: Tensor, pred_logits: Tensor, gt_boxes: Tensor, gt_labels: Tensor
) -> dict[str, Tensor]:
    logits, boxes = pred_logits[None, None], pred_boxes[None, None]
    targets = BoxTargets.of([gt_labels], [gt_boxes])
    matcher = criterion.matcher
    costs = [cost[0, 0] for cost in matcher.costs(logits, boxes, targets)]
    weights = (matcher.cost_class, matcher.cost_bbox, matcher.cost_giou)
    matches = matcher(logits, boxes, targets)
    found = dict(zip(("cost_class", "cost_bbox", "cost_giou"), costs))
    found["cost"] = sum(weight * cost for weight, cost in zip(weights, costs))
    return found | {"pred_index": matches.query, "gt_index": matches.target}


def _copies(note: str, assign: int) -> int:
    """How often a hybrid check assigns each target: as its note says, else ``assign``."""
    stated = re.search(r"repeated (\d+) times", note)
    return int(stated[1]) if stated else assign


def _same_copy(found: Arrays, stored: Arrays, key: str, tensors: dict[str, Tensor]) -> np.ndarray:
    """Copies of a target are interchangeable: name the one that the kit names."""
    match = re.fullmatch(r"match\..+\.(\d+)", key)
    if match is None or found[key].shape != stored[key].shape or not found[key].size:
        return found[key]
    number = len(tensors[f"labels{match[1]}"])
    query, target = found[key]
    return np.stack((query, target + stored[key][1] // number * number))


class Predictions:
    """Predictions (``last.logits``, ``last.boxes``, ``aux0`` ..., ``enc``) and targets of a check."""

    def __init__(self, criterion: SetCriterion, tensors: dict[str, Tensor]) -> None:
        self.criterion = criterion
        self.tensors = tensors
        images = sum(re.fullmatch(r"labels\d+", name) is not None for name in tensors)
        labels, boxes = ([tensors[f"{kind}{i}"] for i in range(images)] for kind in ("labels", "boxes"))
        self.targets = BoxTargets.of(labels, boxes)
        layers = sum(re.fullmatch(r"aux\d+\.logits", name) is not None for name in tensors)
        self.layers = [f"aux{i}" for i in range(layers)] + ["last"]

    def results(self, copies: int) -> dict[str, Tensor]:
        """Losses, matches, and gradients of the plain sum of all losses."""
        leaves = {n: t.requires_grad_() for n, t in self.tensors.items() if n.endswith((".logits", ".boxes"))}
        if "groups" in self.tensors:
            losses, found = self._denoising(), {}
        else:
            losses, found = self._matched(copies)
        gradients = torch.autograd.grad(sum(losses.values()), list(leaves.values()), allow_unused=True)
        found |= {f"grad.{n}": g for n, g in zip(leaves, gradients) if g is not None}
        return found | {f"loss.{name}": loss for name, loss in losses.items()}

    def _stack(self, kind: str, names: list[str]) -> Tensor:
        return torch.stack([self.tensors[f"{name}.{kind}"] for name in names])

    def _matched(self, copies: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        divisor = max(1, sum(self.targets.counts) * copies)
        groups = [(self.layers, [*(f"_{i}" for i in range(len(self.layers) - 1)), ""])]
        if "enc.logits" in self.tensors:
            groups.append((["enc"], ["_enc"]))
        losses, found = {}, {}
        for names, suffixes in groups:
            logits, boxes = self._stack("logits", names), self._stack("boxes", names)
            matches = self.criterion.matcher(logits, boxes, self.targets, copies)
            for kind, values in self.criterion(logits, boxes, self.targets, matches, divisor).items():
                losses |= {f"loss_{kind}{suffix}": value for suffix, value in zip(suffixes, values)}
            found |= self._named_matches(matches, names)
        return losses, found

    def _named_matches(self, matches: MatchedPairs, names: list[str]) -> dict[str, Tensor]:
        found = {}
        for layer, name in enumerate(names):
            for image in range(len(self.targets.counts)):
                here = (matches.layer == layer) & (matches.image == image)
                found[f"match.{name}.{image}"] = torch.stack((matches.query[here], matches.target[here]))
        return found

    def _denoising(self) -> dict[str, Tensor]:
        logits, boxes = self._stack("logits", self.layers), self._stack("boxes", self.layers)
        groups, slots = int(self.tensors["groups"]), int(self.tensors["max_gt"]) // 2
        queries = DenoisingQueries(logits[0], boxes[0], groups, slots)
        divisor = max(1, sum(self.targets.counts)) * groups
        return TrainingLosses(self.criterion, 1).denoising(logits, boxes, queries, self.targets, divisor)


def open_denoising(kit) -> Run:
    """Build the generator of the kit's ``config`` and load its weights."""
    take = kit.options.take
    num_queries = take("num_queries")
    generator = ContrastiveDenoising(
        take("denoising_nums"),
        take("num_classes"),
        take("label_embed_dim"),
        take("label_noise_prob", 0.5),
        take("box_noise_scale", 1.0),
    )
    load_strictly(generator, tensors_of(kit), kit)

    @torch.no_grad()
    def run(check: dict, inputs: Arrays) -> Arrays:
        if "box_uniform" not in inputs:
            raise UnknownCheckError(f"there is no rule for the check {check['name']!r} of denoising")
        tensors = tensors_of_inputs(inputs)
        images = sum(name.startswith("labels") for name in tensors)
        labels, boxes = ([tensors[f"{kind}{i}"] for i in range(images)] for kind in ("labels", "boxes"))
        counts = [len(label) for label in labels]
        copies = 2 * generator.num_groups(counts)
        draws = (tensors[n] for n in ("label_uniform", "label_random", "box_sign", "box_uniform"))
        noised = generator.noised(
            torch.cat(labels).repeat(copies), torch.cat(boxes).repeat(copies, 1), copies, *draws
        )
        queries = generator.queries(*noised, counts)
        found = {
            "label_queries": queries.content,
            "box_queries": inverse_sigmoid(queries.boxes, eps=0.0),
            "boxes": queries.boxes,
            "attn_mask": queries.attn_mask(num_queries),
            "groups": torch.tensor(queries.groups),
            "slots": torch.tensor(2 * queries.slots),
        }
        return wanted(check, found)

    return run


def open_attention(kit) -> Run:
    """Build the attention of the kit's ``config`` and load its weights."""
    kit.options.neutral("img2col_step")
    sizes = tuple(kit.options.take(name) for name in ("embed_dim", "num_heads", "num_levels", "num_points"))
    attention = load_strictly(MultiScaleDeformableAttention(*sizes), tensors_of(kit), kit)

    def run(check: dict, inputs: Arrays) -> Arrays:
        tensors = tensors_of_inputs(inputs)
        if "sampling_locations" in tensors:
            return wanted(check, _core(**tensors))
        if "query" in tensors:
            return wanted(check, _module(attention, kept_numbers(kit, check), **tensors))
        if check["name"].startswith("initial_offsets"):
            bias = MultiScaleDeformableAttention(*sizes).sampling_offsets.bias
            return wanted(check, {"sampling_offsets_bias": bias.view(*sizes[1:], 2)})
        raise UnknownCheckError(f"there is no rule for the check {check['name']!r} of deformable attention")

    return run


def _core(
    value: Tensor,
    spatial_shapes: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
) -> dict[str, Tensor]:
    leaves = [t.requires_grad_() for t in (value, sampling_locations, attention_weights)]
    output = multi_scale_deformable_attention(
        value, spatial_shapes.tolist(), sampling_locations, attention_weights
    )
    gradients = torch.autograd.grad(output, leaves, grad_output)
    names = ("grad_value", "grad_sampling_locations", "grad_attention_weights")
    return {"output": output} | dict(zip(names, gradients))


def _module(
    attention: MultiScaleDeformableAttention,
    kept: int | None,
    query: Tensor,
    reference_points: Tensor,
    value: Tensor,
    spatial_shapes: Tensor,
    key_padding_mask: Tensor | None = None,
) -> dict[str, Tensor]:
    leaves = [t.requires_grad_() for t in (query, reference_points, value)]
    values = attention.project_value(value, key_padding_mask)
    output = attention(query, reference_points, values, spatial_shapes.tolist())
    index = torch.arange(output.numel(), dtype=output.dtype).view_as(output)
    leaves.append(attention.sampling_offsets.weight)
    gradients = torch.autograd.grad((output * torch.cos(0.37 * index)).sum(), leaves)
    return {
        "output": output,
        "grad_query": gradients[0],
        "grad_reference_points": gradients[1],
        "grad_value": gradients[2],
        "grad_sampling_offsets_weight": strided(gradients[3], kept),
    }


def open_encodings(kit) -> Run:
    """Build the relation encoder of the kit's ``config`` and load its weights."""
    kit.options.neutral("inplace")
    names = ("embed_dim", "num_heads", "temperature", "scale")
    relation = PositionRelation(*(kit.options.take(name) for name in names))
    load_strictly(relation, tensors_of(kit), kit)

    def run(check: dict, inputs: Arrays) -> Arrays:
        name = check["name"]
        tensors = tensors_of_inputs(inputs)
        if name.startswith("relation_gradients"):
            return wanted(check, _relation_gradients(relation, **tensors))
        if name.startswith("relation"):
            return wanted(check, _relation(relation, **tensors))
        for prefix, function in ENCODINGS.items():
            if name.startswith(prefix):
                return wanted(check, function(full_note(kit, check), **tensors))
        raise UnknownCheckError(f"there is no rule for the check {name!r} of Relation-DETR's encodings")

    return run


@torch.no_grad()
def _relation(
    relation: PositionRelation, src_boxes: Tensor, tgt_boxes: Tensor | None = None
) -> dict[str, Tensor]:
    target = src_boxes if tgt_boxes is None else tgt_boxes
    weight, bias = relation.pos_proj[0].weight.flatten(1), relation.pos_proj[0].bias
    temperature, scale = relation.temperature, relation.scale
    encoding = log_box_encoding(src_boxes, target)
    embedding = relation(src_boxes, tgt_boxes)
    return {
        "log_encoding": encoding,
        "sine": sine_features(encoding, weight.shape[1] // 4, temperature, scale),
        "pre_activation": relation_logits(src_boxes, target, weight, bias, temperature, scale),
        "embedding": embedding,
        "flat_bias": embedding.flatten(0, 1),
    }


def _relation_gradients(
    relation: PositionRelation, src_boxes: Tensor, tgt_boxes: Tensor
) -> dict[str, Tensor]:
    embedding = relation(src_boxes.requires_grad_(), tgt_boxes.requires_grad_())
    index = torch.arange(embedding.numel(), dtype=embedding.dtype).view_as(embedding)
    parameters = (relation.pos_proj[0].weight, relation.pos_proj[0].bias)
    weight, bias = torch.autograd.grad((embedding * torch.cos(0.37 * index)).sum(), parameters)
    return {"grad_weight": weight, "grad_bias": bias}


def _stated(note: str, output: str, features: int, temperature: float) -> tuple[int, float]:
    """Features of a coordinate and temperature that the note states for an output, else those given."""
    part = re.search(rf"{output}: ([^;]*)", note)
    number, degree = (re.search(p, part[1] if part else "") for p in (r"(\d+) per", r"temperature ([\d.]+)"))
    return int(number[1]) if number else features, float(degree[1].rstrip(".")) if degree else temperature


def _sine(note: str, x: Tensor) -> dict[str, Tensor]:
    exchanged = x[..., [1, 0, *range(2, x.shape[-1])]]
    return {
        "boxes_exchanged": sine_features(exchanged, *_stated(note, "boxes_exchanged", 128, 10000.0)),
        "points_plain": sine_features(x[..., :2], *_stated(note, "points_plain", 64, 20.0)),
    }


def _sine_map(note: str, mask: Tensor) -> dict[str, Tensor]:
    """mmdet's encoding of feature maps is the one that our detectors use."""
    from mmdet.models.layers import SinePositionalEncoding

    normalised = SinePositionalEncoding(
        *_stated(note, "norm", 128, 10000.0), normalize=True, offset=-0.5, eps=1e-6
    )
    plain = SinePositionalEncoding(*_stated(note, "plain", 16, 10000.0))
    return {"norm": normalised(mask), "plain": plain(mask)}


def _macroscopic_correlation(_note: str, boxes_xywh: Tensor, offsets: Tensor) -> Arrays:
    images = np.split(boxes_xywh.numpy(), offsets.numpy()[1:-1])
    return {"mc": np.array([macroscopic_correlation(boxes) for boxes in images])}


ENCODINGS = {
    "sine_map": _sine_map,
    "sine": _sine,
    "macroscopic_correlation": _macroscopic_correlation,
}


MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def open_results(kit) -> Run:
    """There are no weights; ``select`` of the config is the number of detections."""
    number = kit.options.take("select")
    limits = (kit.options.take("confidence_score", -1), kit.options.take("nms_iou_threshold", -1))

    def run(check: dict, inputs: Arrays) -> Arrays:
        tensors = tensors_of_inputs(inputs)
        if "logits" in tensors:
            found = _detections(check, full_note(kit, check), number, limits, **tensors)
        elif "image0" in tensors:
            found = _padding(check, full_note(kit, check), tensors)
        elif "sizes" in tensors:
            sides = int(tensors["min_size"]), int(tensors["max_size"])
            sizes = [evaluation_size(*size, *sides) for size in tensors["sizes"].tolist()]
            found = {"sizes": torch.tensor(sizes)}
        elif "image" in tensors:
            resized = evaluation_resize(tensors["image"], int(tensors["min_size"]), int(tensors["max_size"]))
            found = {"resized": resized, "normalised": normalise(resized)}
        else:
            raise UnknownCheckError(f"there is no rule for the check {check['name']!r} around Relation-DETR")
        return wanted(check, found)

    return run


def normalise(image: Tensor) -> Tensor:
    """uint8 image ``(3, H, W)``, or a float one in [0, 1], with ImageNet's mean and deviation taken out."""
    image = image.float() / 255 if image.dtype == torch.uint8 else image
    return (image - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def _detections(
    check: dict,
    note: str,
    number: int,
    limits: tuple[float, float],
    logits: Tensor,
    boxes: Tensor,
    sizes: Tensor,
) -> dict[str, Tensor]:
    """The best; where each image has its own outputs, those above the limits of the note or the config."""
    scores, labels, corners = top_detections(logits, boxes, number)
    corners = corners * sizes.flip(1).repeat(1, 2)[:, None]
    if "scores" in check["outputs"]:
        return {"scores": scores, "labels": labels, "boxes": corners}
    stated = (re.search(p, note) for p in (r"threshold ([\d.]+)", r"IoU ([\d.]+)"))
    threshold, iou = (float(m[1].rstrip(".")) if m else limit for m, limit in zip(stated, limits))
    found = {}
    for image in range(len(logits)):
        kept = keep_best(scores[image], corners[image], max(threshold, 0.0), iou if iou > 0 else None)
        for name, tensor in (("scores", scores), ("labels", labels), ("boxes", corners)):
            found[f"{name}{image}"] = tensor[image][kept]
    return found


def _padding(check: dict, note: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    images = [tensors[f"image{i}"] for i in range(len(tensors))]
    height, width = stack_batch(images, pad_size_divisor=32).shape[-2:]
    levels = sorted(name for name in check["outputs"] if re.fullmatch(r"mask\d+", name))
    stated = re.search(r"strides ([\d, ]+)", note)
    strides = re.findall(r"\d+", stated[1]) if stated else [8 * 2**i for i in range(len(levels))]
    shapes = [(height, width)] + [(-(-height // int(s)), -(-width // int(s))) for s in strides]
    sizes = [tuple(image.shape[-2:]) for image in images]
    masks = padding_masks((height, width), sizes, shapes, torch.device("cpu"))
    return dict(zip(["mask", *levels], masks))
