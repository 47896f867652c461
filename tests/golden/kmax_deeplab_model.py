"""Golden checks of the whole of kMaX-DeepLab: backbone, pixel decoder, decoder, final and semantic output."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from dense3d.checkpoints.kmax_deeplab import convert
from dense3d.segmentation.kmax_deeplab import KMaXDeepLab, resize
from tests.golden import UnknownCheckError
from tests.golden.detectron2_backbone import STAGES, blocks, resnet_name
from tests.golden.weights import load_strictly, tensors_of

Arrays = dict[str, np.ndarray]


def open_kit(kit) -> Callable[[dict, Arrays], Arrays]:
    """Build the kit's model and load its weights."""
    official = tensors_of(kit)
    model = load_strictly(build_model(kit.meta["config"], official), convert(official), kit)
    image = torch.from_numpy(kit.inputs(kit.checks[0]["name"])["image"])

    @torch.no_grad()
    def run(check: dict, inputs: Arrays) -> Arrays:
        pixels = torch.from_numpy(inputs["image"]) if "image" in inputs else image
        found = outputs(model, pixels)
        unknown = sorted(set(check["outputs"]) - set(found))
        if unknown:
            raise UnknownCheckError(f"there is no rule for {unknown[0]!r} of the check {check['name']!r}")
        return {name: found[name].numpy() for name in check["outputs"]}

    return run


def build_model(config: dict, official: dict[str, Tensor]) -> KMaXDeepLab:
    """The model that fits a kit's ``config`` and its parameters."""
    widths = [4 * base for base in config["dec_channels"]]
    prefix = "sem_seg_head.predictor."
    pattern = re.compile(
        re.escape(prefix) + r"_kmax_transformer_layers\.\d+\._pixel_conv1_bn_act\.conv\.weight"
    )
    layers = Counter(value.shape[1] for name, value in official.items() if pattern.fullmatch(name))
    semantic = None
    if any(name.startswith(f"{prefix}_auxiliary_semantic_predictor.") for name in official):
        aspp = f"{prefix}_auxiliary_semantic_predictor._aspp._aspp_conv0.conv.weight" in official
        semantic = "aspp" if aspp else "coarse"
    return KMaXDeepLab(
        backbone=backbone_config(official, with_stem="stem" in config["pixel_decoder_in_features"]),
        num_classes=config["num_classes"],
        thing_classes=(),
        num_queries=config["num_queries"],
        pixel_decoder=dict(
            base_channels=config["dec_channels"],
            num_blocks=config["dec_layers"],
            kinds=config["layer_types"],
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
