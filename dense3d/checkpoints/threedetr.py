"""3DETR and 3DETR-m of facebookresearch/3detr.

Misra et al., "An End-to-End Transformer Model for 3D Object Detection", ICCV 2021. Official files hold their
weights under ``model``. Convolutions of one point become linear layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dense3d.checkpoints.point_mae import unwrapped
from dense3d.checkpoints.renaming import Renaming
from dense3d.checkpoints.votenet import NORM, WEIGHTS, StateDict, flat, point_layers

_HEADS = {
    "sem_cls_head": "classes",
    "center_head": "centres",
    "size_head": "sizes",
    "angle_cls_head": "heading_bins",
    "angle_residual_head": "heading_rests",
}
_ATTENTIONS = {"self_attn": "self_attention", "multihead_attn": "cross_attention"}


def _transformer() -> list[tuple[str, str]]:
    kind = r"(?P<kind>weight|bias)"
    rules = []
    for side in ("encoder", "decoder"):
        stem, ours = rf"{side}\.layers\.(?P<n>\d+)", rf"{side}.layers.\g<n>"
        rules += [
            (rf"{stem}\.linear1\.{kind}", rf"{ours}.feedforward.0.\g<kind>"),
            (rf"{stem}\.linear2\.{kind}", rf"{ours}.feedforward.3.\g<kind>"),
            (rf"{stem}\.norm(?P<m>[123])\.{kind}", rf"{ours}.norm\g<m>.\g<kind>"),
        ]
        for theirs, name in _ATTENTIONS.items():
            if side == "encoder" and theirs == "multihead_attn":
                continue
            name = "attention" if side == "encoder" else name
            rules += [
                (rf"{stem}\.{theirs}\.in_proj_{kind}", rf"{ours}.{name}.in_proj.\g<kind>"),
                (rf"{stem}\.{theirs}\.out_proj\.{kind}", rf"{ours}.{name}.out_proj.\g<kind>"),
            ]
    return rules


_PROJECTION = "encoder_to_decoder_projection"
_RULES = [
    *point_layers(r"pre_encoder\.mlp_module", "backbone.abstractions.0.layers"),
    *_transformer(),
    (rf"decoder\.norm\.{WEIGHTS}", r"decoder.norm.\1"),
    (r"pos_embedding\.gauss_B", "position.projection"),
    (rf"query_projection\.layers\.([02])\.{WEIGHTS}", r"query_projection.\1.\2"),
    *(
        (rf"mlp_heads\.{theirs}\.layers\.(\d)\.{NORM}", rf"heads.{ours}.\1.\2")
        for theirs, ours in _HEADS.items()
    ),
]
_MASKED = point_layers(r"encoder\.interim_downsampling\.mlp_module", "encoder.downsampling.layers")


def convert(official: Mapping[str, Any]) -> StateDict:
    """Convert a checkpoint for ``ThreeDETR``, with or without the masked encoder.

    Raises:
        CheckpointError: names are missing or unexpected.
    """
    state = unwrapped(official)
    masked = any(name.startswith("encoder.interim_downsampling.") for name in state)
    layers = range(2 if masked else 3)
    rules = [*_RULES, *(_MASKED if masked else [])]
    for layer in layers:
        rules += [
            (rf"{_PROJECTION}\.layers\.{3 * layer}\.weight", rf"projection.{layer}.0.weight"),
            (rf"{_PROJECTION}\.layers\.{3 * layer + 1}\.{NORM}", rf"projection.{layer}.1.\1"),
        ]
    return flat(Renaming("threedetr", rules)(state))
