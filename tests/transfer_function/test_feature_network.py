"""Checkpoints of every family become the network that gives their keys, in each layout they come in."""

from __future__ import annotations

import random

import pytest
import torch

from dense3d.apis import convert_checkpoint
from dense3d.backbones import VisionTransformer
from dense3d.backbones.vit_architectures import ARCHITECTURES, architecture
from dense3d.checkpoints import convert
from dense3d.engine.checkpoint import load_into
from dense3d.errors import CheckpointError, ConfigError, Dense3dError
from dense3d.transfer_function.features import load_key_network
from dense3d.transfer_function.features.network import released_architecture


@pytest.fixture
def small(monkeypatch):
    """Released names stand for networks of two blocks with few channels."""
    for name, values in {
        "dino_vits16": dict(embed_dim=16, depth=2, num_heads=2),
        "dino_vits8": dict(embed_dim=16, depth=2, num_heads=2),
        "dinov2_vits14": dict(embed_dim=16, depth=2, num_heads=2, pretrain_size=56),
        "dinov2_vits14_reg": dict(embed_dim=16, depth=2, num_heads=2, pretrain_size=56),
        "dinov3_vits16": dict(embed_dim=16, depth=2, num_heads=2),
        "mae_base_patch16": dict(embed_dim=16, depth=2, num_heads=2),
        "deit_tiny_patch16": dict(embed_dim=16, depth=2, num_heads=2),
    }.items():
        monkeypatch.setitem(ARCHITECTURES, name, ARCHITECTURES[name] | values)


def official(name: str, pretrain_size: int) -> dict[str, torch.Tensor]:
    """What the official code would save: our names with a row of the class token, and official tokens."""
    vit = VisionTransformer(dict(name=name, pretrain_size=pretrain_size))
    for parameter in vit.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.2)
    state = dict(vit.state_dict())
    if "pos_embed" in state:
        state["pos_embed"] = torch.cat([torch.zeros(1, 1, 16), state["pos_embed"]], dim=1)
    if "registers" in state:
        state["storage_tokens" if "dinov3" in name else "register_tokens"] = state.pop("registers")
    if name.startswith("dinov3"):
        state["rope_embed.periods"] = state.pop("rope.periods")
        for i in range(2):
            q, v = state.pop(f"blocks.{i}.attn.q_bias"), state.pop(f"blocks.{i}.attn.v_bias")
            state[f"blocks.{i}.attn.qkv.bias"] = torch.cat([q, torch.zeros(16), v])
            mask = torch.cat([torch.ones(16), torch.zeros(16), torch.ones(16)])
            state[f"blocks.{i}.attn.qkv.bias_mask"] = mask
    if name.startswith("deit"):
        state["head.weight"], state["head.bias"] = torch.zeros(10, 16), torch.zeros(10)
    return state


CASES = [
    ("dino", "dino_vits16", 64),
    ("dino", "dino_vits8", 64),
    ("dinov2", "dinov2_vits14", 56),
    ("dinov2", "dinov2_vits14_reg", 56),
    ("dinov3", "dinov3_vits16", 64),
    ("mae", "mae_base_patch16", 64),
    ("deit", "deit_tiny_patch16", 64),
]


@pytest.mark.parametrize(("family", "name", "size"), CASES)
def test_official_and_converted_files_give_the_same_network(small, tmp_path, family, name, size):
    state = official(name, size)
    source, target = tmp_path / "official.pth", tmp_path / "converted.pth"
    torch.save({"model": state} if family in ("mae", "deit") else state, source)
    convert_checkpoint(family, source, target)
    direct, converted = load_key_network(source), load_key_network(target)
    images = torch.randn(1, 3, 4 * direct.patch_size, 3 * direct.patch_size)
    found = direct(images)
    assert torch.equal(found, converted(images))
    vit = VisionTransformer(dict(name=name, pretrain_size=size))
    load_into(vit, convert(family, state))
    assert torch.equal(found, type(direct)(vit)(images))
    if family != "dinov3":  # which has no table of positions
        assert direct.network.arch == architecture(dict(name=name, pretrain_size=size))


def test_dino_files_with_student_and_teacher(small, tmp_path):
    state = official("dino_vits16", 64)
    wrapped = {f"backbone.{name}": value for name, value in state.items()}
    heads = {"head.mlp.0.weight": torch.ones(3, 3), "head.last_layer.weight_g": torch.ones(3)}
    student = {f"module.{name}": 0 * value for name, value in (wrapped | heads).items()}
    torch.save({"student": student, "teacher": wrapped | heads, "epoch": 3}, tmp_path / "training.pth")
    torch.save(state, tmp_path / "backbone.pth")
    images = torch.randn(1, 3, 64, 64)
    whole, alone = (load_key_network(tmp_path / f"{name}.pth") for name in ("training", "backbone"))
    assert torch.equal(whole(images), alone(images))


def test_other_networks_are_refused(tmp_path):
    torch.save({"conv1.weight": torch.ones(1)}, tmp_path / "resnet.pth")
    with pytest.raises(CheckpointError, match=r"resnet\.pth holds no plain vision transformer"):
        load_key_network(tmp_path / "resnet.pth")
    vit = VisionTransformer(dict(name="dino_vits16", embed_dim=40, depth=2, num_heads=2, pretrain_size=64))
    with pytest.raises(ConfigError, match="no released dino transformer has embed_dim=40, depth=2"):
        released_architecture(vit.state_dict(), "dino")
    torch.save({"state_dict": vit.state_dict()}, tmp_path / "own.pth")
    arch = dict(embed_dim=40, depth=2, num_heads=2, pretrain_size=64)
    assert load_key_network(tmp_path / "own.pth", arch).channels == 40


def mutated(state: dict, generator: random.Random) -> object:
    """A checkpoint with some of its names, values and shapes changed."""
    state = dict(state)
    for _ in range(generator.randint(1, 4)):
        name = generator.choice(list(state))
        value = state[name]
        kind = generator.randrange(7)
        if kind == 0:
            del state[name]
        elif kind == 1:
            state[name] = generator.choice([3, "text", None, [1, 2], {"a": 1}])
        elif kind == 2 and isinstance(value, torch.Tensor):
            state[name] = value.flatten()[: generator.randrange(3)]
        elif kind == 3 and isinstance(value, torch.Tensor):
            state[name] = torch.cat([value, value])
        elif kind == 4:
            state[f"blocks.{generator.randrange(99)}.{name}"] = value
        elif kind == 5 and isinstance(value, torch.Tensor):
            state[name] = value.new_full(value.shape, 0).to(torch.int64)
        else:
            state[name.replace("0", "x")] = value
    return generator.choice([state, {"model": state}, {"state_dict": state}, {"teacher": state}, [state]])


@pytest.mark.parametrize("name", ["dino_vits16", "dinov2_vits14_reg", "dinov3_vits16", "mae_base_patch16"])
def test_changed_checkpoints_are_a_sentence_or_a_network(small, tmp_path, name):
    state = official(name, 56)
    refused = 0
    for seed in range(60):
        torch.save(mutated(state, random.Random(seed)), tmp_path / "changed.pth")
        try:
            load_key_network(tmp_path / "changed.pth")
        except Dense3dError as error:
            refused += 1
            assert 20 < len(str(error)) < 3000
    assert refused > 20
