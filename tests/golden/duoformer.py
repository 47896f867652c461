"""Golden adapter of DuoFormer (system ``duoformer``)."""

from __future__ import annotations

from torch import Tensor

from dense3d.backbones import DuoFormer
from dense3d.backbones.duoformer import ARCHITECTURES
from dense3d.checkpoints import duoformer as converters
from tests.golden.checks import Run, by_name
from tests.golden.kit import GoldenKit
from tests.golden.notes import stated_numbers
from tests.golden.options import Options
from tests.golden.weights import load_kit, load_strictly, tensors_of

# the last three have weights of histology in the same network
_RESNETS = {"r18": "r18", "r50": "r50", "r50_Swav": "r50", "r50_BT": "r50", "r50_MoCoV2": "r50"}


def open_kit(kit: GoldenKit) -> Run:
    """Build the network of the kit's config and its tail, and load their weights."""
    model = load_kit(_build(kit.options), kit, "duoformer")
    head = model.class_head(kit.options.take("num_classes", 2))
    load_strictly(head, converters.convert_head(tensors_of(kit)), kit)

    def features(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        regions = model(inputs["image"])[-1]
        return {"f1": regions, "patch": head.tokens(regions)}

    def tokens(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        x, maps = model.stem(inputs["image"])[0], []
        for index in range(4):
            x = getattr(model.resnet, f"layer{index + 1}")(x)
            maps.append(x)
        return {"tokens": model.region_sequences(maps)}

    def logits(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"logits": head(model.embed(inputs["image"]))}

    def part(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        number = (stated_numbers(kit, check, r"scaleBlocks\.(\d+)") or [0])[0]
        block = model.scale_blocks[number]
        module = block.attn if check["name"].startswith("mixer") else block
        x = inputs["x"]  # (B, regions, S, D)
        return {"out": module(x.flatten(0, 1)).view_as(x)}

    return by_name({"features": features, "tokens": tokens, "logits": logits, "block": part, "mixer": part})


def _build(options: Options) -> DuoFormer:
    take = options.take
    options.neutral("freeze_backbone", "proj_drop_rate", "pretrained")
    options.neutral("patch_attn", "init_values")  # read by nothing that runs
    options.only("num_patches", 49)
    options.only("attn_drop_rate", 0.0)  # it would switch on norms of queries and keys there
    dim = take("embed_dim", 768)
    options.only("proj_dim", dim)
    arch = dict(
        ARCHITECTURES[options.choose("backbone", _RESNETS, "r50")],
        embed_dim=dim,
        depth=take("depth"),
        num_heads=take("num_heads", 12),
    )
    return DuoFormer(
        arch,
        scales=take("num_layers", 4),
        scale_token=take("scale_token", "random"),
        mlp_ratio=take("mlp_ratio", 4.0),
    )
