"""Kits of masked scene modelling with other options of the official constructors."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dense3d.apis import build_model
from dense3d.engine import save_checkpoint
from dense3d.errors import DataError
from tests.golden import open_kit, verify_kit
from tests.golden.kit import GoldenKit
from tests.golden.make import write_kit
from tests.golden.msm import network_of
from tests.golden.msm_reference import DenseHUNet
from tests.golden.options import Options
from tests.golden.weights import load_kit, tensors_of

KIT = Path(__file__).parent / "kits" / "msm"
OFFICIAL_BLOCKS = [16, 24, 40, 48, 64]


def kit_with(**changes) -> GoldenKit:
    """The committed kit whose config differs; ``encoder__NAME`` is an argument of the encoder."""
    kit = GoldenKit(KIT)
    kit.meta = copy.deepcopy(kit.meta)
    for key, value in changes.items():
        *parts, name = key.split("__")
        config = kit.meta["config"]
        for part in parts:
            config = config[part]
        config[name] = value
    kit.options = Options(kit.meta["config"], kit.folder)
    return kit


def check(name: str, *outputs: str) -> dict:
    return {"name": name, "outputs": list(outputs)}


def test_without_a_decoder_the_finest_map_comes_in_the_order_of_the_input():
    kit = kit_with(decoder=None)
    run, inputs = open_kit(kit), kit.inputs("encoder")
    finest = run(check("decoder", "level_0"), inputs)["level_0"]  # in the order of scene, x, y, z
    ends = np.concatenate([[0], inputs["offset"]])
    scene = np.repeat(np.arange(len(ends) - 1), np.diff(ends))
    random = np.random.default_rng(0)
    mixed = np.lexsort((random.random(len(scene)), scene))  # another order within each scene
    inputs = {**inputs, "grid_coord": inputs["grid_coord"][mixed], "feat": inputs["feat"][mixed]}
    found = run(check("full", "features"), inputs)["features"]
    place = np.lexsort((*inputs["grid_coord"].T[::-1], scene))
    np.testing.assert_allclose(found[place], finest, rtol=1e-4, atol=1e-5)


def test_what_lists_have_beyond_the_levels_is_unused():
    kit = kit_with()
    inputs = kit.inputs("encoder")
    encoder = kit.meta["config"]["encoder"]
    longer = {
        f"encoder__{name}": [*encoder[name], 8]
        for name in ("channels", "num_heads", "window_sizes", "dec_channels", "dec_num_heads")
    }
    wanted, found = (open_kit(k)(check("decoder", "level_4"), inputs) for k in (kit, kit_with(**longer)))
    np.testing.assert_array_equal(found["level_4"], wanted["level_4"])


@pytest.mark.parametrize("prefix", ["module.student.", "student.", "encoder.", ""])
def test_an_official_file_gives_features_as_it_is(tmp_path, prefix):
    kit = kit_with()
    official = tensors_of(kit)
    state = {name.replace("encoder.", prefix, 1): value for name, value in official.items()}
    state |= {"module.teacher.init_transform.0.bias": torch.ones(16)} if "student" in prefix else {}
    save_checkpoint({"state_dict": state, "epoch": 3}, tmp_path / "model.pth")
    network = network_of(Options(kit.meta["config"]["encoder"], kit.folder))
    sizes = dict(zip(("channels", "convs", "attentions"), ((16, 24, 32, 48, 64), (1,) * 5, (0, 0, 2, 2, 1))))
    sizes |= dict(decoder_channels=(16, 24, 40, 48, 64), decoder_convs=(1,) * 5)
    sizes |= dict(decoder_attentions=(0, 0, 0, 2, 1), num_heads=(2, 2, 4, 6, 8))
    model = build_model(
        dict(type="SceneFeatures", backbone=dict(**sizes, decoder_num_heads=(2, 2, 4, 6, 8))),
        tmp_path / "model.pth",
    )
    wanted = load_kit(network, kit, "msm-backbone").state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in model.backbone.state_dict().items())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(encoder__num_heads=[2, 2]), r"num_heads=\[2, 2\]"),
        (dict(encoder__dec_resnet_layers=[1] * 6), "dec_resnet_layers="),
        (dict(encoder__dec_att_layers=[0] * 4, encoder__dec_resnet_layers=[1] * 4), "dec_att_layers="),
        (dict(encoder__dec_channels=[32, 48, 40, 24, 16]), "dec_channels="),
        (dict(decoder__used_levels=[True] * 4), "used_levels="),
        (dict(decoder__block_size_levels=OFFICIAL_BLOCKS[:2]), "block_size_levels="),
        (dict(decoder__interpolation_method="cubic"), "interpolation_method="),
        (dict(encoder__shuffle_sfc=True), "shuffle_sfc=True .*another each time"),
        (dict(use_point_coords=True), "use_point_coords=True"),
        (dict(encoder__norm="batchnorm"), "'norm'"),
    ],
)
def test_what_is_not_supported_is_refused_by_its_official_name(changes, message):
    with pytest.raises(DataError, match=message):
        open_kit(kit_with(**changes))


def sampled(grid: torch.Tensor, mask: torch.Tensor, coords: torch.Tensor, stride: int, mode: str):
    """``(N, C)`` of a level's grid cut to its occupied extent, as the official decoder reads it."""
    extent = (mask.nonzero().amax(dim=0) + 1).tolist()
    grid = (grid * mask[..., None])[: extent[0], : extent[1], : extent[2]]
    if mode == "nearest":
        return grid[tuple((coords // stride).T)]
    place = (coords + 0.5) / stride / torch.tensor(extent) * 2 - 1
    place = place.flip(1).reshape(1, -1, 1, 1, 3)
    found = F.grid_sample(grid.permute(3, 0, 1, 2)[None], place, align_corners=True)
    return found[0, :, :, 0, 0].T


TWO = dict(
    channels=[6, 8],
    resnet_layers=[1, 2],
    att_layers=[1, 2],
    num_heads=[3, 2],
    window_sizes=[7, 4],
    dec_channels=[8, 10],
    dec_resnet_layers=[0, 1],
    dec_att_layers=[4, 1],
    dec_num_heads=[4, 5],
    dec_window_sizes=[-1, 1],
)
ONE = {key: values[:1] for key, values in TWO.items()} | dict(dec_channels=[6], dec_num_heads=[2])


@pytest.mark.parametrize(
    ("block", "sizes", "out", "mode"),
    [
        ("transformer", TWO, 0, "trilinear"),
        ("transformer", TWO, 3, "nearest"),
        ("transformer++", TWO, 3, "trilinear"),
        ("transformer", ONE, 0, "nearest"),
        ("transformer++", ONE, 2, None),
    ],
)
def test_other_sizes_and_styles_are_those_on_dense_grids(tmp_path, block, sizes, out, mode):
    encoder = dict(type="MSM3D_Encoder", in_channels=4, out_channels=out, att_block_type=block, **sizes)
    encoder |= dict(att_space_filling_curves=["zyx_z-order", "xyz_z-order", "yxz_z-order"], shuffle_sfc=False)
    widths = [*([out] if out else []), *sizes["dec_channels"][::-1]]
    used = [index != 1 for index in range(len(widths))] if len(widths) > 1 else [True]
    decoder = dict(type="MSM3D_InterpolationDecoder", enc_features=widths, used_levels=used)
    config = dict(type="MSM3D_EncDec", encoder=encoder)
    if mode:
        config["decoder"] = dict(decoder, interpolation_method=mode)
    network, random = DenseHUNet(encoder), torch.Generator().manual_seed(0)
    inputs: dict[str, list] = {name: [] for name in ("grid_coord", "feat", "sample_grid_coord")}
    features, levels = [], []
    for count in (60, 25):  # scenes of a batch, of other extents
        coords = torch.randint(0, 4 + count // 16, (count, 3), generator=random).unique(dim=0)
        coords = coords[torch.randperm(len(coords), generator=random)]
        feat = torch.randn(len(coords), 4, generator=random)
        asked = coords[torch.randint(0, len(coords), (40,), generator=random)]
        for name, value in zip(inputs, (coords, feat, asked)):
            inputs[name].append(value)
        grids, masks = network(coords, feat, 8)
        levels.append([grid[mask.bool()] for grid, mask in zip(grids, masks)])  # in the order of x, y, z
        parts = [
            sampled(grid, mask, asked, 2**index, mode)
            for index, (grid, mask) in enumerate(zip(grids, masks))
            if mode and used[index]
        ]
        features.append(torch.cat(parts, dim=1) if mode else grids[0][tuple(coords.T)])
    ends = {
        name: np.cumsum([len(value) for value in inputs[part]])
        for name, part in (("offset", "grid_coord"), ("sample_offset", "sample_grid_coord"))
    }
    arrays = {name: torch.cat(values).numpy() for name, values in inputs.items()} | ends
    outputs = {f"level_{i}": torch.cat(values).numpy() for i, values in enumerate(zip(*levels))}
    tolerances = dict(rtol=1e-4, atol=1e-4, note="")
    checks = [
        dict(name="decoder", inputs=arrays, outputs=outputs, **tolerances),
        dict(name="full", inputs=arrays, outputs={"features": torch.cat(features).numpy()}, **tolerances),
    ]
    source = {"repository": "none", "commit": "", "entry": ""}
    meta = dict(system="msm", source=source, config=config, notes="")
    write_kit(tmp_path, meta, network.arrays, checks)
    rows = verify_kit(tmp_path)
    assert len(rows) == len(outputs) + 1 and [str(row) for row in rows if not row.passed] == []
