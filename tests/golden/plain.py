"""What the golden adapters of plain backbones share: arguments of constructors, maps, logits."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from dense3d.backbones.plain import PlainBackbone
from dense3d.checkpoints import convert, convert_head
from dense3d.layers.patch_embed import tokens_to_map
from tests.golden.checks import Rule
from tests.golden.kit import GoldenKit
from tests.golden.options import Options
from tests.golden.weights import load_strictly, tensors_of

# of training alone
_NEUTRAL = ("drop_rate", "attn_drop_rate", "drop_path_rate", "pos_drop_rate", "proj_drop_rate")


def plain_architecture(
    options: Options, norm_eps: float = 1e-6, qkv_bias: bool = False, mlp_ratio: float = 4.0
) -> dict:
    """Attributes without the tables' that official constructors call the same, with the defaults given."""
    options.neutral(*_NEUTRAL)
    options.only("norm_layer", None)  # norm_eps says what is left of it
    return dict(
        depth=options.take("depth", 12),
        patch_size=options.take("patch_size", 16),
        in_channels=options.take("in_chans", 3),
        mlp_ratio=options.take("mlp_ratio", mlp_ratio),
        qkv_bias=options.take("qkv_bias", qkv_bias),
        qk_scale=options.take("qk_scale", None) or None,
        norm_eps=options.take("norm_eps", norm_eps),
    )


def image_size(options: Options, default: int = 224) -> int | tuple[int, ...]:
    """Side of the images, or rows and columns; a list of one number is a side."""
    size = options.take("img_size", default)
    if isinstance(size, int):
        return size
    return size[0] if len(size) == 1 else tuple(size)


def load(kit: GoldenKit, backbone: nn.Module, system: str) -> tuple[nn.Module, nn.Module]:
    """The backbone with the kit's weights, and the official head on it with the kit's."""
    official = tensors_of(kit)
    classes = kit.options.take("num_classes", 1000)
    head_state = convert_head(system, official)
    backbone = load_strictly(backbone, backbone.adapt(convert(system, official)), kit)
    head = load_strictly(backbone.class_head(classes), head_state, kit)
    return backbone, head


def encoded(backbone: PlainBackbone, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """Tokens behind all blocks and the grid, of images that are not padded."""
    tokens, grid = backbone.embed(images)
    return backbone.run_blocks(tokens, grid), grid


def plain_rules(backbone: PlainBackbone, head: nn.Module) -> Mapping[str, Rule]:
    """``features``: class token and map after the final norm; ``logits``."""

    def features(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        tokens, grid = encoded(backbone, inputs["image"])
        tokens = backbone.normalise(tokens)
        return {
            "cls": tokens[:, 0],
            "f1": tokens_to_map(tokens[:, backbone.num_prefix :], grid),
            "tokens": tokens,
        }

    def logits(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"logits": head(encoded(backbone, inputs["image"])[0])}

    return {"features": features, "logits": logits}
