"""Point-MAE of Pang-Yatian/Point-MAE: pre-training, classification and part segmentation.

Pang et al., "Masked Autoencoders for Point Cloud Self-supervised Learning", ECCV 2022. Official files hold
their weights under ``base_model`` or ``model_state_dict``, with ``module.`` in front where they were trained
in data parallel. Convolutions of one point become linear layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from dense3d.checkpoints.renaming import Renaming
from dense3d.errors import CheckpointError

StateDict = dict[str, Tensor]

_CONTAINERS = ("base_model", "model_state_dict", "state_dict", "model")
_WEIGHTS = r"(weight|bias)"
_NORM = r"(weight|bias|running_mean|running_var|num_batches_tracked)"
_BLOCKS = r"blocks\.(\d+\.(?:norm[12]|attn\.(?:qkv|proj)|mlp\.fc[12])\.(?:weight|bias))"
# of the transformer, which all three have
_TRANSFORMER = (
    (rf"encoder\.first_conv\.0\.{_WEIGHTS}", r"patch_embed.linear1.\1"),
    (rf"encoder\.first_conv\.1\.{_NORM}", r"patch_embed.norm1.\1"),
    (rf"encoder\.first_conv\.3\.{_WEIGHTS}", r"patch_embed.linear2.\1"),
    (rf"encoder\.second_conv\.0\.{_WEIGHTS}", r"patch_embed.linear3.\1"),
    (rf"encoder\.second_conv\.1\.{_NORM}", r"patch_embed.norm3.\1"),
    (rf"encoder\.second_conv\.3\.{_WEIGHTS}", r"patch_embed.linear4.\1"),
    (rf"(pos_embed\.[02])\.{_WEIGHTS}", r"\1.\2"),
    (rf"blocks\.{_BLOCKS}", r"blocks.\1"),
    (rf"norm\.{_WEIGHTS}", r"norm.\1"),
)
_CLASS_TOKEN = (("cls_token", "cls_token"), ("cls_pos", "cls_pos"))
_DECODER = (
    ("mask_token", "decoder.mask_token"),
    (rf"decoder_pos_embed\.([02])\.{_WEIGHTS}", r"decoder.pos_embed.\1.\2"),
    (rf"MAE_decoder\.{_BLOCKS}", r"decoder.blocks.\1"),
    (rf"MAE_decoder\.norm\.{_WEIGHTS}", r"decoder.norm.\1"),
    (rf"increase_dim\.0\.{_WEIGHTS}", r"decoder.predict.\1"),
)
_CLASSES = (
    (rf"cls_head_finetune\.0\.{_WEIGHTS}", r"head.hidden.0.0.\1"),
    (rf"cls_head_finetune\.1\.{_NORM}", r"head.hidden.0.1.\1"),
    (rf"cls_head_finetune\.4\.{_WEIGHTS}", r"head.hidden.1.0.\1"),
    (rf"cls_head_finetune\.5\.{_NORM}", r"head.hidden.1.1.\1"),
    (rf"cls_head_finetune\.8\.{_WEIGHTS}", r"head.classify.\1"),
)
_PARTS = (
    (r"label_conv\.0\.weight", r"category_embed.0.weight"),
    (rf"label_conv\.1\.{_NORM}", r"category_embed.1.\1"),
    (rf"propagation_0\.mlp_convs\.(\d+)\.{_WEIGHTS}", r"propagation.layers.\1.0.\2"),
    (rf"propagation_0\.mlp_bns\.(\d+)\.{_NORM}", r"propagation.layers.\1.1.\2"),
    (rf"convs([12])\.{_WEIGHTS}", r"head.linear\1.\2"),
    (rf"bns([12])\.{_NORM}", r"head.norm\1.\2"),
    (rf"convs3\.{_WEIGHTS}", r"head.classify.\1"),
)
_NOT_THE_TRANSFORMER = (
    r"mask_token|(?:decoder_pos_embed|MAE_decoder|increase_dim|cls_head_finetune|label_conv|propagation_0"
    r"|convs\d|bns\d)\..*",
)


def convert_pretrain(official: Mapping[str, Any]) -> StateDict:
    """Convert a pre-training checkpoint for ``PointMAE``.

    Raises:
        CheckpointError: names are missing or unexpected.
    """
    rules = (*_below(_TRANSFORMER, r"MAE_encoder\.", "encoder."), *_DECODER)
    return _renamed("point-mae", official, rules)


def convert_classify(official: Mapping[str, Any]) -> StateDict:
    """Convert a classifier for ``PointClassifier``.

    Raises:
        CheckpointError: names are missing or unexpected.
    """
    rules = (*_below((*_TRANSFORMER, *_CLASS_TOKEN), "", "backbone."), *_CLASSES)
    return _renamed("point-mae-classify", official, rules)


def convert_partseg(official: Mapping[str, Any]) -> StateDict:
    """Convert a part segmentor for ``PartSegmenter``.

    Raises:
        CheckpointError: names are missing or unexpected.
    """
    return _renamed("point-mae-partseg", official, (*_below(_TRANSFORMER, "", "backbone."), *_PARTS))


def transformer_weights(checkpoint: Mapping[str, Any]) -> StateDict:
    """The weights of a ``PointTransformer`` in a file of ours or an official one, of whatever task.

    Raises:
        CheckpointError: there is no such transformer in it, or names are unexpected.
    """
    state = unwrapped(checkpoint)
    marker = "patch_embed.linear1.weight"
    prefix = next((name[: -len(marker)] for name in state if name.endswith(marker)), None)
    if prefix is not None:
        return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    if any(name.startswith("MAE_encoder.") for name in state):
        state = {n.removeprefix("MAE_encoder."): v for n, v in state.items()}
    if "encoder.first_conv.0.weight" not in state:
        raise CheckpointError("the checkpoint holds no point transformer: no name like encoder.first_conv.0")
    renaming = Renaming(
        "point-mae", (*_TRANSFORMER, *_CLASS_TOKEN), dropped=_NOT_THE_TRANSFORMER, required=False
    )
    return _flat(renaming(state))


def unwrapped(checkpoint: Mapping[str, Any]) -> StateDict:
    """The named tensors of a file, without containers and the prefix of data-parallel training.

    Example:
        >>> import torch
        >>> list(unwrapped({"base_model": {"module.norm.bias": torch.ones(1)}, "epoch": 3}))
        ['norm.bias']
    """
    for key in _CONTAINERS:
        if isinstance(checkpoint.get(key), Mapping):
            checkpoint = checkpoint[key]
            break
    state = {name: value for name, value in checkpoint.items() if isinstance(value, Tensor)}
    return {name.removeprefix("module."): value for name, value in state.items()}


def _below(rules: tuple[tuple[str, str], ...], theirs: str, ours: str) -> list[tuple[str, str]]:
    """Rules of a part for where it lies in the whole."""
    return [(theirs + pattern, ours + replacement) for pattern, replacement in rules]


def _renamed(system: str, official: Mapping[str, Any], rules: tuple[tuple[str, str], ...]) -> StateDict:
    return _flat(Renaming(system, rules)(unwrapped(official)))


def _flat(state: StateDict) -> StateDict:
    """Kernels ``(out, in, 1)`` of convolutions as matrices; tokens ``(1, 1, C)`` stay."""
    is_kernel = {name for name, value in state.items() if name.endswith(".weight") and value.ndim == 3}
    return {name: value.squeeze(2) if name in is_kernel else value for name, value in state.items()}
