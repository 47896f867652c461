"""UniFormer: what its golden kit does not exercise."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dense3d.backbones import UniFormer
from dense3d.backbones.uniformer import ARCHITECTURES
from dense3d.checkpoints import convert
from dense3d.checkpoints.uniformer import convert_head
from dense3d.errors import CheckpointError, ConfigError
from dense3d.layers.map_head import NormedMapHead

ARCH = dict(dims=(8, 16, 32, 48), depths=(1, 1, 5, 2), head_dim=16)
STEM = dict(ARCH, conv_stem=True, layer_scale=0.1)


def test_windows_of_the_whole_map_are_global_attention():
    torch.manual_seed(0)
    windows = UniFormer(ARCH, "windows", window_size=4).eval()
    whole = UniFormer(ARCH).eval()
    whole.load_state_dict(windows.state_dict())
    with torch.no_grad():
        fitting, larger = torch.randn(1, 3, 64, 64), torch.randn(1, 3, 96, 64)
        for a, b in zip(windows(fitting), whole(fitting)):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
        assert (windows(larger)[2] - whole(larger)[2]).abs().max() > 1e-3


def test_every_fourth_block_of_a_hybrid_is_global():
    for attention, expected in (
        ("global", [False] * 5),
        ("windows", [True] * 5),
        ("hybrid", [True, True, True, False, True]),
    ):
        backbone = UniFormer(ARCH, attention)
        assert [hasattr(b.attn, "window_size") for b in backbone.blocks(2)] == expected
        assert not any(hasattr(b.attn, "window_size") for b in backbone.blocks(3))


def test_windows_are_filled_up_with_tokens_that_carry_the_bias():
    torch.manual_seed(0)
    block = UniFormer(ARCH, "windows", window_size=4).blocks(2)[0].eval()
    x = torch.randn(2, 32, 3, 2)
    with torch.no_grad():
        nn.init.normal_(block.attn.qkv.bias)
        positioned = x + block.pos_embed(x)
        tokens = torch.zeros(2, 4, 4, 32)
        tokens[:, :3, :2] = block.norm1(positioned.permute(0, 2, 3, 1))
        query, key, value = block.attn.qkv(tokens.flatten(1, 2)).view(2, 16, 3, 2, 16).permute(2, 0, 3, 1, 4)
        attended = (query @ key.transpose(-2, -1) / 4).softmax(-1) @ value
        attended = block.attn.proj(attended.transpose(1, 2).flatten(2)).view(2, 4, 4, 32)[:, :3, :2]
        y = positioned.permute(0, 2, 3, 1) + attended
        y = (y + block.mlp(block.norm2(y))).permute(0, 3, 1, 2)
        torch.testing.assert_close(block(x), y, rtol=1e-4, atol=1e-5)


def test_convolutional_stem_halves_and_rounds_up():
    backbone = UniFormer(STEM).eval()
    with torch.no_grad():
        maps = backbone(torch.randn(2, 3, 65, 97))
        assert backbone.stem(torch.randn(1, 3, 33, 50)).shape == (1, 8, 9, 13)
    assert [tuple(m.shape[2:]) for m in maps] == [(17, 25), (9, 13), (5, 7), (3, 4)]
    kinds = [type(layer).__name__ for layer in backbone.stages[0].embed.proj]
    assert kinds == ["Conv2d", "BatchNorm2d", "GELU", "Conv2d", "BatchNorm2d"]
    assert [type(layer).__name__ for layer in backbone.stages[1].embed.proj] == kinds[:2]


def test_initial_weights():
    torch.manual_seed(0)
    backbone = UniFormer(dict(dims=(8, 16, 128, 256), depths=(1, 1, 1, 1), layer_scale=1e-6))
    linears = [m for m in backbone.modules() if isinstance(m, nn.Linear)]
    assert len(linears) == 8
    for linear in linears:
        assert 0.019 < linear.weight.std() < 0.021 and not linear.bias.any()
    for index in (2, 3):
        (block,) = backbone.blocks(index)
        assert (block.ls1.gamma == 1e-6).all() and (block.ls2.gamma == 1e-6).all()
    head = backbone.class_head(50)
    assert isinstance(head, NormedMapHead) and isinstance(head.norm, nn.BatchNorm2d)
    assert 0.019 < head.head.weight.std() < 0.021 and not head.head.bias.any()


def test_half_precision_is_close():
    torch.manual_seed(0)
    for arch in (ARCH, STEM):
        backbone = UniFormer(arch, "windows", window_size=3).eval()
        images = torch.randn(2, 3, 64, 96)
        with torch.no_grad():
            exact = backbone(images)
            with torch.autocast("cpu", torch.bfloat16):
                rough = backbone(images)
        for a, b in zip(exact, rough):
            assert b.isfinite().all()
            assert (a - b.float()).abs().mean() < 0.05 * a.abs().mean()


def test_checkpointing_counts_an_image_once_in_batch_norms():
    images, found = torch.randn(2, 3, 64, 64), []
    for with_cp in (False, True):
        torch.manual_seed(0)
        backbone = UniFormer(ARCH, with_cp=with_cp).train()
        sum(m.sum() for m in backbone(images)).backward()
        found.append(dict(backbone.named_buffers()))
    for name, buffer in found[0].items():
        torch.testing.assert_close(found[1][name], buffer, msg=name)


def official_state(backbone: UniFormer, head: nn.Module) -> dict[str, torch.Tensor]:
    """Names of the official classifier with the weights of ours, written by hand from its layout."""
    state = {}
    for name, value in backbone.state_dict().items():
        parts = name.split(".")
        if parts[0] != "stages":
            continue
        stage, rest = int(parts[1]) + 1, ".".join(parts[3:])
        rest = rest.replace("ls1.gamma", "gamma_1").replace("ls2.gamma", "gamma_2")
        state[f"patch_embed{stage}.{rest}" if parts[2] == "embed" else f"blocks{stage}.{rest}"] = value
    return state | head.state_dict() | {"aux_head.weight": torch.ones(5, 48), "aux_head.bias": torch.ones(5)}


@pytest.mark.parametrize("arch", [ARCH, STEM], ids=["patches", "conv stem, layer scale"])
def test_official_files_of_all_variants_load(arch, tmp_path):
    torch.manual_seed(0)
    source = UniFormer(arch).eval()
    head = source.class_head(5).eval()
    state = official_state(source, head)
    torch.save({"model": state}, tmp_path / "uniformer.pth")
    target = UniFormer(arch, init_cfg=dict(type="Pretrained", checkpoint=str(tmp_path / "uniformer.pth")))
    target.init_weights()
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        for a, b in zip(source(image), target.eval()(image)):
            assert torch.equal(a, b)
    other = source.class_head(5)
    other.load_state_dict(convert_head(state))
    assert torch.equal(other.head.weight, head.head.weight)


def test_other_checkpoints_are_refused():
    with pytest.raises(CheckpointError, match="no official UniFormer checkpoint: 1 unexpected name"):
        convert("uniformer", {"blocks3.0.attn.rel_pos": torch.zeros(1)})


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: UniFormer("smal"), "no size 'smal'; did you mean 'small'"),
        (lambda: UniFormer(attention="window"), "attention='window'; did you mean 'windows'"),
        (lambda: UniFormer(dict(ARCH, head_dims=3)), "no key 'head_dims'; did you mean 'head_dim'"),
        (lambda: UniFormer(dict(dims=(8, 16, 32, 48))), "arch needs dims and depths, but has dims"),
        (lambda: UniFormer(dict(ARCH, head_dim=32)), "48 channels are no multiple of head_dim=32"),
        (
            lambda: UniFormer(dict(dims=(8, 16), depths=(1, 1))),
            "has four stages, but arch has 2 dims and 2 depths",
        ),
    ],
)
def test_bad_architectures_are_explained(build, message):
    with pytest.raises(ConfigError, match=message):
        build()


@pytest.mark.parametrize(
    ("name", "millions"), [("small", 22), ("small_plus", 24), ("base", 50), ("large_ls", 100)]
)
def test_parameters_as_published(name, millions):
    with torch.device("meta"):
        backbone = UniFormer(ARCHITECTURES[name], output_norm=False)
        parts = (backbone, backbone.class_head(1000))
    count = sum(p.numel() for part in parts for p in part.parameters()) / 1e6
    assert abs(count - millions) < 0.025 * millions
