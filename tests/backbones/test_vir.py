"""ViR and retention: four forms, of which three are one, causality, states, the class token last."""

from __future__ import annotations

import pytest
import torch

from dense3d.backbones import ViR
from dense3d.checkpoints import convert
from dense3d.errors import CheckpointError, ConfigError
from dense3d.layers import retention as retention_module
from dense3d.layers.retention import FORMS, Retention

ARCH = dict(embed_dim=32, depth=2, num_heads=4, pretrain_size=64, layer_scale=None)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def retention() -> Retention:
    layer = Retention(12, 3)
    torch.nn.init.normal_(layer.qkv.weight)
    return layer.requires_grad_(False)


@pytest.mark.parametrize("count", [1, 15, 16, 17, 50])
def test_parallel_recurrent_and_chunkwise_are_one(count):
    layer = retention()
    heads = layer.heads(torch.randn(2, count, 12))
    parallel, (recurrent, state) = layer.parallel(*heads), layer.recurrent(*heads)
    torch.testing.assert_close(recurrent, parallel, rtol=1e-4, atol=1e-4)
    for chunk in (4, 16):
        chunkwise, last = layer.chunkwise(*heads, chunk=chunk)
        torch.testing.assert_close(chunkwise, parallel, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(last, state, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("group", [2, 3])
def test_states_are_carried_group_by_group(group, monkeypatch):
    monkeypatch.setattr(retention_module, "GROUP", group)
    layer = retention()
    heads = layer.heads(torch.randn(2, 75, 12))
    state = torch.randn(2, 3, 4, 4)
    for ours, truth in zip(layer.chunkwise(*heads, state, chunk=4), layer.recurrent(*heads, state)):
        torch.testing.assert_close(ours, truth, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("form", ["recurrent", "chunkwise"])
def test_a_state_carries_on(form):
    layer = retention()
    heads = layer.heads(torch.randn(2, 40, 12))
    mix = getattr(layer, form)
    whole, end = mix(*heads)
    first, state = mix(*(x[:, :, :21] for x in heads))
    second, last = mix(*(x[:, :, 21:] for x in heads), state)
    torch.testing.assert_close(torch.cat([first, second], dim=2), whole, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(last, end, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_all_forms_but_the_published_are_causal(form):
    layer, tokens = retention(), torch.randn(1, 20, 12)
    layer.form = form
    other = tokens.clone()
    other[:, -1] += 1
    change = (layer(tokens) - layer(other)).abs()[0, :-1].max()
    assert (change > 1e-3) == (form == "softmax")


def test_gradients_of_the_forms_agree():
    gradients = []
    for form in ("parallel", "recurrent", "chunkwise"):
        torch.manual_seed(0)
        layer = Retention(12, 3, form)
        layer(torch.randn(2, 21, 12)).square().sum().backward()
        gradients.append(layer.qkv.weight.grad)
    for gradient in gradients[1:]:
        torch.testing.assert_close(gradient, gradients[0], rtol=1e-4, atol=1e-5)


def test_the_published_form_is_its_formula():
    layer, tokens = retention(), torch.randn(2, 7, 12)
    query, key, value = layer.heads(tokens)
    place = torch.arange(7.0)
    mask = torch.stack([torch.tril(g ** (place[:, None] - place)) for g in layer.gamma])
    expected = layer.join((query @ key.mT * mask).softmax(3) @ value)
    torch.testing.assert_close(layer(tokens), expected)


def test_only_the_class_token_sees_everything():
    vit = ViR(ARCH, form="chunkwise").eval()
    for block in vit.blocks:
        torch.nn.init.normal_(block.attn.qkv.weight)
        torch.nn.init.normal_(block.attn.proj.weight)
    tokens, grid = vit.embed(torch.randn(1, 3, 64, 48))
    other = tokens.clone()
    other[:, -1] += 1  # the last patch, behind which there is the class token alone
    with torch.no_grad():
        change = (vit.run_blocks(tokens, grid) - vit.run_blocks(other, grid)).abs()[0].amax(1)
    assert change[0] > 1e-4 and change[-1] > 1e-4 and change[1:-1].max() < 1e-6


def test_networks_of_the_causal_forms_are_one():
    nets = {form: ViR(ARCH, form=form).eval() for form in ("parallel", "recurrent", "chunkwise")}
    image = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        for net in nets.values():
            net.load_state_dict(nets["parallel"].state_dict())
        expected = nets["parallel"](image)[0]
        for net in nets.values():
            torch.testing.assert_close(net(image)[0], expected, rtol=1e-4, atol=1e-4)
        assert not torch.allclose(ViR(ARCH).eval()(image)[0], expected, atol=0.1)


def test_the_decay_is_no_part_of_the_weights_and_sizes_are_published():
    assert not any("gamma" in name and "attn" in name for name in ViR(ARCH).state_dict())
    for name, millions in (("small_patch16", 22.1), ("base_patch16", 86.6), ("large_patch16", 304.4)):
        with torch.device("meta"):
            vit = ViR(name)
            count = sum(p.numel() for m in (vit, vit.class_head(1000)) for p in m.parameters())
        assert (count - 2 * vit.embed_dims) / 1e6 == pytest.approx(millions, abs=0.1), name


def test_patches_of_14():
    vit = ViR(dict(ARCH, patch_size=14, pretrain_size=(56, 70))).eval()
    assert vit.pos_embed.shape[1] == 20
    with torch.no_grad():
        assert vit(torch.zeros(1, 3, 64, 50))[0].shape == (1, 32, 5, 4)


def test_bad_arguments_and_files_are_explained():
    with pytest.raises(ConfigError, match="form='fast' of a retention"):
        ViR(ARCH, form="fast")
    with pytest.raises(ConfigError, match="a ViR has biases"):
        ViR(dict(ARCH, qkv_bias=False))
    with pytest.raises(CheckpointError, match="it lacks blocks"):
        convert("vir", {"cls_token": torch.ones(1)})
