"""Official CCNeXt checkpoints (``encoder.pth`` and ``decoder.pth``, or both in one) ->
``dense3d.stereo.ccnext``.

The official decoder keeps its modules in one list: skip blocks of levels 4, 3, 2, then the convolutions of
each branch from level 4 to 0, then the heads, scale by scale and branch by branch. Whose decoder it is, of
one image or of both, is seen by the number of mixing convolutions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch

from dense3d.checkpoints.renaming import Renaming
from dense3d.errors import CheckpointError

StateDict = dict[str, torch.Tensor]
_PARTS = dict(Q="query", K="key", V="value", W="output", g="inner")
_LEVELS = (4, 3, 2, 1, 0)
_ENCODER_RULES = (
    (r"encoder\.stem_0\.(.+)", r"encoder.stem.\1"),
    (r"encoder\.(stem_1|stages_[0-3])\.(.+)", r"encoder.backbone.body.\1.\2"),
    *(
        (rf"ca_{n}\.{theirs}\.(.+)", rf"encoder.attentions.{n - 1}.{_PARTS[theirs]}.\1")
        for n in (1, 2, 3)
        for theirs in "QKVW"
    ),
)


def convert(official: Mapping[str, torch.Tensor]) -> StateDict:
    """Rename an official state dict, with the branches that it has.

    Raises:
        CheckpointError: one of the two files is absent, or names do not fit; the message lists them.
    """
    encoder = {n: v for n, v in official.items() if n.startswith(("encoder.", "ca_"))}
    decoder = {n: v for n, v in official.items() if n.startswith(("decoder.", "middle."))}
    unknown = sorted(set(official) - set(encoder) - set(decoder))
    if unknown:
        raise CheckpointError(
            f"this is no official CCNeXt checkpoint: it has {', '.join(unknown[:10])}, which belongs neither "
            "to an encoder (encoder.*, ca_*) nor to a decoder (decoder.*, middle.*)"
        )
    for part, name in ((encoder, "encoder"), (decoder, "decoder")):
        if not part:
            raise CheckpointError(
                f"the {name}'s weights are absent: official CCNeXt checkpoints are two files, so give both "
                "(dense3d convert ccnext encoder.pth decoder.pth OUT)"
            )
    rules = _decoder_rules(decoder)
    converted = Renaming("CCNeXt encoder", _ENCODER_RULES)(encoder)
    return converted | Renaming("CCNeXt decoder", rules)(decoder)


def convert_single(official: Mapping[str, torch.Tensor]) -> StateDict:
    """:func:`convert`, without the branch of the second image.

    Raises:
        CheckpointError: as there.
    """
    return {name: v for name, v in convert(official).items() if not name.startswith("decoder.branches.1.")}


def _decoder_rules(decoder: Mapping[str, torch.Tensor]) -> list[tuple[str, str]]:
    mixers = {name for name in decoder if re.fullmatch(r"middle\.\d+\.weight", name)}
    if len(mixers) not in (5, 10):
        raise CheckpointError(
            f"a CCNeXt decoder has 5 mixing convolutions (middle.*), or 10 for both images, not {len(mixers)}"
        )
    branches = len(mixers) // 5
    rules = [
        (rf"middle\.{branches * level + branch}\.weight", f"decoder.branches.{branch}.mixers.{level}.weight")
        for level in range(5)
        for branch in range(branches)
    ]
    for index, level in enumerate((4, 3, 2)):
        rules += [
            (rf"decoder\.{index}\.{part}\.(.+)", rf"decoder.skips.{level}.{_PARTS[part]}.\1") for part in "gW"
        ]
    for branch in range(branches):
        for place, level in enumerate(_LEVELS):
            for step, ours in enumerate(("reducers", "fusers")):
                index = 3 + 10 * branch + 2 * place + step
                rules.append(
                    (rf"decoder\.{index}\.conv\.conv\.(.+)", rf"decoder.branches.{branch}.{ours}.{level}.\1")
                )
    return rules + _head_rules(decoder, branches)


def _head_rules(decoder: Mapping[str, torch.Tensor], branches: int) -> list[tuple[str, str]]:
    """A head's scale is known by its channels: those of the decoder at that level."""
    first = 3 + 10 * branches
    widths = {}
    for level in range(4):
        name = f"decoder.{3 + 2 * (4 - level)}.conv.conv.bias"
        if name in decoder:
            widths[len(decoder[name])] = level
    heads = sorted(
        int(match[1]) for name in decoder if (match := re.fullmatch(r"decoder\.(\d+)\.conv\.weight", name))
    )
    rules = []
    for index in heads:
        channels = decoder[f"decoder.{index}.conv.weight"].shape[1]
        if index < first or channels not in widths:
            raise CheckpointError(
                f"decoder.{index}.conv.weight reads {channels} channels, which no level of this decoder has"
            )
        branch = (index - first) % branches
        rules.append(
            (rf"decoder\.{index}\.conv\.(.+)", rf"decoder.branches.{branch}.heads.{widths[channels]}.\1")
        )
    return rules
