"""Golden adapter of kMaX-DeepLab (system ``kmax-deeplab``): whole models, one layer, losses and results."""

from __future__ import annotations

import re
from collections import Counter

import torch
from torch import Tensor, nn

from dense3d.checkpoints.kmax_deeplab import convert
from dense3d.segmentation.kmax_deeplab import (
    WEIGHTS,
    KMaXCriterion,
    KMaXDecoderLayer,
    KMaXDeepLab,
    KMaXPostProcess,
    PanopticTargets,
    Prediction,
    ResidualBlock,
    ResizedFuse,
    SegmentMatches,
    assign_clusters,
    class_weights,
    inverse_areas,
    match,
    resize,
)
from tests.golden.checks import Arrays, Run, first_inputs, tensors_of_inputs, wanted
from tests.golden.detectron2 import STAGES, blocks, by_score_and_class, resnet_name
from tests.golden.options import Options
from tests.golden.weights import load_strictly, tensors_of


def open_model(kit) -> Run:
    """Build the kit's model and load its weights."""
    official = tensors_of(kit)
    model = load_strictly(build_model(kit.options, official), convert(official), kit)
    first = first_inputs(kit)

    @torch.no_grad()
    def run(check: dict, inputs: Arrays) -> Arrays:
        return wanted(check, outputs(model, tensors_of_inputs(first | inputs)["image"]))

    return run


def build_model(options: Options, official: dict[str, Tensor]) -> KMaXDeepLab:
    """The model that fits a kit's options and its parameters."""
    options.neutral("image_size", "spatial_shape")  # the inputs have them
    options.neutral("drop_path_prob", "ignore_label")  # of training
    bases, features = options.take("dec_channels"), options.take("pixel_decoder_in_features")
    if set(features) - {"stem"} != set(STAGES):
        raise options.refusal("pixel_decoder_in_features", features, f"{', '.join(STAGES)} are all needed")
    widths = [4 * base for base in bases]
    prefix = "sem_seg_head.predictor."
    pattern = re.compile(
        re.escape(prefix) + r"_kmax_transformer_layers\.\d+\._pixel_conv1_bn_act\.conv\.weight"
    )
    layers = Counter(value.shape[1] for name, value in official.items() if pattern.fullmatch(name))
    semantic = None
    if any(name.startswith(f"{prefix}_auxiliary_semantic_predictor.") for name in official):
        aspp = f"{prefix}_auxiliary_semantic_predictor._aspp._aspp_conv0.conv.weight" in official
        semantic = "aspp" if aspp else "coarse"
    options.agree("add_aux_semantic_pred", semantic is not None)
    options.agree("use_aux_semantic_decoder", semantic != "coarse")
    return KMaXDeepLab(
        backbone=backbone_config(official, with_stem="stem" in features),
        num_classes=options.take("num_classes"),
        thing_classes=(),
        num_queries=options.take("num_queries"),
        pixel_decoder=dict(
            base_channels=bases,
            num_blocks=options.take("dec_layers"),
            kinds=options.take("layer_types"),
        ),
        layers_per_map=[layers[width] for width in widths[:3]],
        semantic_head=semantic,
    )


def backbone_config(official: dict[str, Tensor], with_stem: bool) -> dict:
    """Backbone whose official parameters these are."""
    if "backbone.stem.conv1.weight" not in official:
        dims = [len(official[f"backbone.stages.{i}.0.dwconv.weight"]) for i in range(4)]
        depths = [blocks(official, rf"backbone\.stages\.{i}") for i in range(4)]
        return dict(type="KMaXConvNeXt", arch=dict(dims=dims, depths=depths), with_stem=with_stem)
    name = resnet_name(official)
    if with_stem:
        return dict(type="ResNetWithStem", model_name=name)
    return dict(type="TimmBackbone", model_name=name, out_strides=(4, 8, 16, 32))


def outputs(model: KMaXDeepLab, image: Tensor) -> dict[str, Tensor]:
    """Everything that a kit may ask for, under its names."""
    features = model.backbone(image)
    maps = model.pixel_decoder([features[i] for i in model.order])
    queries: list[Tensor] = []
    hooks = [
        layer.register_forward_hook(lambda _module, _inputs, output: queries.append(output[0]))
        for layer in model.decoder.layers
    ]
    *earlier, final = model.decode(features)
    for hook in hooks:
        hook.remove()
    found = dict(zip(_backbone_names(model), features))
    found |= {"os32": maps[0], "os16": maps[1], "os8": maps[2], "panoptic": maps[-1]}
    found |= {f"query_{i}": query for i, query in enumerate(queries)}
    size = tuple(final.masks.shape[-2:])
    for i, prediction in enumerate(earlier):
        found |= {f"class_logits_{i}": prediction.logits, f"mask_logits_{i}": prediction.masks}
        found[f"aux_pred_masks_{i}"] = resize(prediction.masks, size, odd=size[0])
        found[f"aux_pixel_feature_{i}"] = resize(prediction.pixels, size, odd=size[0])
    found |= {"pred_logits": final.logits, "pred_masks": final.masks, "pixel_feature": final.pixels}
    if model.semantic_head is not None:
        found["aux_semantic_pred"] = model.semantic_head([features[i] for i in model.semantic_maps])
    return found


def _backbone_names(model: KMaXDeepLab) -> tuple[str, ...]:
    if len(model.order) == len(STAGES):
        return STAGES
    after_first = type(model.backbone).__name__ == "KMaXConvNeXt"
    return ("res2", "stem", *STAGES[1:]) if after_first else ("stem", *STAGES)


# Names of the kit -> places in a whole checkpoint, which the converter knows.
PREFIXES = {
    "layer.": "sem_seg_head.predictor._kmax_transformer_layers.0.",
    "axial.": "sem_seg_head.pixel_decoder._stages.0.",
    "fuse.": "sem_seg_head.pixel_decoder._resized_fuses.0.",
}
OURS = {
    "decoder.layers.0.": "layer.",
    "pixel_decoder.stages.0.": "axial.",
    "pixel_decoder.fuses.0.": "fuse.",
}


def open_layer(kit) -> Run:
    """Build the kit's modules and load their weights."""
    official, options = tensors_of(kit), kit.options
    options.neutral("query_shape")  # the inputs have it
    state = {
        _replaced(n, OURS): v
        for n, v in convert({_replaced(n, PREFIXES): v for n, v in official.items()}).items()
    }
    pixels, base = options.take("in_channel_pixel"), options.take("base_filter")
    number = 1 + max(int(match[1]) for match in map(re.compile(r"axial\.(\d+)\.").match, state) if match)
    widths = [pixels] + [4 * base] * (number - 1)
    parts = nn.ModuleDict(
        {
            "layer": KMaXDecoderLayer(options.take("num_classes"), pixels),
            "axial": nn.Sequential(*(ResidualBlock(width, base, "axial") for width in widths)),
            "fuse": ResizedFuse(4 * base, pixels, options.take("fuse_out")),
        }
    )
    load_strictly(parts, state, kit)
    first = first_inputs(kit)

    def run(check: dict, inputs: Arrays) -> Arrays:
        return wanted(check, _layer_outputs(parts, tensors_of_inputs(first | inputs)))

    return run


def _replaced(name: str, prefixes: dict[str, str]) -> str:
    return next((ours + name.removeprefix(p) for p, ours in prefixes.items() if name.startswith(p)), name)


def _layer_outputs(parts: nn.ModuleDict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    layer = parts["layer"]
    pixels, queries = (inputs[n].requires_grad_() for n in ("pixel_feature", "query_feature"))
    updated, prediction = layer(pixels, queries)
    total = sum(
        (output * inputs[weight]).sum()
        for output, weight in (
            (updated, "w_query"),
            (prediction.masks, "w_mask"),
            (prediction.logits, "w_class"),
        )
    )
    leaves = {
        "grad_pixel_feature": pixels,
        "grad_query_feature": queries,
        "grad_value_conv": layer.value_proj.conv.weight,
        "grad_mask_head_conv": layer.predictor.mask_kernel.conv.weight,
    }
    gradients = dict(zip(leaves, torch.autograd.grad(total, list(leaves.values()))))
    blocks = parts["axial"](pixels)
    return {
        "assignment": assign_clusters(prediction.masks).int(),
        "class_logits": prediction.logits,
        "mask_logits": prediction.masks,
        "pixel_feature": prediction.pixels,
        "query_out": updated,
        "axial_blocks": blocks,
        "resized_fuse": parts["fuse"](blocks[:, :, ::2, ::2], pixels),
        "grad_pixel_feature": gradients["grad_pixel_feature"],
        "grad_query_feature": gradients["grad_query_feature"],
        "grad_value_conv": gradients["grad_value_conv"].flatten(1),
        "grad_mask_head_conv": gradients["grad_mask_head_conv"].flatten(1),
    }


PREDICTED = ("pred_logits", "pred_masks", "pixel_feature")
LOSSES = (
    "num_classes",
    "eos_coef",
    "share_final_matching",
    "pixel_insdis_temperature",
    "pixel_insdis_sample_k",
    "aux_semantic_temperature",
    "aux_semantic_sample_k",
)
RESULTS = (
    "pixel_confidence_threshold",
    "class_threshold_thing",
    "class_threshold_stuff",
    "overlap_threshold",
    "reorder_class_weight",
    "reorder_mask_weight",
    "panoptic_on",
    "thing_classes",
    "test_topk_per_image",
    "input_shape",
)


def open_losses(kit) -> Run:
    """Criterion of the kit's ``config``; there are no weights."""
    first = first_inputs(kit)
    config = {name: kit.options.take(name) for name in LOSSES}

    def run(check: dict, inputs: Arrays) -> Arrays:
        return wanted(check, _Losses(config, tensors_of_inputs(first | inputs)).outputs())

    return run


class _Losses:
    """Predictions (``pred_*``, and ``aux_*`` of earlier layers), targets and sampled pixels of a kit."""

    def __init__(self, config: dict, tensors: dict[str, Tensor]) -> None:
        self.config, self.tensors = config, tensors
        self.leaves = {
            name: tensor.requires_grad_() for name, tensor in tensors.items() if tensor.is_floating_point()
        }
        layers = ["aux_"] if "aux_pred_masks" in tensors else []
        predictions = [
            Prediction(*(tensors[f"{layer}{name}"] for name in PREDICTED)) for layer in [*layers, ""]
        ]
        self.predictions = predictions
        self.targets = _targets(tensors, config["num_classes"])

    def criterion(self) -> KMaXCriterion:
        """The criterion, which draws the recorded pixels in the order of the official code."""
        names = ["insdis_indices"]
        if self.config["aux_semantic_sample_k"] and "aux_semantic_pred" in self.tensors:
            names.append("aux_semantic_indices")
        names += [f"insdis_indices_{i}" for i in range(len(self.predictions) - 1)]
        recorded = iter([self.tensors[name] for name in names])
        return KMaXCriterion(
            self.config["num_classes"],
            share_final_matching=self.config["share_final_matching"],
            discrimination_pixels=self.config["pixel_insdis_sample_k"],
            discrimination_temperature=self.config["pixel_insdis_temperature"],
            semantic_pixels=self.config["aux_semantic_sample_k"],
            semantic_temperature=self.config["aux_semantic_temperature"],
            least_weight=self.config["eos_coef"],
            sample=lambda _logits, _number: next(recorded),
        )

    def outputs(self) -> dict[str, Tensor]:
        """The matching, the terms, their weighted sum and its gradients."""
        matches = match(self.predictions[-1], self.targets)
        found = self._matching(matches)
        semantic = self.tensors.get("aux_semantic_pred")
        terms = self.criterion().terms(self.predictions, semantic, self.targets)
        total = sum(WEIGHTS[re.sub(r"_\d+$", "", name)] * term for name, term in terms.items())
        found |= {f"loss_{name}": term[None] for name, term in terms.items()} | {"total": total[None]}
        gradients = torch.autograd.grad(total, list(self.leaves.values()), allow_unused=True)
        return found | {f"grad_{n}": g for n, g in zip(self.leaves, gradients) if g is not None}

    def _matching(self, matches: SegmentMatches) -> dict[str, Tensor]:
        final = self.predictions[-1]
        size = final.masks.shape[-2:]
        classes = torch.full(final.logits.shape[:2], self.config["num_classes"])
        classes[matches.image, matches.query] = matches.labels
        weights = torch.zeros(final.logits.shape[:2])
        weights[matches.image, matches.query] = matches.probability.clamp(min=self.config["eos_coef"])
        found = {
            "target_classes": classes,
            "pq_loss_mask_weight": weights,
            "pq_loss_class_weight": class_weights(final.masks.flatten(2), matches, self.config["eos_coef"]),
            "pixel_gt_void_mask": matches.void.unflatten(1, size).byte(),
            "inverse_gt_mask_area": inverse_areas(matches).unflatten(1, size),
        }
        for image in range(len(final.logits)):
            here = matches.image == image
            found |= {f"src_{image}": matches.query[here], f"tgt_{image}": matches.target[here]}
            found |= {f"mask_dice_{image}": matches.dice[here]}
            found |= {f"class_prob_{image}": matches.probability[here]}
        return found


def _targets(tensors: dict[str, Tensor], num_classes: int) -> PanopticTargets:
    images = range(sum(re.fullmatch(r"labels_\d+", name) is not None for name in tensors))
    semantic = torch.stack([tensors[f"semantic_{i}"] for i in images])
    return PanopticTargets(
        [tensors[f"labels_{i}"] for i in images],
        [tensors[f"masks_{i}"] for i in images],
        semantic.masked_fill(semantic < 0, num_classes),
    )


def open_results(kit) -> Run:
    """Thresholds of the kit's ``config``; there are no weights."""
    first = first_inputs(kit)
    config = {name: kit.options.take(name) for name in RESULTS}
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
    post_process = KMaXPostProcess(
        pixel_threshold=config["pixel_confidence_threshold"],
        thing_threshold=config["class_threshold_thing"],
        stuff_threshold=config["class_threshold_stuff"],
        overlap_threshold=config["overlap_threshold"],
        class_power=config["reorder_class_weight"],
        mask_power=config["reorder_mask_weight"],
    )
    things = config["thing_classes"]
    logits, output = tensors["pred_logits"][image], tensors["output_sizes"][image].tolist()
    padded = config["input_shape"]
    content = _official_content(padded, output)
    masks = post_process.masks_of_image(tensors["pred_masks"][image], tuple(padded), content, tuple(output))
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


def _official_content(padded: list[int], output: list[int]) -> tuple[int, int]:
    """What the official code crops to: it takes the image to fill the long side of the canvas."""
    scale = max(padded) / max(output)
    return round(output[0] * scale), round(output[1] * scale)
