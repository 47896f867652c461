"""RMT checkpoints -> :class:`dense3d.backbones.RMT`; PPMA has kept RMT's names, see ``ppma``.

One linear layer gives queries, keys and values here. A rotation turns channels 2i and 2i + 1 of a head there
and i and i + d / 2 here: the rows of queries and keys are in that order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from dense3d.checkpoints.renaming import Renaming
from dense3d.errors import CheckpointError

_BLOCK = r"layers\.(\d+)\.blocks\.(\d+)\."
_OURS = r"layers.\1.blocks.\2."
_LAYER = r"(weight|bias)"
_BATCH_NORM = r"(weight|bias|running_mean|running_var|num_batches_tracked)"

PYRAMID_RULES = (
    (rf"patch_embed\.proj\.(\d+)\.{_BATCH_NORM}", r"patch_embed.\1.\2"),
    (_BLOCK + rf"pos\.conv\.{_LAYER}", _OURS + r"pos.\3"),
    (_BLOCK + rf"retention_layer_norm\.{_LAYER}", _OURS + r"norm1.\3"),
    (_BLOCK + rf"retention\.qkv\.{_LAYER}", _OURS + r"attn.qkv.\3"),
    (_BLOCK + rf"retention\.lepe\.conv\.{_LAYER}", _OURS + r"attn.lepe.\3"),
    (_BLOCK + rf"retention\.out_proj\.{_LAYER}", _OURS + r"attn.proj.\3"),
    (_BLOCK + r"gamma_([12])", _OURS + r"ls\3.gamma"),
    (_BLOCK + rf"final_layer_norm\.{_LAYER}", _OURS + r"norm2.\3"),
    (_BLOCK + rf"ffn\.(fc[12])\.{_LAYER}", _OURS + r"mlp.\3.\4"),
    (_BLOCK + rf"ffn\.dwconv\.conv\.{_LAYER}", _OURS + r"mlp.conv.\3"),
    (rf"layers\.(\d+)\.downsample\.(reduction|norm)\.{_BATCH_NORM}", r"layers.\1.downsample.\2.\3"),
)
CLASSIFIER = (r"(proj|norm|head|aux_head)\..*",)
ANGLE = r"layers\.\d+\.Relpos\.angle"

_renaming = Renaming(
    "RMT",
    (
        *PYRAMID_RULES,
        (r"layers\.(\d+)\.Relpos\.decay", r"layers.\1.decay"),
        (rf"extra_norms\.(\d+)\.{_LAYER}", r"norm\1.\2"),
    ),
    dropped=(*CLASSIFIER, ANGLE),
    required=False,
)


def convert(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The layout of classification and dense prediction; a classifier's layers are left out.

    Raises:
        CheckpointError: a name is not RMT's.
    """
    return convert_pyramid(official, _renaming)


def convert_head(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The classifier of an official file, for ``class_head`` of the backbone; empty where there is none."""
    return {name: value for name, value in official.items() if re.fullmatch(CLASSIFIER[0], name)}


def convert_pyramid(official: Mapping[str, Tensor], renaming: Renaming) -> dict[str, Tensor]:
    """Join projections, rename by rules of the joined names, and flatten layer scales.

    Raises:
        CheckpointError: a name is unknown, or a projection or the angles of a stage are missing.
    """
    converted = renaming(_join_projections(official))
    return {n: v.flatten() if n.endswith(".gamma") else v for n, v in converted.items()}


def _join_projections(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    joined = dict(official)
    for name in official:
        match = re.fullmatch(rf"(layers\.\d+)(\..*)\.q_proj\.{_LAYER}", name)
        if match is None:
            continue
        stage, block, last = match.groups()
        names = [f"{stage}{block}.{part}_proj.{last}" for part in "qkv"]
        angle = f"{stage}.Relpos.angle"
        absent = [needed for needed in (*names, angle) if needed not in official]
        if absent:
            raise CheckpointError(f"this checkpoint has {name}, but no {absent[0]}: take the whole file")
        query, key, value = (joined.pop(n) for n in names)
        turned = [halves_of_pairs(part, len(official[angle])) for part in (query, key)]
        joined[f"{stage}{block}.qkv.{last}"] = torch.cat([*turned, value])
    return joined


def halves_of_pairs(rows: Tensor, head_dim: int) -> Tensor:
    """Rows ``(heads * head_dim, ...)`` with the even ones of each head before its odd ones.

    Example:
        >>> halves_of_pairs(torch.arange(8), 4).tolist()
        [0, 2, 1, 3, 4, 6, 5, 7]
    """
    order: Sequence[int] = [*range(0, head_dim, 2), *range(1, head_dim, 2)]
    return rows.unflatten(0, (-1, head_dim))[:, order].flatten(0, 1)
