"""What the converters of plain vision transformers share: names of blocks, positions of prefix tokens."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from dense3d.checkpoints.renaming import Renaming
from dense3d.errors import CheckpointError

StateDict = dict[str, Tensor]

EMBEDDING_RULES = (
    (r"(cls_token|pos_embed)", r"\1"),
    (r"(patch_embed\.proj\.(?:weight|bias))", r"\1"),
)
BLOCK_RULES = (
    (r"(blocks\.\d+\.norm[12]\.(?:weight|bias))", r"\1"),
    (r"(blocks\.\d+\.attn\.(?:qkv|proj)\.(?:weight|bias))", r"\1"),
    (r"(blocks\.\d+\.mlp\.fc[12]\.(?:weight|bias))", r"\1"),
)
NORM_RULE = (r"(norm\.(?:weight|bias))", r"\1")
HEADS = (r"(head|head_dist|fc_norm|pre_logits|decoder\w*|lm_head)(\.\w+)*",)


def unwrapped(official: Mapping[str, Tensor], marker: str = "patch_embed.proj.weight") -> StateDict:
    """The part of a checkpoint that holds the network, without the prefixes of what held it.

    Args:
        official: names and tensors.
        marker: a name that the network has; what stands in front of it is the prefix.
    """
    for wrapper in ("teacher", "model", "state_dict", "module"):
        official = official[wrapper] if isinstance(official.get(wrapper), Mapping) else official
    prefix = next((name[: -len(marker)] for name in official if name.endswith(marker)), "")
    return {name.removeprefix(prefix): value for name, value in official.items() if name.startswith(prefix)}


def rename(
    system: str,
    official: Mapping[str, Tensor],
    rules: tuple[tuple[str, str], ...] = (),
    dropped: tuple[str, ...] = (),
    required: tuple[tuple[str, str], ...] = (),
) -> StateDict:
    """Apply rules of which some may match nothing; those in ``required`` must match.

    Raises:
        CheckpointError: names are unexpected, or a required one is missing.
    """
    needed = Renaming(system, (*required, *rules), dropped, required=False)(official)
    for pattern, _ in required:
        if not any(re.fullmatch(pattern, name) for name in official):
            raise CheckpointError(f"this is no official {system} checkpoint: no name like {pattern}")
    return needed


def fold_prefix_positions(state: StateDict, system: str) -> StateDict:
    """Add the position of each prefix token to the token, so that ``pos_embed`` has patches only.

    ``cls_token`` comes first, then ``registers``; a table with a row for the class token alone leaves
    registers without a position.

    Raises:
        CheckpointError: the table has neither a square number of patches nor one more or one a prefix token.
    """
    table = state.get("pos_embed")
    if table is None:
        return state
    registers = state.get("registers")
    counts = dict.fromkeys((0, 1, 1 + (0 if registers is None else registers.shape[1])))
    rows = table.shape[1]
    count = next((c for c in counts if round((rows - c) ** 0.5) ** 2 == rows - c), None)
    if count is None:
        raise CheckpointError(
            f"the {rows} positions of the {system} checkpoint are no square grid of patches"
        )
    state = dict(state, pos_embed=table[:, count:])
    if count and "cls_token" in state:
        state["cls_token"] = state["cls_token"] + table[:, :1]
    if count > 1:
        state["registers"] = registers + table[:, 1:count]
    return state


def split_fused_gate(state: StateDict) -> StateDict:
    """``mlp.w12`` of DINOv2's SwiGLU into ``w1`` and ``w2``."""
    split: StateDict = {}
    for name, value in state.items():
        if ".mlp.w12." in name:
            for part, half in zip(("w1", "w2"), value.chunk(2)):
                split[name.replace("w12", part)] = half.clone()
        else:
            split[name] = value
    return split
