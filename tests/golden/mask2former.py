"""Golden adapter of Mask2Former (system ``mask2former``): whole models, losses and results."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from dense3d.checkpoints.mask2former import convert
from dense3d.segmentation.mask2former import (
    WEIGHTS,
    Draw,
    Mask2Former,
    Mask2FormerCriterion,
    Mask2FormerPostProcess,
    MaskMatcher,
    uncertain_points,
)
from tests.golden.checks import Arrays, Run, first_inputs, tensors_of_inputs, wanted
from tests.golden.detectron2 import STAGES, blocks, by_score_and_class, resnet_name, swin_config
from tests.golden.options import Options
from tests.golden.weights import Recorder, load_strictly, tensors_of

LEVELS, POINTS = 3, 4
LOSSES = ("num_classes", "num_points", "oversample_ratio", "importance_sample_ratio")
RESULTS = ("object_mask_threshold", "overlap_threshold", "thing_classes", "test_topk_per_image")


def open_model(kit) -> Run:
    """Build the kit's model and load its weights."""
    official = tensors_of(kit)
    model = load_strictly(build_model(kit.options, official), convert(official), kit)
    first = first_inputs(kit)
    head = model.panoptic_head
    modules = {f"encoder_layer_{i}": layer for i, layer in enumerate(head.pixel_decoder.encoder.layers)}
    modules |= {f"query_{i}": layer for i, layer in enumerate(head.transformer_decoder.layers)}
    recorder = Recorder(modules)

    @torch.no_grad()
    def run(check: dict, inputs: Arrays) -> Arrays:
        image = tensors_of_inputs(first | inputs)["image"]
        return wanted(check, _model_outputs(model, recorder, list(modules), image))

    return run


def build_model(options: Options, official: dict[str, Tensor]) -> Mask2Former:
    """The model that fits a kit's options and its parameters."""
    options.neutral("image_size")  # the inputs have it
    resnet = "backbone.stem.conv1.weight" in official
    options.agree("backbone", "build_resnet_backbone" if resnet else "D2SwinTransformer")
    backbone = (
        swin_config(official)
        if not resnet
        else dict(
            type="TimmBackbone",
            model_name=resnet_name(official),
            out_strides=(4, 8, 16, 32),
            freeze_norm=True,
        )
    )
    return Mask2Former(
        backbone=backbone,
        num_classes=options.take("num_classes"),
        thing_classes=(),
        head=_head(options, official),
    )


def _head(options: Options, official: dict[str, Tensor]) -> dict:
    """Arguments of the head; what the official constructors call them is compared with the parameters."""
    encoder = "sem_seg_head.pixel_decoder.transformer.encoder.layers"
    feedforward = "sem_seg_head.predictor.transformer_ffn_layers"
    for name in ("pre_norm", "enforce_input_project"):
        options.only(name, False)
    options.only("mask_classification", True)
    options.only("norm", "GN")
    options.only("common_stride", 4)
    options.only("transformer_in_features", ["res3", "res4", "res5"])
    options.neutral("transformer_dropout", "in_channels")
    width = official["sem_seg_head.predictor.query_embed.weight"].shape[1]
    for name in ("hidden_dim", "conv_dim", "mask_dim"):
        options.agree(name, width)
    # 3 levels of 4 points are fixed in the official code
    heads = len(official[f"{encoder}.0.self_attn.attention_weights.bias"]) // (LEVELS * POINTS)
    options.agree("nheads", options.agree("transformer_nheads", heads))
    hidden = len(official[f"{encoder}.0.linear1.weight"])
    inside = len(official[f"{feedforward}.0.linear1.weight"])
    return dict(
        num_queries=options.take("num_queries"),
        embed_dims=width,
        num_heads=heads,
        encoder_layers=options.agree("transformer_enc_layers", blocks(official, encoder.replace(".", r"\."))),
        encoder_channels=options.agree("transformer_dim_feedforward", hidden),
        decoder_layers=options.agree("dec_layers", blocks(official, feedforward.replace(".", r"\."))),
        decoder_channels=options.agree("dim_feedforward", inside),
    )


def _model_outputs(
    model: Mask2Former, recorder: Recorder, recorded: list[str], image: Tensor
) -> dict[str, Tensor]:
    """Everything that a kit may ask for, under its names."""
    features = model.backbone(image)
    mask_features, maps = model.panoptic_head.pixel_decoder(features)
    logits, masks = model.predict_layers(image)
    found = dict(zip(STAGES, features)) | {"mask_features": mask_features}
    found |= {f"stride{stride}": feature for stride, feature in zip((32, 16, 8), maps)}
    # The official decoder has the queries first: (Q, B, C).
    found |= {n: recorder[n].transpose(0, 1) if n.startswith("query") else recorder[n] for n in recorded}
    found |= {f"pred_logits_{i}": value for i, value in enumerate(logits)}
    found |= {f"pred_masks_{i}": value for i, value in enumerate(masks)}
    return found | {"pred_logits": logits[-1], "pred_masks": masks[-1]}


def open_losses(kit) -> Run:
    """Criterion of the kit's ``config``; there are no weights."""
    first = first_inputs(kit)
    config = {name: kit.options.take(name) for name in LOSSES}

    def run(check: dict, inputs: Arrays) -> Arrays:
        return wanted(check, _Losses(config, tensors_of_inputs(first | inputs)).outputs())

    return run


def _recorded(*values: Tensor) -> Draw:
    """A source that hands out the values in turn."""
    queue = iter(values)
    return lambda _shape, _device: next(queue)


class _Losses:
    """Predictions (``pred_*``, and ``aux_pred_*`` of an earlier layer), targets and points of a kit."""

    def __init__(self, config: dict, tensors: dict[str, Tensor]) -> None:
        self.config, self.tensors = config, tensors
        images = range(sum(re.fullmatch(r"labels_\d+", name) is not None for name in tensors))
        self.labels = [tensors[f"labels_{i}"] for i in images]
        self.segments = [tensors[f"masks_{i}"] for i in images]
        self.leaves = {n: t.requires_grad_() for n, t in tensors.items() if re.match(r"(aux_)?pred_", n)}
        self.prefixes = ["", "aux_"] if "aux_pred_masks" in tensors else [""]

    def outputs(self) -> dict[str, Tensor]:
        """Costs, pairs and points of each prediction, the terms, their sum and its gradients."""
        names = [f"{p}{kind}" for p in self.prefixes for kind in ("over_points", "random_points")]
        criterion = Mask2FormerCriterion(
            self.config["num_classes"],
            num_points=self.config["num_points"],
            oversample=self.config["oversample_ratio"],
            importance=self.config["importance_sample_ratio"],
            draw=_recorded(self.tensors["match_points"], *(self.tensors[name] for name in names)),
        )
        logits, masks = (
            [self.tensors[f"{p}{kind}"] for p in reversed(self.prefixes)]
            for kind in ("pred_logits", "pred_masks")
        )
        terms = criterion.terms(logits, masks, self.labels, self.segments)
        total = sum(WEIGHTS[name.split("_")[0]] * term for name, term in terms.items())
        gradients = torch.autograd.grad(total, list(self.leaves.values()))
        found = {f"loss_{name}": term[None] for name, term in terms.items()} | {"total": total[None]}
        found |= {f"grad_{name}": gradient for name, gradient in zip(self.leaves, gradients)}
        return found | self._matching()

    def _matching(self) -> dict[str, Tensor]:
        logits, masks = (
            torch.stack([self.tensors[f"{p}{kind}"] for p in self.prefixes])
            for kind in ("pred_logits", "pred_masks")
        )
        arguments = (logits.detach(), masks.detach(), self.labels, self.segments)
        matcher = MaskMatcher(
            self.config["num_points"], draw=lambda _shape, _device: self.tensors["match_points"]
        )
        found = {}
        for image, costs in enumerate(matcher.costs(*arguments)):
            found |= {f"cost_{n}_{image}": cost[0] for n, cost in zip(("class", "mask", "dice"), costs)}
        for layer, (prefix, match) in enumerate(zip(self.prefixes, matcher(*arguments))):
            for image in range(len(self.labels)):
                here = match.image == image
                found[f"{prefix}src_{image}"] = match.query[here]
                found[f"{prefix}tgt_{image}"] = match.target[here]
            recorded = (self.tensors[f"{prefix}{kind}"] for kind in ("over_points", "random_points"))
            found[f"{prefix}coords"] = uncertain_points(
                masks[layer][match.image, match.query].detach(),
                self.config["num_points"],
                self.config["oversample_ratio"],
                self.config["importance_sample_ratio"],
                _recorded(*recorded),
            )
        return found


MASK_STRIDE = 4


def open_results(kit) -> Run:
    """Thresholds of the kit's ``config``; there are no weights."""
    first = first_inputs(kit)
    config = {name: kit.options.take(name) for name in RESULTS}
    config["panoptic_on"] = kit.options.take("panoptic_on", True)
    kit.options.neutral("num_classes", "num_queries")  # the logits have them

    @torch.no_grad()
    def run(check: dict, inputs: Arrays) -> Arrays:
        tensors = tensors_of_inputs(first | inputs)
        found = {}
        for image in range(len(tensors["pred_logits"])):
            results = _results(config, tensors, image)
            found |= {f"{name}_{image}": tensor for name, tensor in results.items()}
        return wanted(check, found)

    return run


def _results(config: dict, tensors: dict[str, Tensor], image: int) -> dict[str, Tensor]:
    post_process = Mask2FormerPostProcess(config["object_mask_threshold"], config["overlap_threshold"])
    logits, masks = tensors["pred_logits"][image], tensors["pred_masks"][image]
    padded = tuple(MASK_STRIDE * n for n in masks.shape[-2:])
    sizes = (tuple(tensors[name][image].tolist()) for name in ("image_sizes", "output_sizes"))
    masks = post_process.masks_of_image(masks, padded, *sizes)
    things = config["thing_classes"]
    result = post_process.panoptic(logits, masks, things)
    kept = things if config["panoptic_on"] else None
    found = post_process.instances(logits, masks, config["test_topk_per_image"], kept)
    segments = [[segment.id, segment.category, segment.isthing] for segment in result.segments]
    return {
        "panoptic_seg": result.ids,
        "segments": torch.tensor(segments, dtype=torch.int32).view(-1, 3),
        "sem_seg": post_process.semantic(logits, masks),
        **by_score_and_class(found),
    }
