"""Official checkpoints of CroCo-Stereo and CroCo-Flow."""

from __future__ import annotations

import argparse

import pytest
import torch

from dense3d.apis import convert_checkpoint
from dense3d.checkpoints import convert, settings
from dense3d.checkpoints.croco_downstream import loss_of
from dense3d.engine.checkpoint import load_checkpoint
from dense3d.errors import CheckpointError
from dense3d.registry import MODELS
from dense3d.stereo.croco_stereo import CrocoMonocular
from tests.golden.kit import GoldenKit

HEAD = "head.dpt."


def official(golden_dir, kit: str = "croco-stereo") -> dict[str, torch.Tensor]:
    """Names and shapes of the official checkpoint without the copies, every tensor with its own values."""
    params = GoldenKit(golden_dir / kit).meta["params"]
    return {name: torch.full(shape, float(i)) for i, (name, shape, _) in enumerate(params)}


def copies(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors that official files hold a second time, under their second names."""
    found = {}
    for name, value in state.items():
        for first, second in (
            ("scratch.layer_rn.{}.", "scratch.layer{}_rn."),
            ("act_postprocess.{}.", "act_{}_postprocess."),
        ):
            for i in range(4):
                if name.startswith(HEAD + first.format(i)):
                    found[name.replace(first.format(i), second.format(i + 1))] = value
    return found


def test_either_name_or_both_give_the_same_head(golden_dir):
    state = official(golden_dir)
    second = copies(state)
    assert len(second) == 4 + 14
    expected = convert("croco-stereo", state)
    firsts = {
        n: v for n, v in state.items() if not n.startswith((f"{HEAD}scratch.layer_rn", f"{HEAD}act_post"))
    }
    for variant in (state | second, second | state, firsts | second):
        converted = convert("croco-stereo", variant)
        assert converted.keys() == expected.keys()
        assert all(torch.equal(value, expected[name]) for name, value in converted.items())
    assert not [name for name in expected if "fusions.3.skip_unit" in name]


def test_copies_that_differ_are_refused(golden_dir):
    state = official(golden_dir)
    state |= copies(state)
    state[f"{HEAD}scratch.layer2_rn.weight"] = state[f"{HEAD}scratch.layer2_rn.weight"] + 1
    with pytest.raises(CheckpointError, match="layer2_rn"):
        convert("croco-stereo", state)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: {n: v for n, v in s.items() if not n.startswith("head.")}, "pre-training"),
        (lambda s: s | {"head.linear.weight": torch.ones(1)}, "head.linear.weight"),
        (lambda s: s | {f"{HEAD}scratch.odd.weight": torch.ones(1)}, "scratch.odd.weight"),
        (lambda s: s | {"mask_token": torch.ones(1)}, "mask_token"),
        (lambda s: {n: v for n, v in s.items() if "refinenet2" not in n}, "refinenet2"),
        (lambda s: {n: v for n, v in s.items() if "decoder_embed" not in n}, "decoder_embed"),
        (lambda s: {n: v for n, v in s.items() if "dpt.head.2." not in n}, "head_type='semseg'"),
        (lambda s: s | {f"{HEAD}head.1.weight": torch.ones(1)}, "use_bn=True"),
        (lambda s: s | {f"{HEAD}scratch.refinenet1.resConfUnit1.bn1.weight": torch.ones(1)}, "use_bn=True"),
    ],
)
def test_other_files_are_refused(golden_dir, change, words):
    with pytest.raises(CheckpointError, match=words):
        convert("croco-flow", change(official(golden_dir, "croco-flow")))


def test_a_whole_file_says_how_to_build_its_model(golden_dir, tmp_path):
    """The official file holds the options of its training command, a Namespace."""
    state = official(golden_dir, "croco-flow")
    network = dict(
        enc_embed_dim=48, enc_depth=2, enc_num_heads=3, dec_embed_dim=48, dec_depth=8, dec_num_heads=2
    )
    options = argparse.Namespace(
        croco_args=dict(network, pos_embed="RoPE100", img_size=(64, 64)),
        crop=[64, 64],
        criterion="LaplacianLossBounded(max_gtnorm=10000.)",
        tile_conf_mode="conf_expsigmoid_10_5",
        val_overlap=0.7,
    )
    torch.save({"model": state | copies(state), "args": options, "epoch": 3}, tmp_path / "flow.pth")
    told = []
    convert_checkpoint("croco-flow", tmp_path / "flow.pth", tmp_path / "ours.pth", told.append)
    assert "LaplacianLossBounded" in " ".join(told)
    model = MODELS.build(dict(type="CrocoFlow", **load_checkpoint(tmp_path / "ours.pth")["meta"]["settings"]))
    model.load_state_dict(load_checkpoint(tmp_path / "ours.pth")["state_dict"])
    assert model.head.hooks == (0, 3, 6, 9)
    assert model.crop_size == (64, 64)
    assert model.loss_function.max_gtnorm == 10000
    with pytest.raises(CheckpointError, match="enc_depth"):
        settings("croco-flow", {"model": state, "args": {"croco_args": dict(network, enc_depth=12)}})


def test_losses_by_their_official_text():
    assert loss_of("LaplacianLossBounded2()") == {"type": "LaplacianLossBounded2"}
    assert loss_of("L1Loss(max_gtnorm=256)") == {"type": "DenseL1Loss", "max_gtnorm": 256}
    for text in ("HuberLoss()", "LaplacianLoss(max_gtnorm=open('x'))"):
        with pytest.raises(CheckpointError):
            loss_of(text)


def test_a_file_that_would_run_code_is_refused_with_the_way_out(golden_dir, tmp_path):
    torch.save(
        {"model": official(golden_dir), "args": argparse.Namespace(run=print)}, tmp_path / "stereo.pth"
    )
    with pytest.raises(CheckpointError, match="DENSE3D_UNSAFE_CHECKPOINTS"):
        convert_checkpoint("croco-stereo", tmp_path / "stereo.pth", tmp_path / "ours.pth")


def test_the_encoder_alone(golden_dir):
    """The official class has no decoder, but a head on four blocks of the encoder."""
    state = official(golden_dir)
    shapes = {
        f"{HEAD}act_postprocess.{i}.0.weight": (width, 64, 1, 1)
        for i, width in enumerate((96, 192, 384, 768))
    }
    state = {name: value for name, value in state.items() if not name.startswith(("dec_", "decoder_"))}
    state |= {name: torch.ones(shape) for name, shape in shapes.items()}
    state |= {
        name.replace("enc_blocks.2.", "enc_blocks.3."): v
        for name, v in state.items()
        if "enc_blocks.2." in name
    }
    network = dict(pos_embed="RoPE100", enc_embed_dim=64, enc_depth=4, enc_num_heads=2)
    model = CrocoMonocular(network, loss=dict(type="LaplacianLoss"))
    model.load_state_dict(convert("croco-monocular", state))
