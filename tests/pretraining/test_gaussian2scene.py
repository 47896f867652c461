"""Gaussian2Scene: masks, projection, both stages, what becomes of their weights, bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from dense3d.checkpoints.pimae import encoder_layers, tokenizer_weights
from dense3d.detection3d.threedetr.transformer import PointEncoder
from dense3d.engine import load_into
from dense3d.errors import CheckpointError, ConfigError, DataError
from dense3d.pointcloud import PointNet2
from dense3d.pointcloud.point_tokenizer import PointTokenizer
from dense3d.pretraining import Gaussian2SceneStage1, Gaussian2SceneStage2
from dense3d.pretraining.gaussian2scene.gaussian_head import GaussianHead
from dense3d.pretraining.gaussian2scene.masking import mask_of_order, patch_order, touched_patches
from dense3d.pretraining.gaussian2scene.rendering import render_scenes
from dense3d.pretraining.gaussian2scene.views import SceneViews, patch_indices, project_points
from dense3d.results.scene import SceneResult
from dense3d.structures.camera import PinholeCamera

ARCH = dict(embed_dim=32, depth=1, num_heads=2, position=None, class_token=False, final_norm=False)
SMALL = dict(
    dim=32,
    num_groups=10,
    group_size=4,
    image_encoder=dict(arch=ARCH),
    point_encoder=dict(depth=2, num_heads=2, feedforward_dim=16),
    shared_encoder=dict(depth=1, num_heads=2, feedforward_dim=16),
    decoder=dict(dim=24),
)
TRUNK = dict(
    type="PointNet2",
    in_channels=1,
    num_points=(12, 6),
    radii=(0.5, 1.0),
    num_neighbours=(4, 4),
    channels=((16,), (24,)),
    propagation=((20,),),
)
HEIGHT, WIDTH = 32, 48


def scenes(batch: int = 2, views: int = 1, points: int = 80) -> dict[str, torch.Tensor]:
    """Clouds two to three metres before cameras that look along y, z up."""
    random = torch.Generator().manual_seed(0)
    clouds = torch.rand(batch, points, 3, generator=random) * 2 - torch.tensor([1.0, -2.0, 0.5])
    camera = PinholeCamera.look_at((0, 0, 0.5), (0, 1, 0.5), WIDTH, HEIGHT, fov=math.radians(80))
    matrices = [torch.from_numpy(m.copy()).float() for m in (camera.world_to_camera, camera.intrinsics)]
    world_to_camera, intrinsics = (m.expand(batch, views, *m.shape) for m in matrices)
    images = torch.randn(batch, views, 3, HEIGHT, WIDTH, generator=random)
    depths = torch.full((batch, views, HEIGHT, WIDTH), 2.5)
    depths[..., :4] = 0
    return dict(
        points=clouds, images=images, world_to_camera=world_to_camera, intrinsics=intrinsics, depths=depths
    )


@pytest.fixture(scope="module")
def stage1() -> Gaussian2SceneStage1:
    torch.manual_seed(0)
    return Gaussian2SceneStage1(**SMALL, cross_modal=True).eval()


def test_pixels_come_back_when_they_are_projected_again():
    camera = PinholeCamera.look_at((1, 2, 1.5), (0, 0, 0.5), 64, 48, fov=1.2, roll=0.1)
    pixels = np.array([[0, 0], [63, 0], [0, 47], [63, 47], [20.25, 30.5]])
    points = torch.from_numpy(camera.unproject(pixels, np.array([1, 2, 3, 4, 2.5])))[None]
    matrices = (torch.from_numpy(m.copy())[None] for m in (camera.world_to_camera, camera.intrinsics))
    places, seen = project_points(points, *matrices, (48, 64))
    np.testing.assert_allclose(places[0].numpy() * [64, 48] - 0.5, pixels, atol=1e-9)
    assert seen.all()


def test_pimae_rounds_to_whole_pixels_of_its_own_size():
    camera = torch.eye(4)[None], torch.eye(3)[None] * torch.tensor([[100.0], [100.0], [1.0]])
    exact = project_points(torch.tensor([[[0.1, 0.2, 1.0]]]), *camera, (256, 352))[0][0, 0]
    rounded = project_points(torch.tensor([[[0.1, 0.2, 1.0]]]), *camera, (256, 352), "pimae")[0][0, 0]
    pixels = rounded * torch.tensor([730.0, 530.0])
    torch.testing.assert_close(pixels, pixels.round())
    assert 0 < (exact - rounded).abs().max() < 1.1 / 530


def test_complement_shows_what_uniform_hides():
    touched = torch.zeros(3, 40, dtype=torch.bool)
    touched[:, ::5] = True
    noise = torch.rand(3, 40)
    hidden = {m: mask_of_order(patch_order(m, touched, noise), 0.6).hidden for m in ("uniform", "complement")}
    assert hidden["uniform"][touched].all()
    assert not hidden["complement"][touched].any()
    for mask in hidden.values():
        assert mask.sum(dim=1).tolist() == [24, 24, 24]


def test_points_outside_the_image_touch_no_patch():
    places = torch.tensor([[[0.6, 0.4], [-1.0, -1.0], [1.4, 0.5]]])
    seen = torch.tensor([[True, False, False]])
    found = touched_patches(patch_indices(places, (2, 3), 16), seen, 6)
    assert found.nonzero().tolist() == [[0, 1]]


@pytest.mark.parametrize("mode", ["random", "uniform", "complement"])
def test_stage_one_learns_from_all_that_is_visible(mode):
    torch.manual_seed(0)
    model = Gaussian2SceneStage1(**SMALL, image_mask=mode, cross_modal=True)
    losses = model(scenes(), mode="loss")
    assert sorted(losses) == ["loss_cross", "loss_pixels", "loss_points"]
    sum(losses.values()).backward()
    silent = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert silent == []


def test_batch_equals_single_scenes(stage1):
    whole = scenes()
    groups = stage1.draw_groups(stage1.group(whole["points"]).centres)
    order = torch.stack([torch.randperm(6), torch.randperm(6)])
    together = stage1(whole, groups=groups, order=order)
    for i in range(2):
        one = slice(i, i + 1)
        alone = stage1({k: v[one] for k, v in whole.items()}, groups=groups[one], order=order[one])
        torch.testing.assert_close(alone.points, together.points[one], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(alone.decoded.pixels, together.decoded.pixels[one], rtol=1e-4, atol=1e-5)


def test_padding_is_no_floor():
    """A small cloud in a batch gives the tokens of the same cloud alone."""
    model = Gaussian2SceneStage2({**SMALL, "point_encoder": TRUNK}).eval()
    clouds = list(scenes(points=120)["points"] + torch.tensor([0.0, 0.0, 3.0]))  # 0 is far below the floor
    clouds[1] = clouds[1][:40]
    groups = model.autoencoder.draw_groups(torch.zeros(2, 10, 3))
    together = model(
        dict(points=torch.cat(clouds), lengths=torch.tensor([120, 40])), groups=groups, mode="tensor"
    )
    alone = model(dict(points=clouds[1][None]), groups=groups[1:], mode="tensor")
    torch.testing.assert_close(together.points[1:], alone.points, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("fill", [0.25, 0.75])
def test_colours_may_be_added_to_those_of_the_cloud(fill):
    model = Gaussian2SceneStage2(SMALL, colours="residual").eval()
    batch = {**scenes(), "features": torch.full((2, 80, 3), 2 * fill - 1)}
    colors = model(batch, mode="tensor").gaussians.colors
    torch.testing.assert_close(colors, torch.full_like(colors, fill))
    with pytest.raises(ConfigError, match="needs the colours"):
        model(scenes(), mode="tensor")


def test_hidden_parts_have_no_influence(stage1):
    """But for the places of hidden groups, which the decoder is given."""
    whole = scenes(1)
    patches = stage1.group(whole["points"])
    groups = torch.zeros(1, 10, dtype=torch.bool)
    groups[:, 5:] = True
    order = torch.arange(6)[None]
    before = stage1(whole, groups=groups, order=order)
    images = whole["images"].clone()
    hidden = before.mask.patches.hidden[0].view(2, 3).repeat_interleave(16, 0).repeat_interleave(16, 1)
    images[..., hidden] = 7.0
    after = stage1({**whole, "images": images}, groups=groups, order=order)
    torch.testing.assert_close(before.points, after.points)
    torch.testing.assert_close(before.decoded.pixels, after.decoded.pixels)
    moved = patches._replace(points=patches.points + groups[..., None, None])
    seen = (
        stage1.point_encoder(whole["points"], p, ~groups, stage1.point_modality) for p in (patches, moved)
    )
    assert torch.equal(*(tokens.features for tokens in seen))


def test_initial_weights_are_pimaes():
    torch.manual_seed(0)
    model = Gaussian2SceneStage1(preset="pimae", num_groups=16)
    matrix = model.shared_encoder.layers[0].feedforward[0].weight
    assert abs(matrix.std().item() - 0.02) < 0.002
    packed = model.shared_encoder.layers[0].attention.in_proj.weight
    limit = math.sqrt(6 / (256 + 768))
    assert 0.95 * limit < packed.abs().max().item() <= limit
    for vector in (model.cls_token, model.image_modality, model.point_modality):
        assert not vector.any()
    assert abs(model.decoder.image_mask_token.std().item() - 0.02) < 0.006


@pytest.mark.parametrize(
    "encoder",
    [TRUNK, dict(type="PointTransformer", embed_dim=24, depth=1, num_heads=2)],
    ids=lambda e: e["type"],
)
def test_other_encoders_of_points(encoder):
    model = Gaussian2SceneStage2({**SMALL, "point_encoder": encoder})
    sum(v for k, v in model(scenes(), mode="loss").items() if "loss" in k).backward()
    network = model.autoencoder.point_encoder.network
    assert all(
        p.grad is not None and p.grad.isfinite().all() for p in network.parameters() if p.requires_grad
    )


def test_weights_that_a_part_names_are_loaded(tmp_path):
    trunk = PointNet2(**{k: v for k, v in TRUNK.items() if k != "type"})
    torch.save(trunk.state_dict(), tmp_path / "trunk.pth")
    init = dict(type="Pretrained", checkpoint=str(tmp_path / "trunk.pth"))
    model = Gaussian2SceneStage2({**SMALL, "point_encoder": dict(**TRUNK, init_cfg=init)})
    model.init_weights()
    for theirs, ours in zip(trunk.parameters(), model.autoencoder.point_encoder.network.parameters()):
        assert torch.equal(theirs, ours)


def test_other_encoder_of_images_with_class_token():
    arch = dict(name="mae_base_patch16", embed_dim=48, depth=1, num_heads=3)
    model = Gaussian2SceneStage1(**{**SMALL, "image_encoder": dict(arch=arch)})
    assert model(scenes(), mode="loss")["loss_pixels"].isfinite()
    with pytest.raises(ConfigError, match="relative or rotary positions"):
        Gaussian2SceneStage1(**{**SMALL, "image_encoder": dict(arch=dict(name="dinov3_vits16", depth=1))})


def test_stage_two_starts_as_a_silhouette_and_all_attributes_learn():
    torch.manual_seed(0)
    model = Gaussian2SceneStage2(
        {**SMALL, "num_groups": 40, "group_size": 16, "mask_ratio": 0.0},
        weights=dict(depth=0.1, entropy=0.1, elongation=0.1),
    )
    batch = scenes(views=2, points=600)
    losses = model(batch, mode="loss")
    assert losses["loss_geometry"] < 0.01  # every point is visible and is its own mean
    losses["loss_render"].backward()
    bias = model.head.attributes.bias.grad.view(16, 11)
    for part in (slice(0, 3), slice(7, 8), slice(8, 11)):
        assert bias[:, part].isfinite().all() and bias[:, part].any()
    sample = model(batch, mode="predict")[0]
    assert sample.rendered.shape == (2, 3, HEIGHT // 2, WIDTH // 2)
    assert sample.alphas[:, 4:12, 8:16].mean() > 0.3
    assert model.data_preprocessor.mean.shape == (3, 1, 1)


def test_a_gaussian_is_rendered_where_its_point_is_seen():
    batch = scenes(1)
    views = SceneViews(*(batch[name] for name in SceneViews._fields))
    mean = batch["points"][:, :1]
    head = GaussianHead(4, 1)
    gaussians = head(torch.zeros(1, 5, 4), mean.expand(1, 5, 3) + 1e-4 * torch.rand(1, 5, 3))
    picture = render_scenes(gaussians, views, (HEIGHT, WIDTH)).alphas[0, 0]
    small = render_scenes(gaussians, views, (HEIGHT // 2, WIDTH // 2)).alphas[0, 0]
    places, seen = project_points(mean, batch["world_to_camera"][:, 0], batch["intrinsics"][:, 0], views.size)
    assert seen.all()
    for size, alpha in (((HEIGHT, WIDTH), picture), ((HEIGHT // 2, WIDTH // 2), small)):
        rows, columns = torch.meshgrid(*(torch.arange(side) + 0.5 for side in size), indexing="ij")
        middle = torch.stack([(alpha * x).sum() / alpha.sum() for x in (columns, rows)])
        expected = places[0, 0] * torch.tensor(size[::-1])
        torch.testing.assert_close(middle, expected, rtol=0, atol=0.2)  # pixels


def test_unknown_depth_is_not_compared():
    model = Gaussian2SceneStage2(SMALL).eval()
    batch, groups = scenes(), torch.arange(10).ge(4).expand(2, -1)
    before = model(batch, mode="loss", groups=groups)
    images = batch["images"].clone()
    images[..., :4] += 3  # where depths are 0
    after = model({**batch, "images": images}, mode="loss", groups=groups)
    torch.testing.assert_close(before["psnr"], after["psnr"])


def test_half_precision_is_close():
    torch.manual_seed(0)
    model = Gaussian2SceneStage2(SMALL).eval()
    batch, groups = scenes(), torch.arange(10).ge(4).expand(2, -1)
    full = model(batch, mode="loss", groups=groups)
    with torch.autocast("cpu", torch.bfloat16):
        half = model(batch, mode="loss", groups=groups)
    for name, value in full.items():
        assert half[name].dtype == torch.float32
        torch.testing.assert_close(half[name], value, rtol=0.05, atol=0.02)


def test_detectors_go_on_from_both_stages(stage1, tmp_path):
    torch.save(stage1.state_dict(), tmp_path / "one.pth")
    second = Gaussian2SceneStage2(
        {**SMALL, "cross_modal": True},
        init_cfg=dict(type="Pretrained", checkpoint=str(tmp_path / "one.pth")),
    )
    second.init_weights()
    torch.save(second.state_dict(), tmp_path / "two.pth")
    for name in ("one.pth", "two.pth"):
        init = dict(type="Pretrained", checkpoint=str(tmp_path / name))
        encoder = PointEncoder(32, num_layers=3, num_heads=2, feedforward_dim=16, init_cfg=init)
        encoder.init_weights()
        own = (*stage1.point_encoder.layers, *stage1.shared_encoder.layers)
        for found, layer in zip(encoder.layers, own, strict=True):
            for theirs, ours in zip(layer.parameters(), found.parameters(), strict=True):
                assert torch.equal(theirs, ours)
        tokenizer = PointTokenizer(32, 10, 4, init_cfg=init)
        tokenizer.init_weights()
        points = scenes()["points"]
        patches = stage1.group(points)
        everything = torch.ones(2, 10, dtype=torch.bool)
        wanted = stage1.point_encoder.tokens(patches, everything, stage1.point_modality)
        torch.testing.assert_close(tokenizer.eval().seeds(points).features, wanted.features)


def test_a_file_without_such_layers_is_refused(stage1, tmp_path):
    torch.save({"backbone.weight": torch.zeros(3)}, tmp_path / "other.pth")
    init = dict(type="Pretrained", checkpoint=str(tmp_path / "other.pth"))
    with pytest.raises(CheckpointError, match="nothing of it would be loaded"):
        PointEncoder(32, init_cfg=init).init_weights()
    torch.save(stage1.state_dict(), tmp_path / "one.pth")
    init["checkpoint"] = str(tmp_path / "one.pth")
    with pytest.raises(CheckpointError, match=r"layers|entries"):
        PointEncoder(32, num_layers=6, num_heads=2, feedforward_dim=16, init_cfg=init).init_weights()
    with pytest.raises(CheckpointError, match="nothing of it would be loaded"):
        tokenizer_weights({"head.weight": torch.zeros(2)})
    assert {n.split(".")[1] for n in encoder_layers(stage1.state_dict())} == {"0", "1", "2"}


def test_stage_two_refuses_another_stage_one(tmp_path):
    torch.save(Gaussian2SceneStage1(**{**SMALL, "dim": 64, "decoder": {}}).state_dict(), tmp_path / "a.pth")
    model = Gaussian2SceneStage2(SMALL, init_cfg=dict(type="Pretrained", checkpoint=str(tmp_path / "a.pth")))
    with pytest.raises(CheckpointError, match="does not fit"):
        model.init_weights()


def test_bad_input_is_named(stage1):
    whole = scenes()
    with pytest.raises(DataError, match="came without images"):
        stage1({"points": whole["points"]}, mode="loss")
    with pytest.raises(DataError, match="whole patches of 16 x 16"):
        stage1({**whole, "images": whole["images"][..., :40], "depths": None}, mode="loss")
    with pytest.raises(DataError, match="intrinsics is"):
        stage1({**whole, "intrinsics": whole["intrinsics"][:, :, :2]}, mode="loss")
    with pytest.raises(DataError, match="cannot be cut into 10 groups"):
        stage1({**whole, "points": whole["points"][:, :6]}, mode="loss")
    with pytest.raises(ConfigError, match="image_mask='complementary'"):
        Gaussian2SceneStage1(**SMALL, image_mask="complementary")
    with pytest.raises(ConfigError, match="projection='exakt'"):
        Gaussian2SceneStage1(**SMALL, projection="exakt")
    with pytest.raises(ConfigError, match="no loss 'pixel'; did you mean 'pixels'"):
        Gaussian2SceneStage1(**SMALL, weights=dict(pixel=2.0))
    coloured = {**whole, "features": torch.zeros(2, 80, 3)}
    for model in (stage1, Gaussian2SceneStage2(SMALL)):
        with pytest.raises(DataError, match="would ignore the features"):
            model(coloured, mode="loss")
    with pytest.raises(ConfigError, match="did you mean 'pimae'"):
        Gaussian2SceneStage1("pimea", **SMALL)
    with pytest.raises(ConfigError, match="no loss 'rgb'"):
        Gaussian2SceneStage2(SMALL, weights=dict(rgb=1.0))


def test_resume_goes_on_where_it_was(tmp_path):
    """Two steps at once, and one, a file, and one: the same weights."""

    def step(model, optimiser):
        torch.manual_seed(3)
        np.random.seed(3)
        optimiser.zero_grad()
        sum(model(scenes(), mode="loss").values()).backward()
        optimiser.step()

    def fresh():
        torch.manual_seed(0)
        model = Gaussian2SceneStage1(**SMALL)
        return model, torch.optim.AdamW(model.parameters(), lr=1e-3)

    model, optimiser = fresh()
    step(model, optimiser)
    state = dict(model=model.state_dict(), optimizer=optimiser.state_dict())
    torch.save(state, tmp_path / "one.pth")
    step(model, optimiser)
    other, its_optimiser = fresh()
    saved = torch.load(tmp_path / "one.pth", weights_only=True)
    load_into(other, saved["model"])
    its_optimiser.load_state_dict(saved["optimizer"])
    step(other, its_optimiser)
    for name, value in model.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


@pytest.mark.parametrize("stage", [Gaussian2SceneStage1, Gaussian2SceneStage2])
def test_pictures_of_both_stages(stage):
    torch.manual_seed(0)
    model = stage(**SMALL) if stage is Gaussian2SceneStage1 else stage(SMALL)
    sample = model.eval()(scenes(1, views=2), mode="predict")[0]
    there = model.data_preprocessor._device = torch.device("cuda:0")  # as where the model is on a GPU
    result = SceneResult.read(sample, model.data_preprocessor)
    assert model.data_preprocessor.device == there  # or the next scene would not meet its model
    shown = 1 if stage is Gaussian2SceneStage1 else 2
    assert len(result.photographs) == len(result.painted) == shown
    picture = result.plot()
    assert picture.dtype == np.uint8 and picture.shape[2] == 3
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50
    if stage is Gaussian2SceneStage1:
        hidden = (result.masked == 128).all(axis=-1).mean()
        assert hidden == pytest.approx(0.5)  # 3 of 6 patches
        shows = (result.masked != 128).any(axis=-1)
        np.testing.assert_array_equal(result.masked[shows], result.photographs[0][shows])
    else:
        assert "dB" in str(result)
