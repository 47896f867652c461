"""Golden adapter of the hierarchical SpectFormer and of SVT: classifiers of images of 224 pixels."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from dense3d.backbones import SVT, SpectFormer
from dense3d.checkpoints import convert
from dense3d.checkpoints.spectformer import convert_head
from tests.golden.checks import Run, by_name
from tests.golden.kit import GoldenKit
from tests.golden.options import square
from tests.golden.weights import load_strictly, tensors_of

NORMS = "LayerNorm eps 1e-6 (blocks and stage norms); stem and down-sampling norms eps 1e-5"


def open_kit(kit: GoldenKit) -> Run:
    """Build a SpectFormer with the kit's weights."""
    return _open(kit, SpectFormer)


def open_svt(kit: GoldenKit) -> Run:
    """Build an SVT with the kit's weights."""
    return _open(kit, SVT)


def _open(kit: GoldenKit, family: type[SpectFormer]) -> Run:
    options, official = kit.options, tensors_of(kit)
    options.neutral("sr_ratios", "drop_path_rate", "drop_rate", "attn_drop_rate")
    options.only("norm_layer", NORMS)
    options.only("num_stages", 4)
    model = family(
        dict(
            embed_dims=options.take("embed_dims", (64, 128, 320, 448)),
            depths=options.take("depths", (3, 4, 6, 3)),
            num_heads=options.take("num_heads", (2, 4, 10, 14)),
            mlp_ratios=options.take("mlp_ratios", (8, 8, 4, 4)),
            stem_dim=options.take("stem_hidden_dim", 32),
        ),
        pretrain_size=square(options, "image", 224),
        token_labels=options.agree("token_label", "aux_head.weight" in official),
        in_channels=options.take("in_chans", 3),
    )
    head = model.class_head(options.take("num_classes", 1000))
    load_strictly(model, convert(kit.system, official), kit)
    load_strictly(head, convert_head(official), kit)
    return by_name(_Rules(model, head).table())


class _Rules:
    """What each check runs."""

    def __init__(self, model: SpectFormer, head: torch.nn.Module) -> None:
        self.model, self.head = model, head

    def table(self) -> dict:
        """Rules by name."""
        return {
            "features": lambda _, x: {f"f{i + 1}": m for i, m in enumerate(self.model(x["image"]))},
            "logits": lambda _, x: {"logits": self.head(self._last(x["image"]))},
            "logits.plain": lambda _, x: {"logits": self._plain(x["image"])},
            "mixer": lambda _, x: {"y": self._mixer(x)},
            "block": lambda check, x: {"y": self._block(check, x)},
            "cls": lambda check, x: {"y": self._class_attention(check, x["tokens"])},
        }

    def _last(self, images: Tensor) -> Tensor:
        """The last map before its norm, ``(B, C, h, w)``."""
        x = self.model.stem(images)
        for index in range(4):
            x = self.model.stage(index, x)
        return x.permute(0, 3, 1, 2)

    def _plain(self, images: Tensor) -> Tensor:
        """Scores of the class token alone."""
        tokens = self._last(images).flatten(2).transpose(1, 2)
        return self.head.head(self.head.norm(self.head.attend(tokens))[:, 0])

    def _class_attention(self, check: dict, tokens: Tensor) -> Tensor:
        """The class token that has looked at all, and tokens behind it: as many as the note says."""
        kept = int(re.search(r"output tokens 0\.\.(\d+)", check["note"])[1]) + 1
        return self.head.attend(tokens)[:, :kept]

    def _mixer(self, x: dict[str, Tensor]) -> Tensor:
        """The first block's, of a map whose rows are alike but for a ramp."""
        rows = x["ramp"].shape[0] // x["tokens"].shape[1]
        tokens = x["tokens"].repeat(1, rows, 1) * x["ramp"][None, :, None]
        return self.model.blocks(0)[0].attn(tokens.unflatten(1, (rows, -1))).flatten(1, 2)

    def _block(self, check: dict, x: dict[str, Tensor]) -> Tensor:
        """The block that the note names (``block3.0``, of the third stage), on a map of the given size."""
        stage, number = re.search(r"block(\d)\.(\d+)", check["note"]).groups()
        tokens = x["tokens"].unflatten(1, x["hw"].tolist())
        return self.model.blocks(int(stage) - 1)[int(number)](tokens).flatten(1, 2)
