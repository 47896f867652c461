"""Official CroCo checkpoints: names, settings in their three forms, files through the command."""

from __future__ import annotations

import argparse

import pytest
import torch

from dense3d.apis import convert_checkpoint
from dense3d.backbones import CrocoNetwork, VisionTransformer
from dense3d.checkpoints import convert
from dense3d.checkpoints.croco_settings import parse_call, settings_of
from dense3d.cli.dispatch import main
from dense3d.engine import load_checkpoint, load_into
from dense3d.errors import CheckpointError, ConfigError
from dense3d.pretraining import CroCo
from tests.golden.kit import GoldenKit

SMALL = dict(enc_embed_dim=96, enc_depth=3, enc_num_heads=3, dec_embed_dim=64, dec_depth=2, dec_num_heads=4)
ROPE = dict(SMALL, pos_embed="RoPE100")


def official(golden_dir, kit: str = "croco-pretrain") -> dict[str, torch.Tensor]:
    """The official checkpoint of a kit."""
    return {name: torch.from_numpy(value) for name, value in GoldenKit(golden_dir / kit).state_dict().items()}


@pytest.fixture
def state(golden_dir) -> dict[str, torch.Tensor]:
    return official(golden_dir)


def test_every_name_is_accounted_for(state):
    model = CroCo(dict(ROPE, img_size=96))
    wrapped = {f"module.{name}": value for name, value in state.items()}
    for given in (state, wrapped, {"model": state}):
        assert not load_into(model, convert("croco", given))
    with pytest.raises(CheckpointError, match=r"unexpected names: head\.weight"):
        convert("croco", state | {"head.weight": torch.ones(1)})
    without = {name: value for name, value in state.items() if not name.startswith("prediction_head")}
    with pytest.raises(CheckpointError, match=r"no name like .*prediction_head"):
        convert("croco", without)


def call(**arguments) -> str:
    return f"CroCoNet({', '.join(f'{name}={value!r}' for name, value in arguments.items())})"


@pytest.mark.parametrize(
    "saved",
    [
        {"croco_kwargs": dict(ROPE, img_size=96, mask_ratio=0.8)},
        {"args": {"model": call(**ROPE, mask_ratio=0.8)}},
        {"args": argparse.Namespace(model=call(**ROPE, mask_ratio=0.8), lr=1e-4)},
    ],
    ids=["dict", "options", "namespace"],
)
def test_settings_come_from_what_the_file_says(state, saved):
    found = settings_of({"model": state, "epoch": 3, **saved})
    assert found["mask_ratio"] == 0.8
    assert {name: found["network"][name] for name in ROPE} == ROPE
    load_into(CroCo(found["network"]), convert("croco", state))


def test_the_first_version_has_the_default_arguments(golden_dir):
    with torch.device("meta"):
        first = CrocoNetwork().state_dict()
    found = settings_of({"model": first})["network"]
    assert found["enc_num_heads"] == 12 and found["dec_num_heads"] == 16
    assert found["pos_embed"] == "cosine" and found["img_size"] == 224 and found["dec_depth"] == 8
    small = settings_of({"model": official(golden_dir, "croco-pretrain-cosine")})["network"]
    assert "enc_num_heads" not in small  # neither said nor shown
    assert small["pos_embed"] == "cosine" and small["img_size"] == 64 and small["dec_embed_dim"] == 48


def test_settings_that_no_weight_shows_are_kept(state):
    given = dict(ROPE, pos_embed="RoPE50.5", norm_layer=1e-5, norm_im2_in_dec=False)
    bare = {name: value for name, value in state.items() if ".norm_y." not in name}
    found = settings_of({"croco_kwargs": given, "model": bare})["network"]
    assert (found["pos_embed"], found["norm_eps"], found["norm_im2_in_dec"]) == ("RoPE50.5", 1e-5, False)
    load_into(CroCo(found), convert("croco", bare))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (dict(ROPE, enc_depth=4), "says enc_depth=4, but its weights are of 3: it is damaged"),
        (SMALL, "says pos_embed='cosine', but lacks enc_pos_embed: it is damaged"),
        (dict(ROPE, norm_im2_in_dec=False), "says norm_im2_in_dec=False, but its weights are of True"),
        (dict(ROPE, colour=1), "unknown argument 'colour'"),
    ],
)
def test_settings_that_contradict_the_weights_are_refused(state, given, message):
    with pytest.raises(CheckpointError, match=message):
        settings_of({"croco_kwargs": given, "model": state})


def test_model_strings_are_parsed_and_never_run(tmp_path):
    text = "CroCoNet(img_size=(224, 224), mlp_ratio=4., norm_layer=partial(nn.LayerNorm, eps=1e-5))"
    assert parse_call(text) == dict(img_size=(224, 224), mlp_ratio=4.0, norm_layer=1e-5)
    file = tmp_path / "touched"
    for bad in (
        f"CroCoNet(enc_depth=open({str(file)!r}, 'w').write('x'))",
        f"CroCoNet(enc_depth=__import__('pathlib').Path({str(file)!r}).touch())",
        "CroCoNet(enc_depth=partial(nn.RMSNorm, eps=1))",
    ):
        with pytest.raises(CheckpointError, match="is no plain value"):
            parse_call(bad)
    for bad in ("CroCoNet(224)", "CroCoNet(**x)", "Other(a=1)", "a.CroCoNet(a=1)", "CroCoNet(", "(" * 5000):
        with pytest.raises(CheckpointError, match="is no call CroCoNet"):
            parse_call(bad)
    assert not file.exists()


def test_files_are_converted_and_tell_their_settings(state, tmp_path, capsys):
    source, target = tmp_path / "official.pth", tmp_path / "croco.pth"
    options = argparse.Namespace(model=call(**ROPE), lr=1e-4)
    torch.save({"model": state, "args": options, "optimizer": {}}, source)
    assert main(["convert", "croco", str(source), str(target)]) == 0
    printed = capsys.readouterr().out
    assert "its model, in a config: dict(network=dict(patch_size=16, enc_embed_dim=96," in printed
    checkpoint = load_checkpoint(target)
    settings = checkpoint["meta"]["settings"]
    assert settings["network"]["dec_num_heads"] == 4
    load_into(CroCo(settings["network"]), checkpoint["state_dict"])

    network = CrocoNetwork(**ROPE, init_cfg=dict(type="Pretrained", checkpoint=str(target)))
    network.init_weights()
    for name, value in network.state_dict().items():
        assert torch.equal(value, state[name]), name


def test_networks_start_from_pre_training_or_from_its_encoder(golden_dir, tmp_path):
    state = official(golden_dir, "croco-pretrain-cosine")
    torch.save({"state_dict": convert("croco", state)}, tmp_path / "croco.pth")
    settings = settings_of({"model": state})["network"] | dict(enc_num_heads=2, dec_num_heads=3)
    init_cfg = dict(type="Pretrained", checkpoint=str(tmp_path / "croco.pth"))
    wide = CrocoNetwork(**settings | dict(img_size=(32, 128)), init_cfg=init_cfg)
    wide.init_weights()  # 2 x 8 patches are as many as 4 x 4, but elsewhere
    assert wide.enc_pos_embed.shape == state["enc_pos_embed"].shape
    assert not torch.equal(wide.enc_pos_embed, state["enc_pos_embed"])
    deep = dict(settings, dec_depth=4, dec_embed_dim=24)
    with pytest.raises(CheckpointError, match="does not fit the model CrocoNetwork"):
        CrocoNetwork(**deep, init_cfg=init_cfg).init_weights()
    encoder = CrocoNetwork(**deep, init_cfg=dict(init_cfg, part="encoder"))
    fresh = encoder.decoder_embed.weight.clone()
    encoder.init_weights()
    assert torch.equal(encoder.enc_norm.weight, state["enc_norm.weight"])
    assert torch.equal(encoder.decoder_embed.weight, fresh)
    with pytest.raises(ConfigError, match="part='head' of a CroCo checkpoint"):
        CrocoNetwork(**deep, init_cfg=dict(init_cfg, part="head")).init_weights()


@pytest.mark.parametrize("kit", ["croco-pretrain", "croco-pretrain-cosine"])
def test_the_encoder_alone_is_a_plain_vit(golden_dir, tmp_path, kit):
    state = official(golden_dir, kit)
    torch.save({"model": state}, tmp_path / "official.pth")
    convert_checkpoint("croco-encoder", tmp_path / "official.pth", tmp_path / "vit.pth")
    settings = GoldenKit(golden_dir / kit).meta["config"]
    is_first = settings["pos_embed"] == "cosine"
    arch = dict(
        name="croco_base_patch16" if is_first else "croco_v2_base_patch16",
        pretrain_size=settings["img_size"],
        **{name: settings[f"enc_{name}"] for name in ("embed_dim", "depth", "num_heads")},
    )
    init_cfg = dict(type="Pretrained", checkpoint=str(tmp_path / "vit.pth"))
    vit = VisionTransformer(arch, init_cfg=init_cfg)
    vit.init_weights()
    for name, value in vit.state_dict().items():
        official_name = name if name.startswith("patch_embed") else f"enc_{name}"
        assert torch.equal(value, state[official_name].view_as(value)), name
