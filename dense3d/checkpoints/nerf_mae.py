"""NeRF-MAE of zubair-irshad/NeRF-MAE: pre-training, voxel semantics and voxel super-resolution.

Irshad et al., "NeRF-MAE", ECCV 2024. Official files hold ``epoch``, ``state_dict`` and ``train_args``. The
position table and the indices of relative positions follow from the network; a file with others is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from dense3d.checkpoints.renaming import Renaming
from dense3d.errors import CheckpointError
from dense3d.radiance.positions import position_table
from dense3d.radiance.window_attention3d import relative_index

StateDict = dict[str, Tensor]

_WEIGHTS = "(weight|bias)"
_INDEX = "relative_position_index"
_ENCODER = (
    (rf"patch_partition\.0\.{_WEIGHTS}", r"patch_embed.proj.\1"),
    (rf"patch_partition\.2\.{_WEIGHTS}", r"patch_embed.norm.\1"),
    (
        r"(stages\.\d+\.blocks\.\d+\.(?:norm[12]|attn\.(?:qkv|proj)|mlp\.[03])\.(?:weight|bias))",
        r"\1",
    ),
    (r"(stages\.\d+\.blocks\.\d+\.attn\.relative_position_bias_table)", r"\1"),
    (r"(stages\.\d+\.merge\.(?:reduction\.weight|norm\.(?:weight|bias)))", r"\1"),
)
_DECODER = tuple(
    rule
    for number in (4, 3, 2)
    for rule in (
        (rf"decoder{number}\.transp_conv\.{_WEIGHTS}", rf"decoder.up{number}.up.\1"),
        (rf"decoder{number}\.conv_block\.conv([12])\.{_WEIGHTS}", rf"decoder.up{number}.block.conv\1.\2"),
        (rf"decoder{number}\.conv_block\.conv3\.{_WEIGHTS}", rf"decoder.up{number}.block.shortcut.\1"),
    )
)
_FINEST = (
    (rf"decoder1\.transp_conv\.{_WEIGHTS}", r"finest.up.\1"),
    (rf"decoder1\.conv_block\.conv([12])\.{_WEIGHTS}", r"finest.block.conv\1.\2"),
)
# of downstream networks, whose finest block has a skip
_FINEST_SKIP = (
    *_FINEST,
    (rf"decoder1\.conv_block\.conv3\.{_WEIGHTS}", r"finest.block.shortcut.\1"),
    (rf"encoder1\.layer\.conv([12])\.{_WEIGHTS}", r"voxel_stem.conv\1.\2"),
    (rf"encoder1\.layer\.conv3\.{_WEIGHTS}", r"voxel_stem.shortcut.\1"),
)
_NOT_THE_ENCODER = r"(?:mask_token|(?:decoder\d|out|decoder_layers|fpn_neck|encoder1|sem_out|voxel_out)\..*)"


def convert(official: Mapping[str, Any]) -> StateDict:
    """Convert a pre-training checkpoint for :class:`~dense3d.pretraining.nerf_mae.NeRFMAE`.

    Raises:
        CheckpointError: names are missing or unexpected, or a fixed table is another.
    """
    state = _without_tables(unwrapped(official))
    rules = (
        *_below(_ENCODER, "encoder."),
        ("mask_token", "mask_token"),
        *_DECODER,
        *_FINEST,
        (rf"out\.conv\.{_WEIGHTS}", r"predict.\1"),
    )
    return Renaming("nerf-mae", rules)(_staged(state))


def convert_encoder(official: Mapping[str, Any]) -> StateDict:
    """Convert the encoder alone, of a file of whatever task, for :class:`~dense3d.radiance.swin3d.Swin3D`.

    Raises:
        CheckpointError: there is none in it, or a name is unexpected.
    """
    state = unwrapped(official)
    for prefix in ("base.", "backbone.base.", "backbone."):
        if f"{prefix}patch_partition.0.weight" in state:
            state = {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)}
            break
    if "patch_partition.0.weight" not in state:
        raise CheckpointError(
            "the checkpoint holds no 3D Swin encoder: it has no name like patch_partition.0.weight"
        )
    renaming = Renaming("nerf-mae", _ENCODER, dropped=(_NOT_THE_ENCODER,))
    return renaming(_staged(_without_tables(state)))


def convert_semantics(official: Mapping[str, Any]) -> StateDict:
    """Convert a network of voxel semantics with skips for ``VoxelSegmenter``.

    Classes that the file has no weights for count alike.

    Raises:
        CheckpointError: names are missing or unexpected, or a fixed table is another.
    """
    rules = (("criterion.weight", "class_weights"), (rf"sem_out\.conv\.{_WEIGHTS}", r"predict.\1"))
    converted = _downstream("nerf-mae-semantics", official, rules)
    converted.setdefault("class_weights", torch.ones(len(converted["predict.bias"])))
    return converted


def convert_super_resolution(official: Mapping[str, Any]) -> StateDict:
    """Convert a network of voxel super-resolution with skips for ``VoxelSuperResolution``.

    Raises:
        CheckpointError: names are missing or unexpected, or a fixed table is another.
    """
    return _downstream(
        "nerf-mae-super-resolution", official, ((rf"voxel_out\.conv\.{_WEIGHTS}", r"predict.\1"),)
    )


def encoder_weights(checkpoint: Mapping[str, Any]) -> StateDict:
    """The weights of a ``Swin3D`` in a file of ours or an official one, of whatever task.

    Raises:
        CheckpointError: there is none in it, or names are unexpected.
    """
    state = unwrapped(checkpoint)
    marker = "patch_embed.proj.weight"
    prefix = next((name[: -len(marker)] for name in state if name.endswith(marker)), None)
    if prefix is None:
        return convert_encoder(state)
    own = ("patch_embed.", "stages.")
    found = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    return {name: value for name, value in found.items() if name.startswith(own)}


def unwrapped(checkpoint: Mapping[str, Any]) -> StateDict:
    """The named tensors of a file, without ``state_dict`` around them and ``module.`` before them.

    Example:
        >>> list(unwrapped({"state_dict": {"module.mask_token": torch.ones(1)}, "epoch": 3}))
        ['mask_token']
    """
    inner = checkpoint.get("state_dict")
    state = inner if isinstance(inner, Mapping) else checkpoint
    return {name.removeprefix("module."): v for name, v in state.items() if isinstance(v, Tensor)}


def _downstream(system: str, official: Mapping[str, Any], rules: tuple) -> StateDict:
    base = re.compile(r"^base\.")
    state = {base.sub("", name): value for name, value in unwrapped(official).items()}
    optional = {"criterion.weight"} & set(state)
    wanted = tuple(rule for rule in rules if rule[0] != "criterion.weight" or optional)
    rules = (*_below(_ENCODER, "encoder."), *_DECODER, *_FINEST_SKIP, *wanted)
    return Renaming(system, rules)(_staged(_without_tables(state)))


def _below(rules: tuple[tuple[str, str], ...], ours: str) -> list[tuple[str, str]]:
    return [(pattern, ours + replacement) for pattern, replacement in rules]


def _staged(state: StateDict) -> StateDict:
    """Names with the merging of patches, officially number 0 of a later stage, apart from the blocks."""
    return {re.sub(r"^stages\.(\d+)\.(\d+)\.", _place, name): value for name, value in state.items()}


def _place(match: re.Match) -> str:
    stage, number = int(match[1]), int(match[2])
    if stage == 0:
        return f"stages.0.blocks.{number}."
    return f"stages.{stage}.merge." if number == 0 else f"stages.{stage}.blocks.{number - 1}."


def _without_tables(state: StateDict) -> StateDict:
    """The state without what follows from the network, after a look that it does."""
    kept = {}
    for name, value in state.items():
        if name.endswith(_INDEX):
            _check_index(name, value, state)
        elif name == "pos_embed":
            _check_positions(value)
        else:
            kept[name] = value
    return kept


def _check_index(name: str, value: Tensor, state: StateDict) -> None:
    rows = state[name.replace(_INDEX, "relative_position_bias_table")].shape[0]
    side = round(len(value.flatten()) ** (1 / 6))  # of a cubic window of side ** 3 tokens
    cubic = (2 * side - 1) ** 3 == rows
    if cubic and not torch.equal(value.flatten().cpu(), relative_index((side,) * 3).flatten()):
        raise CheckpointError(f"{name} orders relative positions in a way that is not NeRF-MAE's")


def _check_positions(value: Tensor) -> None:
    """The table of the file must be the one that is computed here."""
    table = position_table(tuple(value.shape[1:4]), value.shape[-1])
    if not torch.allclose(value[0].float().cpu(), table, atol=1e-4):
        raise CheckpointError(
            "the position table pos_embed of the checkpoint is not NeRF-MAE's fixed one of sines and cosines"
        )
