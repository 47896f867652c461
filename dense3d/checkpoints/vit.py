"""DeiT, DINO, AugReg, MAE and BEiT -> ``VisionTransformer`` (``mae-pretrain``: the model for pre-training).

* DeiT as released and as timm names it: Touvron et al., "Training data-efficient image transformers", ICML
  2021 (facebookresearch/deit). The position of the class token is added to the token; a distillation token
  becomes a register. AugReg through timm has the same layout.
* DINO: Caron et al., "Emerging Properties in Self-Supervised Vision Transformers", ICCV 2021
  (facebookresearch/dino), the backbone alone or student and teacher with their heads, of which the teacher
  is taken.
* AugReg as flax saves it: Steiner et al., "How to train your ViT?", TMLR 2022 (google-research/
  vision_transformer). Names have slashes, projections a head axis, kernels the input first.
* MAE: He et al., "Masked Autoencoders Are Scalable Vision Learners", CVPR 2022 (facebookresearch/mae). Files
  that were fine-tuned with mean pooling have ``fc_norm`` instead of ``norm``: use ``final_norm=False``.
* BEiT and BEiT v2, pre-trained and fine-tuned: Bao et al., ICLR 2022; Peng et al., 2022 (microsoft/unilm). A
  table that all blocks share is copied to each; the loader resizes tables to another window.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from dense3d.checkpoints.class_heads import norm_and_linear
from dense3d.checkpoints.vit_layout import (
    BLOCK_RULES,
    EMBEDDING_RULES,
    HEADS,
    NORM_RULE,
    StateDict,
    fold_prefix_positions,
    from_transformers,
    rename,
    unwrapped,
)

_BLOCK = r"Transformer/encoderblock_(\d+)/"
_ATTENTION = _BLOCK + r"MultiHeadDotProductAttention_\d+/"
_AUGREG_RULES = (
    (r"cls", "cls_token"),
    (r"Transformer/posembed_input/pos_embedding", "pos_embed"),
    (r"embedding/(weight|bias)", r"patch_embed.proj.\1"),
    (_BLOCK + r"LayerNorm_0/(weight|bias)", r"blocks.\1.norm1.\2"),
    (_BLOCK + r"LayerNorm_2/(weight|bias)", r"blocks.\1.norm2.\2"),
    (_BLOCK + r"MlpBlock_\d+/Dense_0/(weight|bias)", r"blocks.\1.mlp.fc1.\2"),
    (_BLOCK + r"MlpBlock_\d+/Dense_1/(weight|bias)", r"blocks.\1.mlp.fc2.\2"),
    (_ATTENTION + r"qkv/(weight|bias)", r"blocks.\1.attn.qkv.\2"),
    (_ATTENTION + r"out/(weight|bias)", r"blocks.\1.attn.proj.\2"),
    (r"Transformer/encoder_norm/(weight|bias)", r"norm.\1"),
)
_DECODER_RULES = (
    (r"(mask_token)", r"decoder.\1"),
    (r"decoder_(embed|norm|pred)\.(weight|bias)", r"decoder.\1.\2"),
    (r"decoder_blocks\.(\d+\..+)", r"decoder.blocks.\1"),
    (r"decoder_pos_embed", "decoder.pos_embed"),
)
_SHARED = "rel_pos_bias.relative_position_bias_table"
_BEIT_RULES = (
    EMBEDDING_RULES[0],
    NORM_RULE,
    (r"(blocks\.\d+)\.gamma_([12])", r"\1.ls\2.gamma"),
    (r"(blocks\.\d+\.attn\.[qv]_bias)", r"\1"),
    (r"(blocks\.\d+\.attn)\.relative_position_bias_table", r"\1.relative_bias.table"),
)
_BEIT_DROPPED = (
    *HEADS,
    r"(.*\.)?relative_position_index",
    r"mask_token",
    r"fpn[1234](\..+)?",
    r"blocks\.\d+\.attn\.k_bias",
    r"cls_pt_layers\..*",
)


def convert_deit(official: Mapping[str, Tensor]) -> StateDict:
    """Convert a state dict.

    Raises:
        CheckpointError: names are missing or unexpected.
    """
    official = from_transformers(official)
    rules = (NORM_RULE, (r"dist_token", "registers"), (r"reg_token", "registers"))
    state = rename(
        "deit", unwrapped(official), rules=rules, dropped=HEADS, required=(*EMBEDDING_RULES, *BLOCK_RULES)
    )
    return fold_prefix_positions(state, "deit")


def convert_dino(official: Mapping[str, Tensor]) -> StateDict:
    """Convert a state dict.

    Raises:
        CheckpointError: names are missing or unexpected.
    """
    state = unwrapped(from_transformers(official))
    required = (*EMBEDDING_RULES, *BLOCK_RULES, NORM_RULE)
    return fold_prefix_positions(rename("dino", state, dropped=HEADS, required=required), "dino")


def convert_augreg(official: Mapping[str, Tensor]) -> StateDict:
    """Convert a state dict.

    Raises:
        CheckpointError: names are missing or unexpected.
    """
    official = {re.sub(r"^opt/target/", "", name): value for name, value in official.items()}
    state = _joined({_spelling(name): _as_torch(name, value) for name, value in official.items()})
    dropped = (*HEADS, r"(head|pre_logits)/.*")
    return fold_prefix_positions(rename("augreg", state, dropped=dropped, required=_AUGREG_RULES), "augreg")


def _spelling(name: str) -> str:
    return re.sub(r"/(kernel|scale)$", "/weight", name)


def _as_torch(name: str, value: Tensor) -> Tensor:
    """Heads flattened and axes in torch's order."""
    if "MultiHeadDotProductAttention" in name:
        if name.endswith("out/kernel"):
            return value.flatten(0, 1).t().contiguous()  # (M, d, D) -> (D, M d)
        if name.endswith("kernel"):
            return value.flatten(1).t().contiguous()  # (D, M, d) -> (M d, D)
        return value.flatten()
    if value.ndim == 4:
        return value.permute(3, 2, 0, 1).contiguous()  # (p, p, C, D) -> (D, C, p, p)
    if name.endswith("kernel"):
        return value.t().contiguous()
    return value


def _joined(state: StateDict) -> StateDict:
    """Query, key and value projections as one."""
    import torch

    joined = {name: value for name, value in state.items() if not re.search(r"/(query|key|value)/", name)}
    for name in state:
        if "/query/" in name:
            parts = [state.get(name.replace("/query/", f"/{part}/")) for part in ("query", "key", "value")]
            if all(part is not None for part in parts):
                joined[name.replace("/query/", "/qkv/")] = torch.cat(parts)
    return joined


def convert_mae(official: Mapping[str, Tensor]) -> StateDict:
    """Convert the encoder of a state dict, pre-trained or fine-tuned.

    Raises:
        CheckpointError: names are missing or unexpected.
    """
    required = (*EMBEDDING_RULES, *BLOCK_RULES)
    dropped = (*HEADS, "mask_token")
    state = rename("mae", unwrapped(from_transformers(official)), (NORM_RULE,), dropped, required)
    return fold_prefix_positions(state, "mae")


def convert_mae_pretrain(official: Mapping[str, Tensor]) -> StateDict:
    """Convert encoder and decoder for ``MaskedAutoencoder``.

    Raises:
        CheckpointError: names are missing or unexpected; files without a decoder lack some.
    """
    official = unwrapped(from_transformers(official))
    decoder = rename(
        "mae-pretrain", official, dropped=(r"(?!mask_token|decoder).*",), required=_DECODER_RULES
    )
    # the class row of the table is zero, and the class token is prepended without a position
    decoder["decoder.pos_embed"] = decoder["decoder.pos_embed"][:, 1:]
    return {f"encoder.{name}": value for name, value in convert_mae(official).items()} | decoder


def convert_beit(official: Mapping[str, Tensor]) -> StateDict:
    """Convert a state dict.

    Raises:
        CheckpointError: names are missing or unexpected.
    """
    official = _share(unwrapped(from_transformers(official)))
    state = rename("beit", official, _BEIT_RULES, _BEIT_DROPPED, required=(EMBEDDING_RULES[1], *BLOCK_RULES))
    return fold_prefix_positions(state, "beit")


def convert_beit_pyramid(official: Mapping[str, Tensor]) -> StateDict:
    """Convert the backbone of BEiT's segmentation models for ``RescaledPyramid(norm="batch")``.

    Raises:
        CheckpointError: names are missing or unexpected.
    """
    official = unwrapped(official)
    upsampling = ((r"fpn1\.(.+)", r"up4.\1"), (r"fpn2\.0\.(.+)", r"up2.\1"))
    pyramid = rename("beit-seg", official, dropped=(r"(?!fpn).*",), required=upsampling)
    return {f"vit.{name}": value for name, value in convert_beit(official).items()} | pyramid


def convert_head(official: Mapping[str, Tensor]) -> StateDict:
    """The classifier of any of the files above: ``norm``, ``head`` and, of distilled DeiT, ``head_dist``."""
    official = {re.sub(r"^opt/target/", "", name): value for name, value in official.items()}
    if "cls" in official:  # as flax saves it
        names = {"Transformer/encoder_norm/": "norm/", "head/": "head/"}
        parts = {
            ours + n.removeprefix(start): v
            for start, ours in names.items()
            for n, v in official.items()
            if n.startswith(start)
        }
        return {_spelling(n).replace("/", "."): _as_torch(n, value) for n, value in parts.items()}
    return norm_and_linear(unwrapped(from_transformers(official)))


def _share(official: StateDict) -> StateDict:
    if _SHARED not in official:
        return official
    blocks = {m.group(1) for m in (re.match(r"blocks\.(\d+)\.", name) for name in official) if m}
    own = {name: value for name, value in official.items() if name != _SHARED}
    for name in (f"blocks.{i}.attn.relative_position_bias_table" for i in blocks):
        own[name] = official[_SHARED] + own.get(name, 0)  # of both, official code adds the two
    return own
