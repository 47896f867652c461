"""RMT: its decays and its two forms beside their definitions, sizes, initialisation, checkpoints."""

from __future__ import annotations

import copy

import pytest
import torch

from dense3d.backbones import RMT
from dense3d.backbones.rmt import ARCHITECTURES
from dense3d.checkpoints import convert
from dense3d.checkpoints.rmt import convert_head
from dense3d.errors import CheckpointError, ConfigError
from dense3d.layers import decay_attention

ARCH = RMT.tiny_variants[""]["arch"]


@pytest.fixture
def backbone():
    torch.manual_seed(0)
    return RMT(ARCH, layer_scale=1.0).eval()


def official_state(backbone, dense=True, head=None):
    """The state dict as the official code names it."""
    state = {}
    for name, value in backbone.state_dict().items():
        parts = name.split(".")
        if parts[0] == "patch_embed":
            name = name.replace("patch_embed.", "patch_embed.proj.")
        elif parts[0].startswith("norm"):
            name = f"extra_norms.{parts[0][4:]}.{parts[1]}"
            if not dense:
                continue
        elif parts[2] == "decay":
            name = f"layers.{parts[1]}.Relpos.decay"
            head_dim = backbone.blocks(int(parts[1]))[0].attn.head_dim
            state[f"layers.{parts[1]}.Relpos.angle"] = torch.zeros(head_dim)
        elif "attn.qkv" in name:
            stem = name.replace("attn.qkv", "retention.{}_proj")
            head_dim = backbone.blocks(int(parts[1]))[0].attn.head_dim
            for letter, part in zip("qkv", value.chunk(3)):
                if letter != "v":  # pairs there, halves here
                    part = part.unflatten(0, (-1, 2, head_dim // 2)).transpose(1, 2).flatten(0, 2)
                state[stem.format(letter)] = part
            continue
        for ours, theirs in (
            ("attn.lepe", "retention.lepe.conv"),
            ("attn.proj", "retention.out_proj"),
            ("norm1", "retention_layer_norm"),
            ("norm2", "final_layer_norm"),
            ("mlp.conv", "ffn.dwconv.conv"),
            ("mlp", "ffn"),
            ("ls1.gamma", "gamma_1"),
            ("ls2.gamma", "gamma_2"),
            (".pos.", ".pos.conv."),
        ):
            name = name.replace(ours, theirs) if parts[0] == "layers" else name
        state[name] = value[None, None, None] if "gamma" in name else value
    return state | ({} if head is None else head.state_dict())


def attention_weights(attention, x, rotation):
    """Queries and keys ``(M, N, d)`` turned pair by pair, values, of one image."""
    from dense3d.layers.rotary import rotate

    parts = attention.qkv(x).flatten(1, 2).unflatten(-1, (3, attention.num_heads, -1)).unbind(2)
    query, key = (rotate(part, rotation) for part in parts[:2])
    return (part[0].transpose(0, 1) for part in (query, key, parts[2]))


def test_whole_attention_falls_with_the_manhattan_distance(backbone):
    height, width, stage = 3, 5, 2
    x = torch.randn(1, height, width, backbone.channels[stage])
    attention, rotation = backbone.blocks(stage)[0].attn, backbone.rotation(stage, x)
    query, key, value = attention_weights(attention, x, rotation)
    places = [(i // width, i % width) for i in range(height * width)]
    distance = torch.tensor([[abs(a - c) + abs(b - d) for c, d in places] for a, b in places])
    logits = query @ key.transpose(1, 2) / attention.head_dim**0.5
    logits = logits + backbone.layers[stage].decay[:, None, None] * distance
    attended = (logits.softmax(-1) @ value).transpose(0, 1).reshape(1, height, width, -1)
    expected = attention.proj(attended + attention.lepe(attention.qkv(x).chunk(3, -1)[2]))
    torch.testing.assert_close(attention(x, rotation, *backbone.masks(stage, x)), expected)


def test_factored_attention_is_a_product_of_two(backbone):
    height, width, stage = 3, 5, 0
    x = torch.randn(1, height, width, backbone.channels[stage])
    attention, rotation = backbone.blocks(stage)[0].attn, backbone.rotation(stage, x)
    query, key, value = attention_weights(attention, x, rotation)
    decay = backbone.layers[stage].decay[:, None, None]
    row, column = torch.arange(15) // width, torch.arange(15) % width
    logits = query @ key.transpose(1, 2) / attention.head_dim**0.5
    across = logits + decay * (column[:, None] - column).abs()
    across = across.masked_fill(row[:, None] != row, -torch.inf)
    down = logits + decay * (row[:, None] - row).abs()
    down = down.masked_fill(column[:, None] != column, -torch.inf)
    attended = (down.softmax(-1) @ across.softmax(-1) @ value).transpose(0, 1).reshape(1, height, width, -1)
    expected = attention.proj(attended + attention.lepe(attention.qkv(x).chunk(3, -1)[2]))
    torch.testing.assert_close(attention(x, rotation, *backbone.masks(stage, x)), expected)


def test_large_maps_by_groups_of_rows_are_the_same(backbone, monkeypatch):
    images = torch.randn(2, 3, 70, 90)
    with torch.no_grad():
        maps = backbone(images)
        monkeypatch.setattr(decay_attention, "MOST_LOGITS", 100)
        again = backbone(images)
    for a, b in zip(maps, again):
        torch.testing.assert_close(a, b)


def test_odd_images_are_not_padded(backbone):
    images = torch.randn(1, 3, 75, 61)
    with torch.no_grad():
        torch.testing.assert_close(
            backbone.stem(images)[:, :17, :14],
            backbone.stem(torch.nn.functional.pad(images, (0, 3, 0, 1)))[:, :17, :14],
        )
        assert backbone.stem(images).shape[1:3] == (19, 16)


def test_autocast_is_close_and_finite(backbone):
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        maps = backbone(images)
        with torch.autocast("cpu", torch.bfloat16):
            low = backbone(images)
    for a, b in zip(maps, low):
        assert b.isfinite().all()
        assert (a - b).abs().mean() < 0.03 * a.abs().mean() + 0.01


def test_initial_values_are_the_official_ones():
    torch.manual_seed(0)
    backbone = RMT(dict(ARCH, dims=(32, 48, 64, 128), layer_scale_stages=(False, False, True, True)))
    block = backbone.blocks(3)[0]
    assert float(block.attn.qkv.weight.std()) == pytest.approx(0.02, rel=0.05)
    assert float(block.mlp.fc1.weight.std()) == pytest.approx(0.02, rel=0.05)
    assert block.attn.qkv.bias.abs().max() == 0
    assert float(block.mlp.conv.weight.abs().max()) == pytest.approx(1 / 3, rel=0.02)  # of fan-in 9
    assert torch.equal(block.ls1.gamma, torch.full((128,), 1e-6))
    assert not hasattr(backbone.blocks(1)[0].ls1, "gamma")
    assert block.norm1.eps == 1e-6
    assert backbone.norm3.eps == 1e-5


@pytest.mark.parametrize(
    ("name", "millions"), [("tiny", 14.3), ("small", 27.0), ("base", 54.2), ("large", 95.5)]
)
def test_released_sizes_have_the_published_parameters(name, millions):
    with torch.device("meta"):
        backbone = RMT(name)
        parts = [backbone, backbone.class_head(1000)]
    count = sum(p.numel() for part in parts for n, p in part.named_parameters() if n[:4] != "norm")
    assert count / 1e6 == pytest.approx(millions, abs=0.06)
    assert set(ARCHITECTURES) == {"tiny", "small", "base", "large"}


def test_official_names_load_with_and_without_output_norms(backbone, tmp_path):
    head = backbone.class_head(7)
    images = torch.randn(1, 3, 40, 56)
    with torch.no_grad():
        maps = backbone(images)
    for dense in (True, False):
        file = tmp_path / f"{dense}.pth"
        torch.save({"model": official_state(backbone, dense, None if dense else head)}, file)
        loaded = RMT(ARCH, init_cfg=dict(type="Pretrained", checkpoint=str(file)))
        loaded.init_weights()
        with torch.no_grad():
            for a, b in zip(loaded.eval()(images), maps):
                torch.testing.assert_close(a, b)


def test_the_classifier_loads_and_counts_the_best_pixel():
    backbone = RMT(ARCH, token_labels=True).eval()
    head = backbone.class_head(7, hidden_dim=16).eval()
    official = official_state(backbone, dense=False, head=head)
    other = backbone.class_head(7, hidden_dim=16).eval()
    other.load_state_dict(convert_head(official))
    x = backbone.embed(torch.randn(2, 3, 64, 64))  # (2, C, 2, 2)
    pixels = x.flatten(2).transpose(1, 2)
    wide = torch.nn.functional.silu(head.norm(head.proj(pixels).flatten(0, 1))).unflatten(0, (2, 4))
    expected = head.head(wide.mean(1)) + 0.5 * head.aux_head(pixels).max(1).values
    torch.testing.assert_close(other(x), expected)


def test_files_that_do_not_fit_are_explained(backbone):
    state = official_state(backbone)
    with pytest.raises(CheckpointError, match=r"no official RMT checkpoint: 1 unexpected names: layers\.9"):
        convert("rmt", {**state, "layers.9.foo": torch.ones(1)})
    lacking = copy.copy(state)
    del lacking["layers.1.blocks.0.retention.k_proj.weight"]
    with pytest.raises(CheckpointError, match=r"but no layers\.1\.blocks\.0\.retention\.k_proj\.weight"):
        convert("rmt", lacking)
    assert convert_head(state) == {}  # of dense prediction


@pytest.mark.parametrize(
    ("arch", "message"),
    [
        ("tinny", "RMT has no size 'tinny'; did you mean 'tiny'"),
        (dict(ARCH, heads_range=4), "arch has no key 'heads_range'; did you mean 'heads_ranges'"),
        (dict(dims=(8, 16), depths=(1, 1)), "arch needs num_heads, mlp_ratios, heads_ranges, factored"),
        (dict(ARCH, dims=(8, 16)), "arch has 4 depths, but 2 dims"),
        (dict(ARCH, num_heads=5), "16 channels cannot be shared by 5 heads"),
        (dict(ARCH, init_values=0), "init_values 0 and heads_ranges 4 give a head the decay"),
    ],
)
def test_bad_sizes_are_explained(arch, message):
    with pytest.raises(ConfigError, match=message):
        RMT(arch)
