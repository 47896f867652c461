"""Golden adapter of Activator (system ``activator``), with and without MLP."""

from __future__ import annotations

from torch import Tensor

from dense3d.backbones import Activator
from dense3d.checkpoints import convert
from dense3d.checkpoints.activator import convert_head
from tests.golden.checks import Run, by_name
from tests.golden.kit import GoldenKit
from tests.golden.notes import stated_block
from tests.golden.weights import load_strictly, tensors_of


def open_kit(kit: GoldenKit) -> Run:
    """Build the kit's network and its classifier with its weights."""
    official, take = tensors_of(kit), kit.options.take
    kit.options.neutral("image", "num_classes", "dropout", "image_size")
    depth, dim, hidden_dim = take("num_layers"), take("d_model"), take("d_ffn")
    model = Activator(
        dict(dims=(dim,), hidden_dims=(hidden_dim,), depths=(depth,)),
        mlp=kit.options.agree("mlp", "model.0.ffn.net.0.weight" in official),
        patch_size=take("patch_size"),
        in_channels=official["patcher.weight"].shape[1],
    )
    load_strictly(model, convert("activator", official), kit)
    head = load_strictly(model.class_head(len(official["classifier.bias"])), convert_head(official), kit)

    def embed(image: Tensor) -> Tensor:
        size = model.patch_size  # pixels beyond the last whole patch are not seen there
        return model.embed(image[..., : image.shape[-2] // size * size, : image.shape[-1] // size * size])

    def block(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        module = model.blocks(0)[stated_block(kit, check, "model", depth)]
        tokens = inputs["tokens"]
        mapped = module(tokens.transpose(1, 2)[:, :, None])  # (B, C, 1, N)
        return {"unit": module.unit(tokens), "block": mapped[:, :, 0].transpose(1, 2)}

    return by_name(
        {
            "tokens": lambda _, x: {"tokens": embed(x["image"]).flatten(2).transpose(1, 2)},
            "logits": lambda _, x: {"logits": head(embed(x["image"]))},
            "block": block,
        }
    )
