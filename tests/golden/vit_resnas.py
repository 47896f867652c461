"""Golden adapter of ViT-ResNAS (system ``vit-resnas``)."""

from __future__ import annotations

import re

from torch import Tensor, nn

from dense3d.backbones import ViTResNAS
from dense3d.checkpoints import vit_resnas as converters
from tests.golden import UnknownCheckError
from tests.golden.checks import Run, by_name
from tests.golden.kit import GoldenKit
from tests.golden.notes import full_note
from tests.golden.options import Options, square
from tests.golden.weights import load_kit, load_strictly, tensors_of

_LINEAR, _BLOCK, _HEAD, _REDUCTION, _CONVOLUTIONS, _FLEXIBLE = range(6)  # kinds of entries of network_def


def open_kit(kit: GoldenKit) -> Run:
    """Build the network of the kit's config and its tail, and load their weights."""
    definition = kit.options.take("network_def")
    model = load_kit(_build(kit.options, definition), kit, "vit-resnas")
    classes = kit.options.take("num_classes", 1000)
    if classes != definition[-1][2]:
        raise kit.options.refusal("num_classes", classes, f"network_def has {definition[-1][2]}")
    head = model.class_head(classes)
    load_strictly(head, converters.convert_head(tensors_of(kit)), kit)
    parts = _parts(model, definition)

    def features(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {f"f{i + 1}": m for i, m in enumerate(model(inputs["image"]))}

    def embed(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"tokens": model.patch_embed(inputs["image"]).flatten(2).mT}

    def logits(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        tokens = head.norm(model.embed(inputs["image"])[:, : model.num_prefix])
        names = check["outputs"]
        second = [name for name in names if "dist" in name or "dst" in name] or names[1:]
        return {n: head.head_dist(tokens[:, 1]) if n in second else head.head(tokens[:, 0]) for n in names}

    def block(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        number = re.search(r"blocks\.(\d+)", full_note(kit, check))
        part = parts.get(int(number[1]) if number else 0)
        if part is None or part in model.reductions:
            raise UnknownCheckError(f"{check['name']}: no block of the transformer has this number")
        return {"out": part(inputs["x"])}

    def reduce(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        tokens = inputs["x"]
        index = 1 if re.search(r"\b(second|last) ", full_note(kit, check)) else 0
        side = round((tokens.shape[1] - model.num_prefix) ** 0.5)
        return {"out": model.reductions[index](tokens, (side, side))}

    return by_name({"features": features, "embed": embed, "logits": logits, "block": block, "reduce": reduce})


def _parts(model: ViTResNAS, definition: list) -> dict[int, nn.Module]:
    """Our blocks and reductions by the official numbers, which count removed blocks too."""
    stages, reductions = iter(model.stages), iter(model.reductions)
    parts, blocks, number = {}, iter(next(stages)), 0
    for kind, *rest in definition:
        if kind == _REDUCTION:
            parts[number], blocks = next(reductions), iter(next(stages))
        elif kind == _BLOCK and rest[2]:
            parts[number] = next(blocks)
        number += kind in (_REDUCTION, _BLOCK)
    return parts


def _build(options: Options, definition: list) -> ViTResNAS:
    options.neutral("drop_rate", "attn_drop_rate", "drop_path_rate")
    # of training: the head of patches, and settings of the supernet
    options.neutral("patch_output", "num_warmup_epochs", "example_per_arch", "single_arch", "hybrid_arch")
    options.only("patch_size", 14)
    options.only("supernet", False)
    options.only("num_channels_to_keep", None)
    kind, width, *middle = definition[0]
    if kind not in (_LINEAR, _CONVOLUTIONS, _FLEXIBLE):
        raise options.refusal("network_def", definition[0], "it begins with an embedding")
    dims, blocks = [width], [[]]
    for entry in definition[1:-1]:
        if entry[0] == _REDUCTION:
            dims.append(entry[2])
            blocks.append([])
        elif entry[3]:
            (_, heads, head_dim), (_, hidden) = entry[1:3]
            blocks[-1].append((heads, head_dim, hidden))
    channels = {_LINEAR: None, _CONVOLUTIONS: 24}.get(kind, *middle)
    return ViTResNAS(
        dict(dims=dims, blocks=blocks, embed_channels=channels),
        pretrain_size=square(options, "img_size", 224),
        distilled=options.take("distill_token", True),
        pyramid=False,
        output_norm=False,
        in_channels=options.take("in_chans", 3),
    )
