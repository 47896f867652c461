"""Golden adapter of ViDT and ViDT+ (system ``vidt``)."""

from __future__ import annotations

import re

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_convert

from dense3d.checkpoints import convert
from dense3d.detection2d.vidt import (
    MaskVectors,
    Memory,
    NeckFreeViDT,
    Predictions,
    Targets,
    ViDT,
    ViDTCriterion,
)
from dense3d.detection2d.vidt.body import merge_det_tokens, patch_position
from dense3d.detection2d.vidt.decoder import Decoded, flatten_levels
from dense3d.detection2d.vidt.mask_vectors import zigzag
from dense3d.detection2d.vidt.targets import class_shares
from dense3d.errors import DataError
from tests.golden.checks import Arrays, Run, by_name
from tests.golden.kit import GoldenKit, align
from tests.golden.notes import full_note, stated_grid
from tests.golden.options import Options
from tests.golden.weights import load_strictly, tensors_of

EQUAL = 0.995  # share of the pixels of a binary mask that must be equal, as the notes say
# Of training, or unused by the forward pass.
NEUTRAL = (
    "aux_loss",
    "drop_path_rate",
    "drop_rate",
    "attn_drop_rate",
    "dropout",
    "pretrain_img_size",
    "pretrained",
    "frozen_stages",
    "use_checkpoint",
    "eos_coef",
)
# Of what a detector without a neck does not have.
OF_DECODER = (
    "dec_layers",
    "dec_n_points",
    "dim_feedforward",
    "gt_mask_len",
    "n_keep",
    "nheads",
    "num_feature_levels",
    "vector_hidden_dim",
    "with_box_refine",
)


def open_kit(kit: GoldenKit) -> Run:
    """Build the detector of the kit's ``config`` and load its weights."""
    official = tensors_of(kit)
    state = convert("vidt", official)
    checks = _Checks(kit, load_strictly(build_model(kit.options, official, state), state, kit))
    rules = {
        "features": checks.features,
        "detector": checks.detector,
        "block": checks.block,
        "position": checks.position,
        "postprocess": checks.postprocess,
    }
    if isinstance(checks.model, ViDT):
        rules |= {"neck": checks.neck, "decoder": checks.decoder, "loss": checks.loss, "dct": checks.dct}
    run = by_name(rules)

    def compared(check: dict, inputs: Arrays) -> Arrays:
        stored = kit.outputs(check["name"])
        return {name: _nearly_equal(value, stored.get(name)) for name, value in run(check, inputs).items()}

    return compared


def build_model(
    options: Options, official: dict[str, Tensor], state: dict[str, Tensor]
) -> ViDT | NeckFreeViDT:
    """The model that fits a kit's options and parameters."""
    take = options.take
    options.neutral(*NEUTRAL)
    options.only("drop_path", 0.0, 0)  # otherwise the official decoder leaves out a norm
    options.only("norm_layer", None)
    options.only("ape", False)
    options.only("activation", "relu")
    backbone = dict(
        type="ReconfiguredSwin",
        arch={name: take(name) for name in ("embed_dim", "depths", "num_heads")},
        num_det_tokens=options.agree("det_token_num", official["backbone.det_token"].shape[1]),
        pos_dim=options.agree("pos_dim", official["backbone.det_pos_embed"].shape[2]),
        cross_indices=take("cross_indices", (3,)),
        last_merging="backbone.last_merging.norm.weight" in state,
        window_size=take("window_size", 7),
        mlp_ratio=take("mlp_ratio", 4.0),
        qkv_bias=take("qkv_bias", True),
        qk_scale=take("qk_scale", None) or None,
        patch_norm=take("patch_norm", True),
        patch_size=take("patch_size", 4),
        in_channels=take("in_chans", 3),
    )
    embed_dims = len(state["tgt_proj.0.weight"])
    for name in ("reduced_dim", "hidden_dim", "d_model"):
        options.agree(name, embed_dims)
    num_classes = take("num_classes", 91)
    if not any(name.startswith("decoder.") for name in state):
        options.only("plus", False)
        options.neutral(*OF_DECODER)
        return NeckFreeViDT(backbone, num_classes, embed_dims)
    plus = take("plus", False)
    layers = 1 + max(int(m[1]) for n in state if (m := re.match(r"decoder\.layers\.(\d+)\.", n)))
    offsets = state["decoder.layers.0.cross_attn.sampling_offsets.bias"]  # heads, levels, points, x and y
    heads = take("nheads", 8)
    levels = options.agree("num_feature_levels", len({n.split(".")[-3] for n in _level_names(state)}))
    rows = state.get("token_head.token_embed.weight")
    vectors = None
    if options.agree("with_vector", "vector_embed.layers.0.weight" in state):
        hidden, coefficients = (len(state[f"vector_embed.layers.{i}.weight"]) for i in (0, 2))
        vectors = dict(
            num_coefficients=options.agree("n_keep", coefficients),
            side=take("gt_mask_len", 128),
            hidden_channels=options.agree("vector_hidden_dim", hidden),
        )
    options.neutral("n_keep", "gt_mask_len", "vector_hidden_dim")  # of a network without such a head
    model = ViDT(
        backbone,
        num_classes=num_classes,
        embed_dims=embed_dims,
        num_heads=heads,
        num_points=options.agree("dec_n_points", len(offsets) // (2 * heads * levels)),
        feedforward_channels=options.agree("dim_feedforward", len(state["decoder.layers.0.linear1.weight"])),
        decoder_layers=options.agree("dec_layers", layers),
        box_refine=take("with_box_refine", False),
        pyramid_fusion=options.agree("epff", "neck.levels.0.unit2.conv1.weight" in state),
        mask_vectors=vectors,
        iou_aware=options.agree("iou_aware", "iou_embed.0.layers.0.weight" in state),
        token_label=options.agree("token_label", rows is not None),
        token_classes=None if rows is None else len(rows),
    )
    if plus and not (model.coder and model.iou_embed and model.token_head):
        raise options.refusal("plus", plus, "its parameters lack a head of ViDT+")
    return model


def _level_names(state: dict[str, Tensor]) -> list[str]:
    return [n for n in state if re.fullmatch(r"neck\.(lateral\.)?\d+\.0\.weight", n)]


def _nearly_equal(found: np.ndarray, stored: np.ndarray | None) -> np.ndarray:
    """Binary masks of which all but a few pixels are equal to the stored ones: those."""
    if stored is None or stored.dtype not in (np.uint8, np.bool_):
        return found
    view = align(found, stored)
    return stored if (view == stored).mean() > EQUAL else found


class _Checks:
    """Checks of one model."""

    def __init__(self, kit: GoldenKit, model: ViDT) -> None:
        self.kit, self.model = kit, model

    def features(self, check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Maps and [DET] tokens of the body."""
        tokens = self.model.backbone.encode(inputs["image"], inputs.get("mask"))
        found = {f"f{i + 1}": feature for i, feature in enumerate(tokens.maps)}
        position = tokens.det_position.transpose(1, 2).expand(len(tokens.det), -1, -1)
        return found | {"det": tokens.det.transpose(1, 2), "det_pos": position}

    def neck(self, check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Levels in the order of the decoder."""
        maps = self.model.neck(self.model.backbone.encode(inputs["image"], inputs.get("mask")).maps)
        return {f"src{i}": feature for i, feature in enumerate(maps)}

    def decoder(self, check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """States and references."""
        decoded, _ = self._decode(inputs)
        references = decoded.boxes
        if not self.model.decoder.box_refine:
            references = decoded.initial[None].expand(len(decoded.boxes), -1, -1, -1)
        return {"hs": decoded.states, "init_reference": decoded.initial, "references": references}

    def _decode(self, inputs: dict[str, Tensor]) -> tuple[Decoded, Memory]:
        model = self.model
        padding = inputs.get("mask")
        tokens = model.backbone.encode(inputs["image"], padding)
        memory = flatten_levels(model.neck(tokens.maps), padding)
        query = model.tgt_proj(tokens.det)
        position = model.query_pos_proj(tokens.det_position).expand_as(query)
        return model.decoder(query, position, memory), memory

    def detector(self, check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Predictions of all heads."""
        if isinstance(self.model, NeckFreeViDT):
            tokens = self.model.backbone.encode(inputs["image"], inputs.get("mask")).det
            tokens = self.model.tgt_proj(tokens)
            boxes = self.model.bbox_embed(tokens).sigmoid()
            return {"pred_logits": self.model.class_embed(tokens), "pred_boxes": boxes}
        predictions = self.model.heads(*self._decode(inputs))
        found: dict[str, Tensor] = {}
        for name in ("logits", "boxes", "ious", "vectors"):
            layers = getattr(predictions, name)
            if layers is not None:
                found |= {f"aux{i}_{name}": layer for i, layer in enumerate(layers[:-1])}
                found[f"pred_{name}"] = layers[-1]
        return found | {f"enc_tokens{i}": level for i, level in enumerate(predictions.tokens or ())}

    def block(self, check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """One stage alone: the width of the tokens tells which."""
        body, tokens = self.model.backbone, inputs["tokens"]
        if tokens.shape[-1] not in body.channels:
            raise DataError(f"no stage of this body has {tokens.shape[-1]} channels")
        index = body.channels.index(tokens.shape[-1])
        count = tokens.shape[1] - body.det_token.shape[1]
        grid = stated_grid(self.kit, check, count)
        x, det = tokens.split([count, tokens.shape[1] - count], dim=1)
        found = {}
        for name, cross in (("plain", False), ("cross", True)):
            stage = body.run_stage(index, x.unflatten(1, grid), det, inputs["mask"], cross)
            found[name] = torch.cat((stage[0].flatten(1, 2), stage[1]), dim=1)
            last = index == len(body.channels) - 1
            merging = body.last_merging if last else body.downsampling(index + 1)
            if merging is not None:
                merged = merging(stage[0]).flatten(1, 2), merge_det_tokens(merging, stage[1])
                found["merged"] = torch.cat(merged, dim=1)
        return found

    def position(self, check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Masked sine positions of as many channels as the note says."""
        stated = re.search(r"(\d+) channels", full_note(self.kit, check))
        channels = int(stated[1]) if stated else self.kit.outputs(check["name"])["pos"].shape[-1]
        return {"pos": patch_position(inputs["mask"], channels)}

    def postprocess(self, check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """The best detections of every image; without a neck, those of all tokens."""
        if isinstance(self.model, NeckFreeViDT):
            return _detections_of_tokens(inputs)
        found = {}
        for i, size in enumerate(inputs["sizes"].tolist()):
            vectors = inputs["pred_vectors"][i] if "pred_vectors" in inputs else None
            result = self.model.detections(inputs["pred_logits"][i], inputs["pred_boxes"][i], vectors, size)
            found |= {f"scores{i}": result.scores, f"labels{i}": result.labels, f"boxes{i}": result.bboxes}
            if vectors is not None:
                stored = self.kit.outputs(check["name"]).get(f"masks{i}")
                shown = len(result.masks) if stored is None else len(stored)
                found[f"masks{i}"] = result.masks[:shown, None].byte()
        return found

    def loss(self, check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Unweighted losses, the matches of the main output, and two figures of the official log."""
        layers = [name.removesuffix("_pred_logits") for name in inputs if name.endswith("_pred_logits")]
        layers.sort(key=lambda name: (name == "main", len(name), name))
        stacked = {
            name: torch.stack([inputs[f"{layer}_pred_{name}"] for layer in layers])
            for name in ("logits", "boxes", "ious", "vectors")
            if f"main_pred_{name}" in inputs
        }
        levels = sorted(n for n in inputs if n.startswith("enc_tokens"))
        predictions = Predictions(**stacked, tokens=[inputs[name] for name in levels] or None)
        targets = self._targets(inputs, [tuple(inputs[n].shape[1:3]) for n in levels])
        criterion = ViDTCriterion()
        divisor = torch.tensor(max(1.0, float(sum(targets.counts))))
        matches = criterion.matcher(predictions.logits, predictions.boxes, targets)
        terms = criterion.terms(predictions, targets, matches, divisor)
        terms["cardinality"] = _cardinality_error(predictions.logits, targets)
        names = {"cardinality": "cardinality_error"}
        found = {}
        for name, values in terms.items():
            name = names.get(name, f"loss_{name}")
            found |= {f"{name}_{i}": value for i, value in enumerate(values[:-1])} | {name: values[-1]}
        if levels:
            tokens = criterion.token_terms(predictions.tokens, targets, divisor)
            found |= {f"loss_{name}": value for name, value in tokens.items()}
        main = matches.by_layer(len(layers))[-1]
        labels = targets.labels[main.image, main.target]
        said = predictions.logits[-1][main.image, main.query].argmax(-1)
        found["class_error"] = 100 - 100 * (said == labels).float().mean()
        for image in range(len(targets.counts)):
            own = main.image == image
            found[f"match{image}"] = torch.stack((main.query[own], main.target[own]))
        return {n: v[None] if v.ndim == 0 else v for n, v in found.items()}

    def _targets(self, inputs: dict[str, Tensor], shapes: list[tuple[int, int]]) -> Targets:
        images = range(sum(re.fullmatch(r"labels\d+", name) is not None for name in inputs))
        labels = [inputs[f"labels{i}"] for i in images]
        targets = Targets.of(labels, [inputs[f"boxes{i}"] for i in images])
        if "masks0" not in inputs:
            return targets
        masks = [inputs[f"masks{i}"].bool() for i in images]
        size = max(m.shape[1] for m in masks), max(m.shape[2] for m in masks)
        masks = [
            torch.nn.functional.pad(m, (0, size[1] - m.shape[2], 0, size[0] - m.shape[1])) for m in masks
        ]
        coder = self.model.coder
        if coder is not None:
            corners = [inputs.get(f"xyxy_boxes{i}", self._corners(inputs, i)) for i in images]
            targets.vectors = torch.cat([coder.of_boxes(*pair) for pair in zip(masks, corners)])
        if shapes:
            rows = self.model.token_rows[0]
            shares = [class_shares(m, label, rows, shapes) for m, label in zip(masks, labels)]
            targets.shares = [torch.stack(level) for level in zip(*shares)]
        return targets

    def _corners(self, inputs: dict[str, Tensor], image: int) -> Tensor:
        height, width = inputs[f"masks{image}"].shape[1:]
        unit = torch.tensor([width, height, width, height])
        return box_convert(inputs[f"boxes{image}"], "cxcywh", "xyxy") * unit

    def dct(self, check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Coding of one mask."""
        mask = inputs["mask"]
        coder = self.model.coder or MaskVectors()
        coder = MaskVectors(len(coder.rows), mask.shape[-1])
        vector = coder.encode(mask[None])
        order = zigzag(mask.shape[-1])[: len(coder.rows)]
        return {
            "vector": vector[0],
            "zigzag": order[:, 0] * mask.shape[-1] + order[:, 1],
            "rec": coder.inverse(vector)[0],
            "binary": coder.decode(vector)[0].byte(),
        }


def _detections_of_tokens(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Of every token the likeliest class but the last, which is none, and the corners of its box."""
    scores, labels = inputs["pred_logits"].softmax(-1)[..., :-1].max(-1)
    units = inputs["sizes"].flip(1).repeat(1, 2)[:, None]  # (B, 1, 4): w, h, w, h
    boxes = box_convert(inputs["pred_boxes"], "cxcywh", "xyxy") * units
    found = {"scores": scores, "labels": labels, "boxes": boxes}
    return {f"{name}{i}": row for name, rows in found.items() for i, row in enumerate(rows)}


def _cardinality_error(logits: Tensor, targets: Targets) -> Tensor:
    """How many more tokens than objects are taken for one, as the official log has it ``(L,)``."""
    found = (logits.argmax(-1) != logits.shape[-1] - 1).sum(-1).float()  # (L, B)
    return (found - torch.tensor(targets.counts)).abs().mean(-1)
