"""Options that the golden kits do not show, beside a network that is written down from the paper's text.

The reference works on official names with nothing but products of matrices. It is itself checked on the kits.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from dense3d.checkpoints import convert
from dense3d.engine import load_into
from dense3d.pretraining import CroCo
from tests.golden.kit import GoldenKit, align, seeded_array

State = dict[str, Tensor]


class Reference:
    """CroCo as its papers describe it.

    Args:
        state: official names.
        config: arguments of the official constructor.
    """

    def __init__(self, state: State, config: dict) -> None:
        self.state, self.config = state, {"norm_im2_in_dec": True, "norm_eps": 1e-6, **config}

    def complete(self, first: Tensor, second: Tensor, hidden: Tensor) -> Tensor:
        """Predicted patches ``(B, N, 3 p^2)``, one pair after the other."""
        return torch.stack([self._pair(*pair) for pair in zip(first, second, hidden)])

    def _pair(self, first: Tensor, second: Tensor, hidden: Tensor) -> Tensor:
        cosine = self.config["pos_embed"] == "cosine"
        (x, at), (y, to) = self._patches(first), self._patches(second)
        if cosine:
            x, y = x + self.state["enc_pos_embed"], y + self.state["enc_pos_embed"]
        visible = [i for i in range(len(x)) if not hidden[i]]
        x, y = self._encode(x[visible], at[visible]), self._encode(y, to)
        x, y = self._linear("decoder_embed", x), self._linear("decoder_embed", y)
        tokens = [self.state["mask_token"][0, 0]] * len(hidden)
        for place, token in zip(visible, x):
            tokens[place] = token
        x = torch.stack(tokens)
        if cosine:
            x, y = x + self.state["dec_pos_embed"], y + self.state["dec_pos_embed"]
        for block in range(self.config["dec_depth"]):
            x = self._decoder_block(f"dec_blocks.{block}", x, at, y, to)
        return self._linear("prediction_head", self._norm("dec_norm", x))

    def _patches(self, image: Tensor) -> tuple[Tensor, Tensor]:
        size, weight = self.config["patch_size"], self.state["patch_embed.proj.weight"]
        tokens, places = [], []
        for row in range(image.shape[1] // size):
            for column in range(image.shape[2] // size):
                patch = image[:, row * size : (row + 1) * size, column * size : (column + 1) * size]
                tokens.append(weight.flatten(1) @ patch.flatten() + self.state["patch_embed.proj.bias"])
                places.append((row, column))
        return torch.stack(tokens), torch.tensor(places)

    def _encode(self, x: Tensor, at: Tensor) -> Tensor:
        heads = self.config["enc_num_heads"]
        for i in range(self.config["enc_depth"]):
            name = f"enc_blocks.{i}"
            x = x + self._self_attention(f"{name}.attn", self._norm(f"{name}.norm1", x), at, heads)
            x = x + self._mlp(f"{name}.mlp", self._norm(f"{name}.norm2", x))
        return self._norm("enc_norm", x)

    def _decoder_block(self, name: str, x: Tensor, at: Tensor, y: Tensor, to: Tensor) -> Tensor:
        heads = self.config["dec_num_heads"]
        x = x + self._self_attention(f"{name}.attn", self._norm(f"{name}.norm1", x), at, heads)
        memory = self._norm(f"{name}.norm_y", y) if self.config["norm_im2_in_dec"] else y
        cross = f"{name}.cross_attn"
        query = self._linear(f"{cross}.projq", self._norm(f"{name}.norm2", x))
        key, value = self._linear(f"{cross}.projk", memory), self._linear(f"{cross}.projv", memory)
        x = x + self._linear(f"{cross}.proj", self._attention(query, key, value, at, to, heads))
        return x + self._mlp(f"{name}.mlp", self._norm(f"{name}.norm3", x))

    def _self_attention(self, name: str, x: Tensor, at: Tensor, heads: int) -> Tensor:
        query, key, value = self._linear(f"{name}.qkv", x).chunk(3, dim=1)
        return self._linear(f"{name}.proj", self._attention(query, key, value, at, at, heads))

    def _attention(
        self, query: Tensor, key: Tensor, value: Tensor, at: Tensor, to: Tensor, heads: int
    ) -> Tensor:
        found = []
        for q, k, v in zip(*(x.chunk(heads, dim=1) for x in (query, key, value))):
            if self.config["pos_embed"] != "cosine":
                q, k = self._turned(q, at), self._turned(k, to)
            found.append((q @ k.T / math.sqrt(q.shape[1])).softmax(dim=1) @ v)
        return torch.cat(found, dim=1)

    def _turned(self, x: Tensor, places: Tensor) -> Tensor:
        base, quarter = float(self.config["pos_embed"].removeprefix("RoPE")), x.shape[1] // 4
        turned = torch.empty_like(x)
        for axis in range(2):
            for d in range(quarter):
                one = 2 * quarter * axis + d
                two = one + quarter
                angle = places[:, axis] / base ** (d / quarter)
                turned[:, one] = x[:, one] * angle.cos() - x[:, two] * angle.sin()
                turned[:, two] = x[:, two] * angle.cos() + x[:, one] * angle.sin()
        return turned

    def _mlp(self, name: str, x: Tensor) -> Tensor:
        x = self._linear(f"{name}.fc1", x)
        x = x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))
        return self._linear(f"{name}.fc2", x)

    def _linear(self, name: str, x: Tensor) -> Tensor:
        return x @ self.state[f"{name}.weight"].T + self.state[f"{name}.bias"]

    def _norm(self, name: str, x: Tensor) -> Tensor:
        x = x - x.mean(dim=1, keepdim=True)
        x = x / (x.square().mean(dim=1, keepdim=True) + self.config["norm_eps"]).sqrt()
        return x * self.state[f"{name}.weight"] + self.state[f"{name}.bias"]


def official_state(config: dict) -> State:
    """A checkpoint in official names of any config, with seeded values."""
    network = {name: value for name, value in config.items() if name != "mask_ratio"}
    state = {}
    for name, value in CroCo(network).state_dict().items():
        name = name.removeprefix("network.")
        is_table = name.endswith("pos_embed")
        state[name] = value if is_table else torch.from_numpy(seeded_array(name, tuple(value.shape)))
    return state


def completed(state: State, config: dict, first: Tensor, second: Tensor, hidden: Tensor) -> Tensor:
    network = {name: value for name, value in config.items() if name not in ("mask_ratio", "batch")}
    model = CroCo(network).eval()
    load_into(model, convert("croco", state))
    with torch.no_grad():
        return model.complete(first, second, hidden, int(hidden[0].sum()))


SMALL = dict(enc_embed_dim=24, enc_depth=2, enc_num_heads=2, dec_embed_dim=16, dec_depth=3, dec_num_heads=2)


@pytest.mark.parametrize(
    "changes",
    [
        dict(pos_embed="RoPE100", norm_im2_in_dec=False),
        dict(pos_embed="RoPE10000"),
        dict(pos_embed="RoPE0.5", mlp_ratio=2.5),
        dict(pos_embed="RoPE100", patch_size=8, img_size=32),
        dict(pos_embed="RoPE100", norm_eps=1e-2, enc_depth=1, dec_depth=1),
        dict(pos_embed="cosine", norm_im2_in_dec=False, mlp_ratio=1),
        dict(pos_embed="cosine", img_size=(32, 96), patch_size=8),
        dict(pos_embed="cosine", dec_num_heads=8, enc_num_heads=1),
    ],
    ids=str,
)
def test_variants(changes):
    config = dict(SMALL, img_size=64, patch_size=16) | changes
    height, width = (config["img_size"],) * 2 if isinstance(config["img_size"], int) else config["img_size"]
    state, generator = official_state(config), torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 2, 3, height, width, generator=generator)
    count = (height // config["patch_size"]) * (width // config["patch_size"])
    hidden = torch.rand(2, count, generator=generator).argsort(1) >= count // 4
    expected = Reference(state, config).complete(first, second, hidden)
    torch.testing.assert_close(
        completed(state, config, first, second, hidden), expected, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("kit", ["croco-pretrain-cosine"])
def test_the_reference_is_the_official_code(golden_dir, kit):
    kit = GoldenKit(golden_dir / kit)
    state = {name: torch.from_numpy(value) for name, value in kit.state_dict().items()}
    inputs = {name: torch.from_numpy(value) for name, value in kit.inputs("pretrain").items()}
    found = Reference(state, kit.meta["config"]).complete(inputs["img1"], inputs["img2"], inputs["mask"] > 0)
    stored = kit.outputs("pretrain")["pred"]
    torch.testing.assert_close(
        torch.from_numpy(align(found.numpy(), stored).copy()), torch.from_numpy(stored)
    )
