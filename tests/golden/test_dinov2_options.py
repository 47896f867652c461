"""DINOv2's constructor arguments that no public kit has: kits of a plain reading of the formulas."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.golden import verify_kit
from tests.golden.kit import GoldenKit
from tests.golden.make import write_kit
from tests.golden.test_dinov3_options import Reference, arrays

SIDE = 4  # patches


class ReferenceV2(Reference):
    """Learned positions, which only class token and patches have; registers between the two."""

    def __init__(self, **config) -> None:
        self.official = dict(img_size=4 * SIDE, patch_size=4, embed_dim=32, depth=2, num_heads=2) | config
        super().__init__(
            ffn_ratio=config.get("mlp_ratio", 4.0),
            layerscale_init=config.get("init_values") or None,
            n_storage_tokens=config.get("num_register_tokens", 0),
            ffn_layer="swiglu" if "swiglu" in config.get("ffn_layer", "") else "mlp",
            **{name: config.get(name, True) for name in ("qkv_bias", "ffn_bias", "proj_bias")},
        )
        del self.state["rope_embed.periods"]

    def shapes(self):
        gates: dict[str, tuple] = {}
        for name, shape in super().shapes():
            name = name.replace("storage_tokens", "register_tokens")
            if ".mlp.w1." in name:
                gates[name.replace("w1", "w12")] = (2 * shape[0], *shape[1:])
            elif ".mlp.w2." not in name:
                yield name, shape
        yield from gates.items()
        yield "pos_embed", (1, 1 + SIDE**2, self.dim)

    def attention(self, block: str, x: Tensor, _grid: tuple[int, int]) -> Tensor:
        qkv = self.linear(f"{block}attn.qkv", x).chunk(3, -1)
        q, k, v = (t.unflatten(-1, (-1, self.head_dim)).transpose(1, 2) for t in qkv)
        weights = (q @ k.mT / self.head_dim**0.5).softmax(-1)
        return self.linear(f"{block}attn.proj", (weights @ v).transpose(1, 2).flatten(2))

    def feed_forward(self, block: str, x: Tensor) -> Tensor:
        if self.config["ffn_layer"] == "mlp":
            return super().feed_forward(block, x)
        gate, value = self.linear(f"{block}mlp.w12", x).chunk(2, -1)
        return self.linear(f"{block}mlp.w3", gate * gate.sigmoid() * value)

    def tokens(self, image: Tensor) -> Tensor:
        weight, bias = (self.state[f"patch_embed.proj.{name}"] for name in ("weight", "bias"))
        patches = F.conv2d(image, weight, bias, stride=4).flatten(2).transpose(1, 2)
        x = torch.cat([self.state["cls_token"], patches], dim=1) + self.state["pos_embed"]
        registers = self.state.get("register_tokens", x[:, :0])
        return torch.cat([x[:, :1], registers, x[:, 1:]], dim=1)

    def features(self, image: Tensor) -> dict[str, Tensor]:
        x = self.tokens(image)
        for index in range(self.config["depth"]):
            x = self.block(index, x, (SIDE, SIDE))
        normed = self.norm("norm", x)
        found = {"cls": normed[:, 0], "patch": normed[:, self.prefix :], "prenorm": x}
        return found | ({"registers": normed[:, 1 : self.prefix]} if self.prefix > 1 else {})

    def kit(self, folder) -> GoldenKit:
        """A kit of whole features, the tokens before them and the second block."""
        image, x = torch.randn(1, 3, 4 * SIDE, 4 * SIDE), torch.randn(1, 7, self.dim)
        checks = [
            ("features", {"image": image}, self.features(image), ""),
            ("tokens", {"image": image}, {"tokens": self.tokens(image)}, ""),
            ("block0", {"x": x}, {"x": self.block(1, x, (1, 1))}, "blocks.1 on tokens"),
        ]
        rows = [
            dict(name=name, inputs=arrays(a), outputs=arrays(b), note=note, rtol=1e-4, atol=2e-5)
            for name, a, b, note in checks
        ]
        write_kit(
            folder, {"system": "dinov2", "source": {}, "config": self.official}, arrays(self.state), rows
        )
        return GoldenKit(folder)


@pytest.mark.parametrize(
    "options",
    [
        {},
        dict(init_values=1e-5, num_register_tokens=3, block_chunks=0),
        dict(init_values=0, mlp_ratio=2.5),
        dict(ffn_layer="swiglu", ffn_bias=False),
        dict(ffn_layer="swiglufused", qkv_bias=False, proj_bias=False, num_register_tokens=1),
        dict(drop_path_rate=0.3, drop_path_uniform=True, interpolate_antialias=True, interpolate_offset=0.0),
    ],
    ids=lambda options: " ".join(options) or "defaults",
)
def test_options(tmp_path, options):
    torch.manual_seed(0)
    rows = verify_kit(ReferenceV2(**options).kit(tmp_path).folder)
    assert len(rows) >= 5
    assert [str(row) for row in rows if not row.passed] == []
