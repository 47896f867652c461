"""HUNet and the scenes that it takes: batches, gradients, options, odd clouds."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dense3d.checkpoints import convert
from dense3d.engine import load_into
from dense3d.errors import CheckpointError, ConfigError, DataError
from dense3d.pointcloud import HUNet
from dense3d.pointcloud.hunet.blocks import Residual, rising_rates
from dense3d.pointcloud.sparse import (
    SparseLevel,
    build_pyramid,
    join_scenes,
    match_levels,
    sample_levels,
    voxelize_scene,
)
from dense3d.registry import MODELS
from dense3d.structures import PointCloud

SMALL = dict(
    channels=(8, 12, 16),
    convs=(1, 1, 1),
    attentions=(0, 1, 2),
    num_heads=(1, 3, 2),
    windows=(16, 16, 16),
    decoder_channels=(8, 12, 16),
    decoder_convs=(1, 1, 1),
    decoder_attentions=(0, 0, 1),
    decoder_num_heads=(1, 3, 2),
    decoder_windows=(16, 16, 16),
)


def network(**options) -> HUNet:
    torch.manual_seed(0)
    return HUNet(**{"in_channels": 6, **SMALL, **options})


def cloud(count: int = 400, seed: int = 0, **attributes) -> PointCloud:
    generator = np.random.default_rng(seed)
    points = generator.uniform(0, 0.4, (count, 3)) * (1, 1, 0.2)
    given = {"colors": generator.random((count, 3)), "normals": generator.normal(size=(count, 3))}
    return PointCloud(points, **{**given, **attributes})


def run(model: HUNet, *clouds: PointCloud) -> tuple[list[Tensor], Tensor]:
    """Maps, and features at all points."""
    scenes = [voxelize_scene(each) for each in clouds]
    coords, scene, features = join_scenes(scenes)
    pyramid = build_pyramid(coords, scene, model.depth)
    maps = model(pyramid, features)
    asked = torch.cat([each.sample_coords for each in scenes])
    numbers = torch.arange(len(scenes)).repeat_interleave(torch.tensor([len(c) for c in clouds]))
    return maps, sample_levels(pyramid, maps, asked, numbers, levels=model.out_levels)


def test_a_batch_of_scenes_is_its_scenes():
    model, clouds = network().eval(), [cloud(seed=1), cloud(90, seed=2), cloud(1)]
    _, together = run(model, *clouds)
    alone = torch.cat([run(model, each)[1] for each in clouds])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert together.shape == (491, 8 + 12 + 16)


@pytest.mark.parametrize("block", ["transformer++", "transformer"])
def test_every_parameter_has_a_gradient(block):
    model = network(block=block, final_channels=5, drop_path=0.0).train()
    maps, _ = run(model, cloud(120), cloud(120, seed=1))
    assert [m.shape[1] for m in maps] == list(model.out_channels) == [5, 8, 12, 16]
    assert model.out_levels == (0, 0, 1, 2)
    sum((m * torch.randn_like(m)).sum() for m in maps).backward()
    lacking = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not lacking


def test_the_released_large_model_has_its_published_size():
    """67.610 million parameters, by the authors' count."""
    with torch.device("meta"):
        model = HUNet()
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 3) == 67.610
    assert sum(model.out_channels) == 928


def test_an_encoded_part_decodes_within_the_whole():
    """As in masked pre-training: the encoder sees some voxels, the decoder all."""
    model, scene = network().eval(), voxelize_scene(cloud())
    full = build_pyramid(scene.coords, depth=model.depth)
    kept = (torch.arange(len(scene)) % 4 > 0).nonzero()[:, 0]
    sub = build_pyramid(scene.coords[kept], depth=model.depth)
    seen = model.encode(sub, scene.features[kept])
    filled = [
        torch.zeros(len(level), part.shape[1]).index_copy(0, index, part)
        for level, part, index in zip(full.levels, seen, match_levels(sub, full))
    ]
    assert [len(m) for m in model.decode(full, filled)] == [len(level) for level in full.levels]
    everything = model.decode(full, model.encode(full, scene.features))
    for a, b in zip(everything, model(full, scene.features)):
        torch.testing.assert_close(a, b)


def test_evaluation_repeats_itself_and_training_does_not():
    model, scene = network(attn_drop=0.1).eval(), cloud(200)
    assert torch.equal(run(model, scene)[1], run(model, scene)[1])
    model.train()
    assert not torch.equal(run(model, scene)[1], run(model, scene)[1])


@pytest.mark.parametrize(("when", "training", "varies"), [
    ("always", False, True), ("train", False, False), ("train", True, True), ("never", True, False),
])  # fmt: skip
def test_when_curves_are_shuffled(when, training, varies):
    model = network(shuffle_curves=when, attn_drop=0.0, drop_path=0.0).train(training)
    results = [run(model, cloud(200))[1] for _ in range(6)]
    assert any(not torch.equal(results[0], other) for other in results[1:]) == varies


def test_stochastic_depth_is_by_scene():
    level = SparseLevel(torch.arange(6).view(2, 3).repeat(50, 1), torch.arange(100))
    torch.manual_seed(3)
    branch = Residual(2, drop_path=0.25).train()(torch.zeros(100, 2), torch.ones(100, 2), level)
    assert set((branch.detach() * 7.5).round(decimals=4).unique().tolist()) == {0.0, 1.0}  # 0.1 / 0.75
    assert torch.equal(branch[:, 0], branch[:, 1])
    assert 60 < (branch[:, 0] > 0).sum() < 90
    with pytest.raises(ConfigError, match="drop path rate 1"):
        Residual(2, drop_path=1.0)


def test_ramps_of_stochastic_depth():
    """Over the encoder's blocks from 0 to the rate, over the decoder's back to 0, in the order they run."""
    model = network(drop_path=0.4)

    def rates(stages: list[nn.Module]) -> list[float]:
        blocks = [b for stage in stages for b in (*stage.convs, *stage.attentions)]
        return [getattr(b, "residual", None) or b.residual1 for b in blocks]

    encoder = [r.drop_path for r in rates(list(model.encoder))]
    decoder = [r.drop_path for r in rates(list(model.decoder)[::-1])]
    np.testing.assert_allclose(encoder, np.linspace(0, 0.4, 6))
    np.testing.assert_allclose(decoder, np.linspace(0.4, 0, 4))
    assert rising_rates(0.3, [0, 1]) == [[], [0.0]]


def test_initial_scales_of_branches():
    model = network()
    gammas = {n: p for n, p in model.named_parameters() if n.endswith("gamma")}
    assert len(gammas) == 6 + 2 * 4
    assert all((p == torch.tensor(0.1)).all() for p in gammas.values())
    assert all((p == 1).all() for p in model.up_scale)


def test_clouds_without_colour_or_normal_say_so():
    both = voxelize_scene(cloud())
    assert both.missing == ()
    for missing, columns in (("color", slice(0, 3)), ("normal", slice(3, 6))):
        scene = voxelize_scene(cloud(**{f"{missing}s": None}))
        assert scene.missing == (missing,)
        assert not scene.features[:, columns].any()
        other = slice(3, 6) if missing == "color" else slice(0, 3)
        assert torch.equal(scene.features[:, other], both.features[:, other])
    bare = voxelize_scene(PointCloud(cloud().points))
    assert bare.missing == ("color", "normal")
    model = network().eval()
    assert run(model, PointCloud(cloud().points))[1].isfinite().all()
    assert voxelize_scene(cloud(), features=("normal",)).features.shape[1] == 3
    assert voxelize_scene(cloud(), features=()).features.shape[1] == 0
    with pytest.raises(DataError, match="not 'height'"):
        voxelize_scene(cloud(), features=("height",))


def test_voxels_and_their_points():
    given = cloud(600)
    scene = voxelize_scene(given, generator=torch.Generator().manual_seed(4))
    assert len(scene) < 600  # some share a voxel
    assert torch.equal(scene.coords[scene.inverse], scene.sample_coords)
    assert torch.equal(scene.inverse[scene.chosen], torch.arange(len(scene)))
    assert scene.coords.amin(dim=0).tolist() == [0, 0, 0]
    torch.testing.assert_close(scene.features[:, :3], torch.from_numpy(2 * given.colors - 1)[scene.chosen])
    assert scene.points[:, 2].min() == 0
    torch.testing.assert_close(scene.points[:, :2].amin(dim=0), -scene.points[:, :2].amax(dim=0))
    cells = (scene.points.double() / 0.02).floor()
    assert torch.equal(cells.long() - cells.long().amin(dim=0), scene.sample_coords)
    again = voxelize_scene(given, generator=torch.Generator().manual_seed(4))
    assert torch.equal(scene.chosen, again.chosen)
    assert not torch.equal(scene.chosen, voxelize_scene(given).chosen)


def test_odd_clouds():
    model = network().eval()
    one, twice = PointCloud([[1.0, 2, 3]]), PointCloud([[1.0, 2, 3]] * 5)
    assert torch.equal(run(model, one)[1].expand(5, -1), run(model, twice)[1])
    far = PointCloud(cloud().points + np.float32(4e5))
    assert run(model, far)[1].isfinite().all()
    with pytest.raises(DataError, match="the cloud has no point"):
        voxelize_scene(PointCloud(np.zeros((0, 3))))
    with pytest.raises(DataError, match="room: 1 points are not finite: drop them"):
        voxelize_scene(PointCloud([[np.nan, 0, 0], [0, 0, 0]], name="room"))
    with pytest.raises(DataError, match="colours are not finite"):
        voxelize_scene(PointCloud([[0.0, 0, 0]], colors=[[np.nan, 0, 0]]))
    with pytest.raises(DataError, match="voxel_size must be a positive length"):
        voxelize_scene(one, voxel_size=0)
    with pytest.raises(DataError, match="too small for coordinates"):
        voxelize_scene(PointCloud([[0.0, 0, 0], [1e30, 0, 0]]))
    nameless = voxelize_scene(PointCloud([[0.0, 0, 0]], normals=[[np.nan, np.inf, 1]]))
    assert nameless.features[0, 3:].tolist() == [0, 0, 1]
    with pytest.raises(DataError, match="at least one scene"):
        join_scenes([])


def test_no_voxel_at_all():
    model = network().eval()
    pyramid = build_pyramid(torch.zeros(0, 3, dtype=torch.long), depth=model.depth)
    assert [tuple(m.shape) for m in model(pyramid, torch.zeros(0, 6))] == [(0, 8), (0, 12), (0, 16)]


def test_half_precision_by_autocast():
    model, scene = network().eval(), cloud()
    exact = run(model, scene)[1]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = run(model, scene)[1]
    assert (low.float() - exact).abs().mean() < 0.05 * exact.abs().mean()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(convs=(1, 1)), "convs=[1, 1] of a HUNet must have 3 entries"),
        (dict(decoder_channels=(8, 12, 20)), "decoder_channels[-1]=20 must be channels[-1]=16"),
        (dict(num_heads=(1, 5, 2)), "12 channels are not divided by 5 heads"),
        (dict(block="conformer"), "block='conformer' of a HUNet"),
        (dict(curves=("xyz_peano",)), "curves=['xyz_peano'] of a HUNet"),
        (dict(curves=()), "curves=[] of a HUNet"),
        (dict(shuffle_curves=True), "shuffle_curves=True of a HUNet"),
        (dict(attn_drop=1.0), "attn_drop=1.0 of a HUNet"),
    ],
)
def test_bad_settings_are_refused_by_name(options, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        network(**options)


def test_other_inputs_are_refused():
    model, scene = network(), voxelize_scene(cloud(10))
    with pytest.raises(DataError, match=r"has 3 levels and the pyramid 5: build_pyramid\(\.\.\., depth=3\)"):
        model(build_pyramid(scene.coords), scene.features)
    with pytest.raises(DataError, match=r"for this network, not \(\d+, 3\)"):
        model(build_pyramid(scene.coords, depth=3), scene.features[:, :3])


def test_it_is_built_from_the_registry():
    assert isinstance(MODELS.build(dict(type="HUNet", in_channels=3, **SMALL)), HUNet)


def official_state(model: HUNet, gated: bool) -> dict[str, Tensor]:
    """The weights as a released file has them: its prefix, names, order of levels and shapes."""
    state, top = {}, model.depth - 1

    def put(name: str, module: nn.Module, is_norm: bool = False) -> None:
        for key, value in module.state_dict().items():
            state[f"module.student.{name}.{'scale' if is_norm and gated else key}"] = value

    def put_gamma(name: str, gamma: Tensor) -> None:
        state[f"module.student.{name}.gamma"] = gamma.detach()[None]

    put("init_transform.0", model.stem[0])
    put("init_transform.1.norm", model.stem[1], True)
    put("decoder_init_norm.norm", model.bottleneck_norm, True)
    for level in range(model.depth):
        for side, stage, place in (
            ("enc", model.encoder[level], level),
            ("dec", model.decoder[level], top - level),
        ):
            for i, block in enumerate(stage.convs):
                name = f"resnet_{side}.{place}.{i}"
                put(f"{name}.conv1", block.conv1)
                put(f"{name}.conv2", block.conv2)
                put(f"{name}.norm.norm", block.norm1, True)
                put(f"{name}.norm_post_layer.norm", block.norm2, True)
                put_gamma(f"{name}.skip_path", block.residual.gamma)
            for i, block in enumerate(stage.attentions):
                name = f"att_{side}.{place}.{i + 1}"  # the curves come before them
                put(f"{name}.norm.norm", block.norm1, True)
                put(f"{name}.linear_in", block.attn.qkv)
                put(f"{name}.linear_out", block.attn.proj)
                put(f"{name}.mlp_norm.norm" if gated else f"{name}.mlp.0.norm", block.norm2, True)
                put(f"{name}.mlp_lin_1" if gated else f"{name}.mlp.1", block.mlp.fc1)
                put(f"{name}.mlp_lin_2" if gated else f"{name}.mlp.3", block.mlp.fc2)
                put_gamma(f"{name}.skip_path_1", block.residual1.gamma)
                put_gamma(f"{name}.skip_path_2", block.residual2.gamma)
    for step in range(top):
        finer = top - 1 - step
        put(f"down.{step}.0", model.down[step])
        put(f"down.{step}.1.norm", model.down_norm[step], True)
        put(f"up.{step}.0.norm", model.up_norm[finer], True)
        put(f"up.{step}.1", model.up[finer])
        put(f"linears_skip.{step}.0.norm", model.skip[finer][0], True)
        put(f"linears_skip.{step}.1", model.skip[finer][1])
        put_gamma(f"skip.{step}", model.up_scale[finer])
    if model.final is not None:
        put("final_stem", model.final)
    return state


@pytest.mark.parametrize(("block", "final"), [("transformer++", 0), ("transformer", 5)])
def test_a_released_file_converts(block, final):
    """The kits have bare names and one style; the released file has containers, a prefix and a teacher."""
    model = network(block=block, final_channels=final)
    for value in model.state_dict().values():
        nn.init.normal_(value)
    student = official_state(model, gated=block == "transformer++")
    file = {
        "epoch": 3,
        "state_dict": {**student, "module.teacher.x": torch.ones(1), "module.student.mask": 1},
    }
    again = network(block=block, final_channels=final)
    load_into(again, convert("msm-backbone", file), source="model.pth")
    own = model.state_dict()
    assert all(torch.equal(value, own[name]) for name, value in again.state_dict().items())
    assert set(convert("msm", file)) == {f"backbone.{name}" for name in own}


def test_what_is_no_released_file_is_refused():
    model = network()
    state = official_state(model, gated=True)
    with pytest.raises(CheckpointError, match="no official msm checkpoint"):
        convert("msm", {"state_dict": {"module.teacher.x": torch.ones(1)}})
    with pytest.raises(CheckpointError, match=r"unexpected names: down\.9\.7\.weight"):
        convert("msm-backbone", {**state, "module.student.down.9.7.weight": torch.ones(1)})
    del state["module.student.down.0.0.bias"]
    with pytest.raises(CheckpointError, match=r"down\.0\.bias"):
        load_into(model, convert("msm-backbone", state), source="part.pth")
