"""Golden adapters of Swin, FocalNet and ConvNeXt: the kits, and kits of other configurations."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from timm.models import convnext as timm_convnext
from timm.models import focalnet as timm_focalnet
from torchvision.models import swin_transformer as tv_swin

from dense3d.backbones import ConvNeXt, Swin
from dense3d.checkpoints import convert
from dense3d.checkpoints.focalnet import convert as convert_focalnet
from dense3d.errors import DataError
from tests.golden import UnknownCheckError, open_kit, verify_kit
from tests.golden.dino import ConvNeXtOutputs
from tests.golden.kit import GoldenKit
from tests.golden.make import seed_module, write_kit
from tests.golden.weights import tensors_of


def kit_of(folder, system: str, config: dict, params: list, check: dict, **arrays: np.ndarray) -> GoldenKit:
    meta = {"system": system, "config": config, "params": params, "keep": [], "checks": [check]}
    (folder / "kit.json").write_text(json.dumps(meta))
    np.savez(folder / "tensors.npz", **arrays)
    return GoldenKit(folder)


def check_of(name: str, inputs: list, outputs: list, note: str = "") -> dict:
    return {"name": name, "inputs": inputs, "outputs": outputs, "rtol": 1e-4, "atol": 1e-5, "note": note}


def swin_params(config: dict) -> list:
    """Names and shapes of an official Swin, written down anew."""
    dim, side, params = config["embed_dim"], 2 * config["window_size"] - 1, []
    params += [["patch_embed.proj.weight", [dim, 3, 4, 4]], ["patch_embed.proj.bias", [dim]]]
    params += [["patch_embed.norm.weight", [dim]], ["patch_embed.norm.bias", [dim]]]
    if config["ape"]:
        grid = config["pretrain_img_size"] // 4
        params.append(["absolute_pos_embed", [1, dim, grid, grid]])
    for stage, (depth, heads) in enumerate(zip(config["depths"], config["num_heads"])):
        c = dim * 2**stage
        for block in range(depth):
            shapes = {
                "norm1.weight": [c],
                "norm1.bias": [c],
                "attn.relative_position_bias_table": [side**2, heads],
                "attn.qkv.weight": [3 * c, c],
                "attn.proj.weight": [c, c],
                "attn.proj.bias": [c],
                "norm2.weight": [c],
                "norm2.bias": [c],
                "mlp.fc1.weight": [2 * c, c],
                "mlp.fc1.bias": [2 * c],
                "mlp.fc2.weight": [c, 2 * c],
                "mlp.fc2.bias": [c],
            }
            params += [[f"layers.{stage}.blocks.{block}.{n}", s] for n, s in shapes.items()]
        if stage + 1 < len(config["depths"]):
            merging = {"norm.weight": [4 * c], "norm.bias": [4 * c], "reduction.weight": [2 * c, 4 * c]}
            params += [[f"layers.{stage}.downsample.{n}", s] for n, s in merging.items()]
    for stage in config["out_indices"]:
        params += [[f"norm{stage}.{n}", [dim * 2**stage]] for n in ("weight", "bias")]
    return [[*p, "float32"] for p in params]


def test_swin_of_another_width_window_and_grid(tmp_path):
    config = dict(embed_dim=12, depths=[1, 2, 2], num_heads=[2, 3, 4], window_size=4, mlp_ratio=2.0)
    config |= dict(qkv_bias=False, ape=True, pretrain_img_size=24, patch_norm=True, out_indices=[1, 2])
    image = np.random.default_rng(0).standard_normal((2, 3, 41, 30), np.float32)
    names = ["out1", "out2", "stage1_merge"]
    check = check_of("backbone_other", ["image"], names)
    kit = kit_of(tmp_path, "swin", config, swin_params(config), check)
    outputs = open_kit(kit)(check, {"image": image})
    assert {n: v.shape for n, v in outputs.items()} == {
        "out1": (2, 24, 6, 4),
        "out2": (2, 48, 3, 2),
        "stage1_merge": (2, 6, 48),
    }
    model = Swin(
        dict(embed_dim=12, depths=(1, 2, 2), num_heads=(2, 3, 4)),
        window_size=4,
        mlp_ratio=2.0,
        qkv_bias=False,
        absolute_position_size=6,
        out_indices=(1, 2),
    ).eval()
    model.load_state_dict(convert("swin", tensors_of(kit)))
    for name, expected in zip(names, model(torch.from_numpy(image))):
        np.testing.assert_allclose(outputs[name], expected.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_swin_stage_alone_takes_its_grid_from_the_notes(tmp_path):
    config = dict(embed_dim=12, depths=[1, 1], num_heads=[2, 3], window_size=4, mlp_ratio=2.0)
    config |= dict(qkv_bias=False, ape=False, out_indices=[0, 1])
    wide = check_of("layer0", ["x"], ["x", "down"], "layers.0 alone on a 2x18 grid")
    square = check_of("layer0_square", ["x"], ["x", "down"], "layers.0 alone, 6x6")
    silent = check_of("layer0_silent", ["x"], ["x", "down"], "layers.0 alone")
    run = open_kit(kit_of(tmp_path, "swin", config, swin_params(config), wide))
    tokens = np.random.default_rng(0).standard_normal((1, 36, 12), np.float32)
    assert run(wide, {"x": tokens})["down"].shape == (1, 9, 24)  # 1 x 9
    assert np.abs(run(wide, {"x": tokens})["x"] - run(square, {"x": tokens})["x"]).max() > 1e-3
    np.testing.assert_array_equal(run(silent, {"x": tokens})["x"], run(wide, {"x": tokens})["x"])
    with pytest.raises(
        DataError, match="no note says on which grid the 35 tokens of the check 'layer0_silent'"
    ):
        run(silent, {"x": tokens[:, :35]})


def test_swin_runs_stages_behind_the_last_map(tmp_path):
    """Blocks and mergings that a check asks for, though a network without their maps would not run them."""
    config = dict(embed_dim=12, depths=[1, 2, 2], num_heads=[2, 3, 4], window_size=4, mlp_ratio=2.0)
    config |= dict(qkv_bias=False, ape=False, out_indices=[0, 2])
    names = ["out0", "stage0_merge", "stage1_block1", "stage1_merge", "stage2_block1"]
    image = np.random.default_rng(0).standard_normal((1, 3, 41, 30), np.float32)
    found = []
    for indices in ([0, 2], [0]):
        config["out_indices"] = indices
        check = check_of("stages", ["image"], names)
        run = open_kit(kit_of(tmp_path, "swin", config, swin_params(config), check))
        found.append(run(check, {"image": image}))
    for name in names:
        np.testing.assert_allclose(found[0][name], found[1][name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("returned", [[0, 1, 2], [0, 2], [1]])
def test_swin_of_torchvision_with_some_maps(tmp_path, version, returned):
    """torchvision's own network, as Relation-DETR takes its maps."""
    torch.manual_seed(0)
    sizes = dict(embed_dim=24, depths=[1, 2, 2], num_heads=[2, 3, 4], window_size=[4, 4], mlp_ratio=2.0)
    kinds = dict(block=tv_swin.SwinTransformerBlockV2, downsample_layer=tv_swin.PatchMergingV2)
    peer = tv_swin.SwinTransformer([4, 4], **sizes, **(kinds if version == 2 else {})).eval()
    seed_module(peer, keep=("*.relative_coords_table",))
    image, outputs = torch.randn(1, 3, 64, 96), {}
    with torch.no_grad():
        x = image
        for index, module in enumerate(peer.features):
            x = module(x)
            if index % 2 and index // 2 in returned:
                outputs[f"features.{index}"] = x.permute(0, 3, 1, 2).numpy()
    state = {n: v.numpy() for n, v in peer.state_dict().items() if n.startswith("features.")}
    config = dict(sizes, arch="swin_v2_t" if version == 2 else "swin_t", return_indices=returned)
    check = dict(check_of("features", [], []), inputs={"x": image.numpy()}, outputs=outputs)
    meta = {"system": "relation-detr", "source": {}, "config": config}
    write_kit(tmp_path, meta, state, [check], keep=("*.relative_coords_table",))
    assert [str(row) for row in verify_kit(tmp_path) if not row.passed] == []


@pytest.mark.parametrize("indices", [[0, 1, 2, 3], [1, 3], [2], [0]])
def test_convnext_with_some_maps(tmp_path, indices):
    """timm's network, with norms of all stages in the official checkpoint, whichever maps are returned."""
    torch.manual_seed(0)
    dims = [8, 16, 24, 32]
    peer = timm_convnext.ConvNeXt(dims=dims, depths=(1, 2, 2, 1), num_classes=0, ls_init_value=1.0).eval()
    official = {}
    for name, value in peer.state_dict().items():
        name = re.sub(r"^stem\.", "downsample_layers.0.", name)
        name = re.sub(r"^stages\.(\d+)\.downsample\.", r"downsample_layers.\1.", name)
        name = re.sub(r"\.blocks\.", ".", name).replace("conv_dw", "dwconv").replace("mlp.fc", "pwconv")
        if not name.startswith("head"):
            official[name] = value
    for stage, dim in enumerate(dims):
        official |= {f"norm{stage}.weight": torch.ones(dim), f"norm{stage}.bias": torch.zeros(dim)}
    module = Holder(official)
    seed_module(module)
    state = dict(module.state_dict())
    back = {n: v for n, v in convert("convnext", state).items() if n.startswith("body.")}
    peer.load_state_dict({n.removeprefix("body."): v for n, v in back.items()}, strict=False)
    image, maps = torch.randn(1, 3, 75, 110), {}
    with torch.no_grad():
        x = peer.stem(image)
        for stage, module in enumerate(peer.stages):
            x = module(x)
            weight, bias = (state[f"norm{stage}.{n}"] for n in ("weight", "bias"))
            normed = F.layer_norm(x.permute(0, 2, 3, 1), [dims[stage]], weight, bias, 1e-6)
            maps[f"out{stage}"] = normed.permute(0, 3, 1, 2)
            maps[f"stage{stage}_last"] = x
    wanted = [f"out{i}" for i in indices] + ["stage3_last"]
    check = dict(check_of("backbone", [], []), inputs={"image": image.numpy()})
    check["outputs"] = {name: maps[name].numpy() for name in wanted}
    config = dict(dims=dims, depths=[1, 2, 2, 1], out_indices=indices, layer_scale_init_value=1.0)
    meta = {"system": "convnext", "source": {}, "config": config}
    write_kit(tmp_path, meta, {n: v.numpy() for n, v in state.items()}, [check])
    assert [str(row) for row in verify_kit(tmp_path) if not row.passed] == []


class Holder(torch.nn.Module):
    """Tensors with the names of an official checkpoint, to be seeded."""

    def __init__(self, tensors: dict) -> None:
        super().__init__()
        self.tensors = {name: value.clone() for name, value in tensors.items()}

    def state_dict(self) -> dict:
        return self.tensors


FOCALNET = dict(embed_dim=8, depths=(1, 2, 1, 1), num_classes=0)


@pytest.mark.parametrize(
    ("arch", "peer", "options"),
    [
        ("focalnet_tiny_srf", dict(focal_levels=(2, 2, 3, 1), focal_windows=(3, 5, 7, 9)), {}),
        (
            "focalnet_large_lrf",
            dict(focal_levels=(3, 3, 2, 3), focal_windows=(5, 3, 5, 5), use_overlap_down=True)
            | dict(use_post_norm=True, layerscale_value=1e-4),
            {},
        ),
        (
            "focalnet_huge_fl4",
            dict(focal_levels=(4,) * 4, focal_windows=(3,) * 4, use_overlap_down=True, use_post_norm=True)
            | dict(layerscale_value=1e-4, use_post_norm_in_modulation=True),
            {},
        ),
        # what no released model has: norms before with a layer scale, after without; another MLP
        (
            "focalnet_large_lrf_fl4",
            dict(focal_levels=(2,) * 4, focal_windows=(3,) * 4, layerscale_value=1e-4, mlp_ratio=2.0),
            dict(use_postln=False, normalize_modulator=False, use_conv_embed=False),
        ),
        (
            "focalnet_tiny_lrf",
            dict(focal_levels=(3,) * 4, focal_windows=(3,) * 4, use_post_norm=True, normalize_modulator=True),
            dict(use_postln=True, normalize_modulator=True, focal_levels=[3] * 4),
        ),
    ],
)
@pytest.mark.parametrize("returned", [(0, 1, 2, 3), (1, 3)])
def test_focalnet_with_other_levels_windows_and_norms(tmp_path, arch, peer, options, returned):
    torch.manual_seed(0)
    network = timm_focalnet.FocalNet(**FOCALNET, **peer).eval()
    official = {}
    for name, value in network.state_dict().items():
        name = re.sub(r"^stem\.", "patch_embed.", name)
        name = re.sub(r"layers\.(\d)\.downsample", lambda m: f"layers.{int(m[1]) - 1}.downsample", name)
        name = re.sub(r"\.ls([12])\.gamma", r".gamma_\1", name).replace("_post.", ".")
        name = name.replace("modulation.norm.", "modulation.ln.")
        if re.search(r"\.(modulation\.(f|proj)|mlp\.fc[12])\.weight$", name):
            value = value[:, :, 0, 0]
        official[name] = value
    official = {n: v for n, v in official.items() if not n.startswith(("norm.", "head."))}
    norms = {f"norm{s}.{n}": torch.zeros(8 * 2**s) for s in returned for n in ("weight", "bias")}
    module = Holder(official | norms)
    seed_module(module)
    state = module.state_dict()
    ours = convert_focalnet(state, post_norm=peer.get("use_post_norm", False))
    network.load_state_dict(
        {n.removeprefix("body."): v for n, v in ours.items() if n.startswith("body.")}, strict=False
    )
    image, outputs = torch.randn(1, 3, 64, 96), {}
    with torch.no_grad():
        x = network.stem(image)
        for stage, layer in enumerate(network.layers):
            x = layer(x)
            if stage in returned:
                weight, bias = (state[f"norm{stage}.{n}"] for n in ("weight", "bias"))
                normed = F.layer_norm(x.permute(0, 2, 3, 1), [x.shape[1]], weight, bias, 1e-5)
                outputs[f"layers.{stage}.blocks"] = normed.permute(0, 3, 1, 2).numpy()
    check = dict(check_of("features", [], []), inputs={"x": image.numpy()}, outputs=outputs)
    meta = {"system": "relation-detr", "source": {}, "config": dict(arch=arch, **options)}
    write_kit(tmp_path, meta, {n: v.numpy() for n, v in state.items()}, [check])
    assert [str(row) for row in verify_kit(tmp_path) if not row.passed] == []


def test_convnext_layer_decay_of_other_recipes(golden_dir):
    kit = GoldenKit(golden_dir / "convnext")
    run = open_kit(kit)
    check = check_of("layer_decay_stage", ["decay_rate"], ["lr", "weight_decay"])
    inputs = {"num_layers": 12, "decay_rate": 0.9, "stage_wise": 1, "weight_decay": 0.1, "lr": 1.0}
    rates = run(check, {k: np.array(v) for k, v in inputs.items()})
    names = [p[0] for p in kit.meta["params"]]
    of_name = dict(zip(names, rates["lr"]))
    assert of_name["downsample_layers.3.1.weight"] == pytest.approx(0.9**13)
    assert of_name["stages.0.2.gamma"] == pytest.approx(0.9**12)
    assert of_name["stages.3.0.dwconv.weight"] == pytest.approx(0.9**9)
    assert of_name["norm3.bias"] == 1.0
    assert set(zip([n.endswith("gamma") for n in names], rates["weight_decay"])) == {
        (True, 0),
        (False, 0),
        (False, 0.1),
    }
    rates = run(check, {k: np.array(v) for k, v in (inputs | {"stage_wise": 0}).items()})
    of_name = dict(zip(names, rates["lr"]))
    assert of_name["stages.3.0.dwconv.weight"] == pytest.approx(0.9)
    assert of_name["stages.2.8.dwconv.weight"] == pytest.approx(0.9**8)


def test_dinov3_maps_are_resized_to_a_patch_size(tmp_path):
    model = ConvNeXt(dict(dims=(4, 8, 12, 16), depths=(1, 1, 1, 1)), output_norm="last")
    outputs = ConvNeXtOutputs(model.eval(), patch_size=16)
    check = check_of("intermediate", ["image"], ["map0", "map3", "cls0"])
    found = outputs.run(check, {"image": np.ones((1, 3, 64, 96), np.float32)})
    assert found["map0"].shape == (1, 4, 4, 6)
    assert found["map3"].shape == (1, 16, 4, 6)
    assert found["cls0"].shape == (1, 4)


def test_unknown_checks_are_failures(golden_dir):
    check = check_of("speed", ["image"], ["seconds"])
    for name in ("swin", "convnext", "relation-detr-swin", "relation-detr-focalnet", "dinov3-convnext"):
        run = open_kit(GoldenKit(golden_dir / name))
        with pytest.raises(UnknownCheckError, match="'speed'"):
            run(check, {"image": np.zeros((1, 3, 64, 64), np.float32)})
        with pytest.raises(UnknownCheckError, match="'speed'"):
            run(check, {"a": np.zeros(1), "b": np.zeros(1)})
