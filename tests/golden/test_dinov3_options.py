"""DINOv3's constructor arguments that no public kit has: kits of a plain reading of the formulas."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.errors import DataError
from tests.golden import open_kit, verify_kit
from tests.golden.kit import GoldenKit, seeded_array
from tests.golden.make import write_kit

SIZES = dict(patch_size=4, embed_dim=32, depth=2, num_heads=2, ffn_ratio=3.0, pos_embed_rope_dtype="fp32")
GRID = (3, 5)
EPS = {"layernorm": 1e-6, "layernormbf16": 1e-5, "rmsnorm": 1e-5}


class Reference:
    """The published network, written down from its description, on official names."""

    def __init__(self, **config) -> None:
        defaults = dict(
            pos_embed_rope_base=100.0,
            pos_embed_rope_normalize_coords="separate",
            qkv_bias=True,
            norm_layer="layernorm",
            ffn_layer="mlp",
            ffn_bias=True,
            proj_bias=True,
            n_storage_tokens=0,
            mask_k_bias=False,
            layerscale_init=None,
        )
        self.config = c = defaults | SIZES | config
        self.given = SIZES | config
        self.dim, self.head_dim = c["embed_dim"], c["embed_dim"] // c["num_heads"]
        self.prefix = 1 + c["n_storage_tokens"]
        self.state = {name: torch.from_numpy(seeded_array(name, shape)) for name, shape in self.shapes()}
        self.kept = {"rope_embed.periods": self.periods()}
        if c["qkv_bias"] and c["mask_k_bias"]:
            mask = torch.ones(3, self.dim)
            mask[1] = 0
            names = (f"blocks.{i}.attn.qkv.bias_mask" for i in range(c["depth"]))
            self.kept |= dict.fromkeys(names, mask.flatten())
        self.state |= self.kept

    def shapes(self):
        c, d = self.config, self.dim
        yield from (("cls_token", (1, 1, d)), ("mask_token", (1, d)))
        if c["n_storage_tokens"]:
            yield "storage_tokens", (1, c["n_storage_tokens"], d)
        yield from (
            ("patch_embed.proj.weight", (d, 3, c["patch_size"], c["patch_size"])),
            ("patch_embed.proj.bias", (d,)),
        )
        for i in range(c["depth"]):
            block = f"blocks.{i}."
            for name in ("norm1", "norm2"):
                yield from self.norm_shapes(block + name)
            yield from self.linear_shapes(block + "attn.qkv", d, 3 * d, c["qkv_bias"])
            yield from self.linear_shapes(block + "attn.proj", d, d, c["proj_bias"])
            hidden = int(d * c["ffn_ratio"])
            if c["ffn_layer"] == "mlp":
                yield from self.linear_shapes(block + "mlp.fc1", d, hidden, c["ffn_bias"])
                yield from self.linear_shapes(block + "mlp.fc2", hidden, d, c["ffn_bias"])
            else:
                align = int(c["ffn_layer"].removeprefix("swiglu") or 8)
                hidden = math.ceil(int(hidden * 2 / 3) / align) * align
                for name in ("w1", "w2"):
                    yield from self.linear_shapes(f"{block}mlp.{name}", d, hidden, c["ffn_bias"])
                yield from self.linear_shapes(f"{block}mlp.w3", hidden, d, c["ffn_bias"])
            if c["layerscale_init"] is not None:
                yield from ((f"{block}ls{k}.gamma", (d,)) for k in (1, 2))
        yield from self.norm_shapes("norm")
        for option, name in (
            ("untie_cls_and_patch_norms", "cls_norm"),
            ("untie_global_and_local_cls_norm", "local_cls_norm"),
        ):
            if c.get(option):
                yield from self.norm_shapes(name)

    def norm_shapes(self, name: str):
        yield f"{name}.weight", (self.dim,)
        if self.config["norm_layer"] != "rmsnorm":
            yield f"{name}.bias", (self.dim,)

    @staticmethod
    def linear_shapes(name: str, inputs: int, outputs: int, bias: bool):
        yield f"{name}.weight", (outputs, inputs)
        if bias:
            yield f"{name}.bias", (outputs,)

    @property
    def dtype(self) -> torch.dtype:
        """In which positions are computed."""
        return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[
            self.config["pos_embed_rope_dtype"]
        ]

    def periods(self) -> Tensor:
        c, count = self.config, self.head_dim // 4
        low, high = c.get("pos_embed_rope_min_period"), c.get("pos_embed_rope_max_period")
        if c["pos_embed_rope_base"] is None:
            values = [low * (high / low) ** (k / (count - 1)) for k in range(count)]
        else:
            values = [c["pos_embed_rope_base"] ** (k / count) for k in range(count)]
        return torch.tensor(values).to(self.dtype).float()

    def rope(self, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Sines and cosines, one patch after the other, every step rounded to :attr:`dtype`."""
        ways = {"separate": grid, "max": [max(grid)] * 2, "min": [min(grid)] * 2}
        sides = ways[self.config["pos_embed_rope_normalize_coords"]]
        periods, rows = self.periods().to(self.dtype), []
        for place in itertools.product(*map(range, grid)):
            centres = [torch.tensor(k + 0.5, dtype=self.dtype) / side for k, side in zip(place, sides)]
            angles = torch.cat([2 * math.pi * (2 * centre - 1) / periods for centre in centres])
            rows.append(torch.cat([angles, angles]))
        return torch.stack(rows).sin(), torch.stack(rows).cos()

    def norm(self, name: str, x: Tensor) -> Tensor:
        kind, weight = self.config["norm_layer"], self.state[f"{name}.weight"]
        if kind == "rmsnorm":
            return weight * x / (x.square().mean(-1, keepdim=True) + EPS[kind]).sqrt()
        mean, variance = x.mean(-1, keepdim=True), x.var(-1, unbiased=False, keepdim=True)
        return weight * (x - mean) / (variance + EPS[kind]).sqrt() + self.state[f"{name}.bias"]

    def linear(self, name: str, x: Tensor) -> Tensor:
        bias = self.state.get(f"{name}.bias")
        if bias is not None and f"{name}.bias_mask" in self.state:
            bias = bias * self.state[f"{name}.bias_mask"]
        return F.linear(x, self.state[f"{name}.weight"], bias)

    def attention(self, block: str, x: Tensor, grid: tuple[int, int]) -> Tensor:
        sin, cos = self.rope(grid)

        def turned(heads: Tensor) -> Tensor:
            heads = heads.to(self.dtype)
            first, second = heads[..., self.prefix :, :].chunk(2, -1)
            patches = heads[..., self.prefix :, :] * cos + torch.cat([-second, first], -1) * sin
            return torch.cat([heads[..., : self.prefix, :], patches], -2).float()

        qkv = self.linear(f"{block}attn.qkv", x).chunk(3, -1)
        q, k, v = (t.unflatten(-1, (-1, self.head_dim)).transpose(1, 2) for t in qkv)
        weights = (turned(q) @ turned(k).mT / math.sqrt(self.head_dim)).softmax(-1)
        return self.linear(f"{block}attn.proj", (weights @ v).transpose(1, 2).flatten(2))

    def feed_forward(self, block: str, x: Tensor) -> Tensor:
        if self.config["ffn_layer"] == "mlp":
            return self.linear(f"{block}mlp.fc2", F.gelu(self.linear(f"{block}mlp.fc1", x)))
        gate, value = (self.linear(f"{block}mlp.{name}", x) for name in ("w1", "w2"))
        return self.linear(f"{block}mlp.w3", gate * gate.sigmoid() * value)

    def block(self, index: int, x: Tensor, grid: tuple[int, int]) -> Tensor:
        block = f"blocks.{index}."
        scales = [self.state.get(f"{block}ls{k}.gamma", 1.0) for k in (1, 2)]
        x = x + scales[0] * self.attention(block, self.norm(f"{block}norm1", x), grid)
        return x + scales[1] * self.feed_forward(block, self.norm(f"{block}norm2", x))

    def features(self, image: Tensor) -> dict[str, Tensor]:
        c = self.config
        x = F.conv2d(
            image,
            self.state["patch_embed.proj.weight"],
            self.state["patch_embed.proj.bias"],
            stride=c["patch_size"],
        )
        grid = tuple(x.shape[-2:])
        tokens = [self.state["cls_token"], self.state.get("storage_tokens"), x.flatten(2).transpose(1, 2)]
        x = torch.cat([t for t in tokens if t is not None], dim=1)
        for index in range(c["depth"]):
            x = self.block(index, x, grid)
        untied = "cls_norm" if c.get("untie_cls_and_patch_norms") else "norm"
        prefix = self.norm(untied, x[:, : self.prefix])
        found = {"cls": prefix[:, 0], "patch": self.norm("norm", x[:, self.prefix :]), "prenorm": x}
        return found | ({"storage": prefix[:, 1:]} if c["n_storage_tokens"] else {})

    def kit(self, folder) -> GoldenKit:
        """A kit of whole features, a block on a grid and the tables of positions."""
        generator = torch.Generator().manual_seed(0)
        size = self.config["patch_size"]
        image = torch.randn(1, 3, GRID[0] * size, GRID[1] * size, generator=generator)
        x = torch.randn(1, self.prefix + 12, self.dim, generator=generator)
        sin, cos = self.rope(GRID)
        sides = {"height": torch.tensor(GRID[0]), "width": torch.tensor(GRID[1])}
        checks = [
            ("features", {"image": image}, self.features(image), ""),
            (
                "block",
                {"x": x},
                {"x": self.block(1, x, (2, 6)), "norm": self.norm("norm", 0.003 * x)},
                "blocks.1 on a 2x6 patch grid behind the prefix; norm = norm(0.003 x)",
            ),
            ("rope", sides, {"sin": sin.float(), "cos": cos.float()}, ""),
        ]
        rows = [
            dict(name=name, inputs=arrays(a), outputs=arrays(b), note=note, rtol=1e-4, atol=2e-5)
            for name, a, b, note in checks
        ]
        meta = {"system": "dinov3", "source": {}, "config": self.given}
        write_kit(folder, meta, arrays(self.state), rows, keep=list(self.kept))
        return GoldenKit(folder)


def arrays(tensors: dict[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in tensors.items()}


PERIODS = dict(pos_embed_rope_base=None, pos_embed_rope_min_period=0.2, pos_embed_rope_max_period=30.0)


@pytest.mark.parametrize(
    "options",
    [
        {},
        dict(norm_layer="rmsnorm", layerscale_init=1e-5),
        dict(norm_layer="rmsnorm", untie_cls_and_patch_norms=True, n_storage_tokens=2),
        dict(norm_layer="layernormbf16"),
        PERIODS,
        dict(pos_embed_rope_normalize_coords="max", pos_embed_rope_base=50.0),
        dict(pos_embed_rope_normalize_coords="min") | PERIODS,
        dict(untie_cls_and_patch_norms=True, untie_global_and_local_cls_norm=True, n_storage_tokens=4),
        dict(untie_global_and_local_cls_norm=True),
        dict(mask_k_bias=True),
        dict(qkv_bias=False, proj_bias=False),
        dict(qkv_bias=False, mask_k_bias=True),
        dict(ffn_layer="swiglu", ffn_bias=False),
        dict(ffn_layer="swiglu32"),
        dict(ffn_layer="swiglu64"),
        dict(ffn_layer="swiglu128", ffn_ratio=4.0),
        dict(pos_embed_rope_dtype="bf16", n_storage_tokens=1),
        dict(pos_embed_rope_dtype="fp16", pos_embed_rope_normalize_coords="max"),
        dict(pos_embed_rope_dtype="bf16") | PERIODS,
        dict(pos_embed_rope_shift_coords=0.5, pos_embed_rope_jitter_coords=1.3, drop_path_rate=0.4),
    ],
    ids=lambda options: " ".join(options) or "defaults",
)
def test_options(tmp_path, options):
    rows = verify_kit(Reference(**options).kit(tmp_path).folder)
    assert len(rows) >= 7
    assert [str(row) for row in rows if not row.passed] == []


def test_norms_and_arguments_that_there_are_not_are_named(tmp_path):
    reference = Reference(norm_layer="rmsnorm")
    kit = reference.kit(tmp_path)
    kit.meta["config"]["norm_layer"] = "batchnorm"
    with pytest.raises(
        DataError, match=r"norm_layer='batchnorm' .* supported are layernorm, layernormbf16, rms"
    ):
        open_kit(kit)
    kit.meta["config"] |= dict(norm_layer="rmsnorm", pos_embed_rope_normalise="max")
    with pytest.raises(DataError, match="does not know the config argument 'pos_embed_rope_normalise'"):
        open_kit(kit)
