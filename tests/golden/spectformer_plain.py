"""Golden adapter of the plain SpectFormer (system ``spectformer``, vanilla architecture)."""

from __future__ import annotations

import re

from torch import nn

from dense3d.backbones import PlainSpectFormer
from dense3d.checkpoints import convert
from dense3d.checkpoints.spectformer_plain import convert_head
from tests.golden.checks import Run, by_name
from tests.golden.kit import GoldenKit
from tests.golden.options import square
from tests.golden.weights import load_strictly, tensors_of


def open_kit(kit: GoldenKit) -> Run:
    """Build the network with the kit's weights."""
    options, official = kit.options, tensors_of(kit)
    options.neutral("uniform_drop", "drop_rate", "drop_path_rate", "dropcls")
    options.only("representation_size", None)
    options.only("norm_layer", None)
    model = PlainSpectFormer(
        dict(
            embed_dim=options.take("embed_dim", 768),
            depth=options.take("depth", 12),
            num_heads=options.take("attention_heads", 6),
            mlp_ratio=options.take("mlp_ratio", 4.0),
            patch_size=options.take("patch_size", 16),
            pretrain_size=square(options, "img_size", 224),
            in_channels=options.take("in_chans", 3),
            norm_eps=options.take("norm_eps", 1e-6),
        ),
        spectral_blocks=options.take("spectral_blocks", 4),
    )
    head = model.class_head(options.take("num_classes", 1000))
    load_strictly(model, convert("spectformer-plain", official), kit)
    load_strictly(head, convert_head(official), kit)
    grid = model.arch.table_grid

    def block(check: dict) -> nn.Module:
        return model.blocks[int(re.search(r"block (\d+)", check["note"])[1])]

    return by_name(
        {
            "features": lambda _, x: {"f1": model(x["image"])[0]},
            "logits": lambda _, x: {"logits": head(model.encode(x["image"]))},
            "mixer": lambda check, x: {
                "y": block(check).filter(x["tokens"].unflatten(1, grid)).flatten(1, 2)
            },
            "block": lambda check, x: {"y": block(check)(x["tokens"], grid)},
        }
    )
