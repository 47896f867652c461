"""ViT-CoMer and its plain baseline (Traffic-X/ViT-CoMer) -> ``ViTCoMer`` and ``RescaledPyramid``.

Detection, segmentation and the BEiT variant of the Co-DETR branch, as whole detectors or backbones alone.
What the official network holds but never runs is dropped: the feature pyramid (MRFP) of a stage without an
exchange towards the ViT, the outer norms of an exchange without interaction.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

from dense3d.checkpoints.vit_layout import (
    BLOCK_RULES,
    StateDict,
    fold_prefix_positions,
    rename,
    unwrapped,
)

_VIT_RULES = (
    (r"(pos_embed)", r"vit.\1"),
    (r"(blocks\.\d+)\.gamma_?([12])", r"vit.\1.ls\2.gamma"),
    (r"(blocks\.\d+\.attn\.[qv]_bias)", r"vit.\1"),
    (r"(blocks\.\d+\.attn)\.relative_position_bias_table", r"vit.\1.relative_bias.table"),
    (r"blocks\.(\d+)\.residual\.(conv[123]|norm[123])\.(weight|bias)", r"vit.residuals.\1.\2.\3"),
)
_VIT_REQUIRED = (
    (r"(patch_embed\.proj\.(?:weight|bias))", r"vit.\1"),
    *((pattern, rf"vit.{ours}") for pattern, ours in BLOCK_RULES),
)
_STATISTICS = r"(weight|bias|running_mean|running_var|num_batches_tracked)"
_PAIR = r"(weight|bias)"
_COMER_REQUIRED = (
    (r"level_embed", "level_embed"),
    (rf"(spm\..+\.{_STATISTICS})", r"\1"),
    (rf"up\.{_PAIR}", r"up.\1"),
    (rf"norm1\.{_STATISTICS}", r"norms.0.\1"),
    (rf"norm2\.{_STATISTICS}", r"norms.1.\1"),
    (rf"norm3\.{_STATISTICS}", r"norms.2.\1"),
    (rf"norm4\.{_STATISTICS}", r"norms.3.\1"),
)
_UNUSED = (
    r"cls_token",
    r"norm\.(weight|bias)",
    r"(.*\.)?relative_position_index",
    r"mask_token",
    r"head\..*",
)
# names of the Co-DETR branch -> those of the main branch
_BRANCH_NAMES = {
    ".injector.": ".cti_tov.",
    ".extractor.": ".cti_toc.",
    ".extra_extractors.": ".extra_CTIs.",
    ".multiconv.": ".mrfp.",
}


def convert(official: Mapping[str, Tensor]) -> StateDict:
    """Convert a state dict of ViT-CoMer.

    Raises:
        CheckpointError: names are missing or unexpected.
    """
    official = _main_names(unwrapped(official))
    rules = (*_VIT_RULES, *_interaction_rules(official))
    dropped = (*_UNUSED, *_never_run(official))
    state = rename("vit-comer", official, rules, dropped, required=(*_VIT_REQUIRED, *_COMER_REQUIRED))
    return _fold(state)


def convert_baseline(official: Mapping[str, Tensor]) -> StateDict:
    """Convert a state dict of the repository's ``ViTBaseline``.

    Raises:
        CheckpointError: names are missing or unexpected.
    """
    pyramid = (
        *((rf"norm{k + 1}\.{_PAIR}", rf"norms.{k}.\1") for k in range(4)),
        (rf"up1\.([013])\.{_PAIR}", r"up4.\1.\2"),
        (rf"up2\.{_PAIR}", r"up2.\1"),
    )
    required = (*_VIT_REQUIRED, *pyramid)
    return _fold(rename("vit-baseline", unwrapped(official), _VIT_RULES, _UNUSED, required))


def _fold(state: StateDict) -> StateDict:
    inside = {name.removeprefix("vit."): v for name, v in state.items() if name.startswith("vit.")}
    folded = fold_prefix_positions(inside, "vit-comer")
    added = {name: v for name, v in state.items() if not name.startswith("vit.")}
    return {f"vit.{name}": value for name, value in folded.items()} | added


def _main_names(official: StateDict) -> StateDict:
    state = {}
    for name, value in official.items():
        for theirs, ours in _BRANCH_NAMES.items():
            name = name.replace(theirs, ours)
        state[name] = value
    return state


def _interaction_rules(official: StateDict) -> list[tuple[str, str]]:
    """Rules for the stages; the extra exchanges stand behind the ordinary one, where there is one."""
    rules = [
        (rf"(interactions\.\d+)\.mrfp\.(fc[12])\.{_PAIR}", r"\1.mrfp.\2.\3"),
        *(
            rule
            for level in range(3)
            for rule in (
                (rf"(.+\.mrfp)\.dwconv\.dwconv{2 * level + 1}\.{_PAIR}", rf"\1.levels.{level}.conv3.\2"),
                (rf"(.+\.mrfp)\.dwconv\.dwconv{2 * level + 2}\.{_PAIR}", rf"\1.levels.{level}.conv5.\2"),
                (rf"(.+\.mrfp)\.dwconv\.bn{level + 1}\.{_STATISTICS}", rf"\1.levels.{level}.norm.\2"),
            )
        ),
    ]
    for stage in sorted(int(s) for s in _matches(r"interactions\.(\d+)\.", official)):
        prefix = f"interactions.{stage}"
        rules += _exchange_rules(rf"{prefix}\.cti_tov", f"{prefix}.to_vit")
        rules += _exchange_rules(rf"{prefix}\.cti_toc", f"{prefix}.to_cnn.0")
        ordinary = any(name.startswith(f"{prefix}.cti_toc.") for name in official)
        for extra in sorted(int(e) for e in _matches(rf"{prefix}\.extra_CTIs\.(\d+)\.", official)):
            rules += _exchange_rules(rf"{prefix}\.extra_CTIs\.{extra}", f"{prefix}.to_cnn.{extra + ordinary}")
    return rules


def _exchange_rules(theirs: str, ours: str) -> list[tuple[str, str]]:
    attention = rf"attn\.(sampling_offsets|attention_weights|value_proj|output_proj)\.{_PAIR}"
    towards_vit = ours.endswith("to_vit")
    outer = ours if towards_vit else f"{ours}.interaction"
    rules = [
        (rf"{theirs}\.gamma", f"{ours}.gamma"),
        (rf"{theirs}\.(query_norm|feat_norm)\.{_PAIR}", rf"{outer}.\1.\2"),
        (rf"{theirs}\.cfinter\.(query_norm|feat_norm)\.{_PAIR}", rf"{ours}.interaction.inner_\1.\2"),
        (rf"{theirs}\.{attention}", rf"{ours}.attn.\1.\2"),
        (rf"{theirs}\.cfinter\.{attention}", rf"{ours}.interaction.attn.\1.\2"),
    ]
    for inside, target in (("", ours), (r"\.cfinter", f"{ours}.interaction")):
        rules += [
            (rf"{theirs}{inside}\.ffn_norm\.{_PAIR}", rf"{target}.ffn_norm.\1"),
            (rf"{theirs}{inside}\.ffn\.(fc[12])\.{_PAIR}", rf"{target}.ffn.\1.\2"),
            (rf"{theirs}{inside}\.ffn\.dwconv\.dwconv\.{_PAIR}", rf"{target}.ffn.conv.\1"),
        ]
    return rules


def _matches(pattern: str, names: Iterable[str]) -> set[str]:
    """What the group of the pattern is in the names that begin like it."""
    return {match.group(1) for match in (re.match(pattern, name) for name in names) if match}


def _never_run(official: StateDict) -> list[str]:
    """Patterns of what the official network holds without running it."""
    patterns = []
    for exchange in _matches(r"(.+\.(?:cti_toc|extra_CTIs\.\d+))\.query_norm", official):
        if not any(name.startswith(f"{exchange}.cfinter.") for name in official):
            patterns.append(rf"{re.escape(exchange)}\.(query_norm|feat_norm)\..*")
    for stage in _matches(r"(interactions\.\d+)\.mrfp\.", official):
        if not any(name.startswith(f"{stage}.cti_tov.") for name in official):
            patterns.append(rf"{re.escape(stage)}\.mrfp\..*")
    return patterns
