"""Golden adapter of masked autoencoders (system ``mae-vit``)."""

from __future__ import annotations

from torch import Tensor

from dense3d.layers.pixel_patches import patchify, unpatchify
from dense3d.pretraining import MaskedAutoencoder
from tests.golden.checks import Run, by_name
from tests.golden.kit import GoldenKit
from tests.golden.notes import stated_block
from tests.golden.options import Options, square
from tests.golden.weights import load_kit

# argument -> default of the official constructor
_DEFAULTS = {
    "patch_size": 16,
    "in_chans": 3,
    "embed_dim": 1024,
    "depth": 24,
    "num_heads": 16,
    "decoder_embed_dim": 512,
    "decoder_depth": 8,
    "decoder_num_heads": 16,
    "mlp_ratio": 4.0,
    "norm_pix_loss": False,
    "norm_eps": 1e-6,
}


def open_kit(kit: GoldenKit) -> Run:
    """Build the model of the kit's config and load its weights."""
    model = load_kit(_build(kit.options), kit, "mae-pretrain")
    side = model.encoder.arch.table_grid
    size = model.encoder.patch_size

    def encoder(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        latent, mask, restore, _ = model.encode(inputs["image"], float(inputs["mask_ratio"]), inputs["noise"])
        return {"latent": latent, "mask": mask, "ids_restore": restore}

    def decoder(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"pred": model.decoder(inputs["latent"], inputs["ids_restore"], side)}

    def full(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        encoded = encoder(check, inputs)
        predicted = model.decoder(encoded["latent"], encoded["ids_restore"], side)
        return {"loss": model.loss(inputs["image"], predicted, encoded["mask"]), "pred": predicted} | encoded

    def loss(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        own, losses = model.norm_pix_loss, {}
        for name, normalised in (("loss", own), ("loss_plain", False), ("loss_norm", True)):
            model.norm_pix_loss = normalised
            losses[name] = model.loss(inputs["image"], inputs["pred"], inputs["mask"])
        model.norm_pix_loss = own
        return losses

    def patches(_check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        cut = patchify(inputs["image"], size)
        grid = tuple(n // size for n in inputs["image"].shape[-2:])
        return {"patches": cut, "image": unpatchify(cut, grid, size)}

    def small(check: dict, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        encoders, decoders = model.encoder.blocks, model.decoder.blocks
        encode = encoders[stated_block(kit, check, "blocks", len(encoders))]
        decode = decoders[stated_block(kit, check, "decoder_blocks", len(decoders))]
        return {"block": encode(inputs["x"]), "decoder_block": decode(inputs["y"])}

    checks = {"encoder": encoder, "decoder": decoder, "full": full, "loss": loss, "patchify": patches}
    return by_name(checks | {"small_inputs": small})


def _build(options: Options) -> MaskedAutoencoder:
    options.only("norm_layer", None)  # norm_eps says what is left of it
    config = options.take_all(_DEFAULTS)
    arch = dict(
        embed_dim=config["embed_dim"],
        depth=config["depth"],
        num_heads=config["num_heads"],
        patch_size=config["patch_size"],
        pretrain_size=square(options, "img_size", 224),
        in_channels=config["in_chans"],
        mlp_ratio=config["mlp_ratio"],
        norm_eps=config["norm_eps"],
        position="sincos",
    )
    decoder = dict(
        dim=config["decoder_embed_dim"],
        depth=config["decoder_depth"],
        num_heads=config["decoder_num_heads"],
        mlp_ratio=config["mlp_ratio"],
        norm_eps=config["norm_eps"],
    )
    return MaskedAutoencoder(dict(arch=arch), decoder, norm_pix_loss=config["norm_pix_loss"])
