"""Golden checks of the whole of Mask2Former: backbone, pixel decoder, every layer, final prediction."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from dense3d.checkpoints.mask2former import convert
from dense3d.segmentation.mask2former import Mask2Former
from tests.golden import UnknownCheckError
from tests.golden.detectron2_backbone import STAGES, blocks, resnet_name, swin_config
from tests.golden.weights import Recorder, load_strictly, tensors_of

Arrays = dict[str, np.ndarray]


def open_kit(kit) -> Callable[[dict, Arrays], Arrays]:
    """Build the kit's model and load its weights."""
    official = tensors_of(kit)
    model = load_strictly(build_model(kit.meta["config"], official), convert(official), kit)
    image = torch.from_numpy(kit.inputs(kit.checks[0]["name"])["image"])
    head = model.panoptic_head
    modules = {f"encoder_layer_{i}": layer for i, layer in enumerate(head.pixel_decoder.encoder.layers)}
    modules |= {f"query_{i}": layer for i, layer in enumerate(head.transformer_decoder.layers)}
    recorder = Recorder(modules)

    @torch.no_grad()
    def run(check: dict, inputs: Arrays) -> Arrays:
        pixels = torch.from_numpy(inputs["image"]) if "image" in inputs else image
        found = _outputs(model, recorder, list(modules), pixels)
        unknown = sorted(set(check["outputs"]) - set(found))
        if unknown:
            raise UnknownCheckError(f"there is no rule for {unknown[0]!r} of the check {check['name']!r}")
        return {name: found[name].numpy() for name in check["outputs"]}

    return run


def build_model(config: dict, official: dict[str, Tensor]) -> Mask2Former:
    """The model that fits a kit's ``config`` and its parameters."""
    encoder = "sem_seg_head.pixel_decoder.transformer.encoder.layers"
    feedforward = "sem_seg_head.predictor.transformer_ffn_layers"
    resnet = "backbone.stem.conv1.weight" in official
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
        num_classes=config["num_classes"],
        thing_classes=(),
        head=dict(
            num_queries=config["num_queries"],
            embed_dims=official["sem_seg_head.predictor.query_embed.weight"].shape[1],
            encoder_layers=blocks(official, encoder.replace(".", r"\.")),
            encoder_channels=len(official[f"{encoder}.0.linear1.weight"]),
            decoder_layers=blocks(official, feedforward.replace(".", r"\.")),
            decoder_channels=len(official[f"{feedforward}.0.linear1.weight"]),
        ),
    )


def _outputs(model: Mask2Former, recorder: Recorder, recorded: list[str], image: Tensor) -> dict[str, Tensor]:
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
