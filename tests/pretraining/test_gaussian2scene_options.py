"""PiMAE's other options against closed forms; stage two where nothing has a depth; wrong settings."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch

from dense3d.datasets.scene_views.loading import LoadSceneViews
from dense3d.errors import ConfigError, DataError
from dense3d.evaluation.reconstruction import ReconstructionError
from dense3d.pretraining import Gaussian2SceneStage1, Gaussian2SceneStage2
from dense3d.pretraining.gaussian2scene import stage2
from dense3d.pretraining.gaussian2scene.cross_modal import CrossModal
from dense3d.pretraining.gaussian2scene.encoders import chosen
from dense3d.pretraining.gaussian2scene.views import SceneViews
from dense3d.results.scene import SceneResult
from tests.golden.options import Options
from tests.golden.pimae import _build
from tests.pretraining.test_gaussian2scene import HEIGHT, SMALL, WIDTH, scenes

LAYERS = dict(depth=1, num_heads=2, dim_feedforward=16, dropout=0.0)
OFFICIAL = dict(
    img_size=[HEIGHT, WIDTH],
    npoints=80,
    img_model=dict(
        patch_size=16,
        encoder=dict(trans_dim=32, depth=1, num_heads=2, mlp_ratio=4.0),
        decoder=dict(trans_dim=24, depth=1, num_heads=3, mlp_ratio=4.0),
    ),
    pc_model=dict(
        group_size=4,
        num_group=10,
        loss="cdl2",
        transformer_config=dict(
            **LAYERS,
            mask_ratio=0.6,
            mask_type="rand",
            trans_dim=32,
            encoder_dims=32,
            drop_path_rate=0.0,
            decoder_trans_dim=24,
            decoder_depth=1,
            decoder_num_heads=3,
        ),
    ),
    joint_model=dict(
        hp_overlap_ratio=0.0,
        mask_ratio=0.6,
        token_fusion=False,
        pc2img=dict(rgb=False, feat=True),
        encoder=dict(**LAYERS, trans_dim=32, mlp_ratio=4.0),
        decoder=dict(trans_dim=24, depth=1, num_heads=3, mlp_ratio=4.0),
    ),
)


def official(**changes) -> Gaussian2SceneStage1:
    """The model of a config in PiMAE's names, with changes by dotted key."""
    config = copy.deepcopy(OFFICIAL)
    for path, value in changes.items():
        *parts, last = path.split("__")
        inner = config
        for name in parts:
            inner = inner[name]
        inner[last] = value
    torch.manual_seed(0)
    return _build(SimpleNamespace(options=Options(config, "a config"))).eval()


def views_of(batch: dict[str, torch.Tensor]) -> SceneViews:
    return SceneViews(*(batch[name] for name in SceneViews._fields))


def test_uniform_masks_hide_the_patches_of_hidden_groups():
    """Score: 1 where the centre of a hidden group falls, plus noise up to a half; the least stay visible."""
    model, batch = official(joint_model__hp_overlap_ratio=1), scenes()
    assert model.image_mask == "uniform"
    hidden = chosen(model.group(batch["points"]).centres, torch.arange(10).ge(4).expand(2, -1))
    noise = torch.rand(2, 6, generator=torch.Generator().manual_seed(1))
    touched = torch.zeros(2, 6)
    for scene in range(2):
        turn, shift = (
            part(batch["world_to_camera"][scene, 0]) for part in (lambda m: m[:3, :3], lambda m: m[:3, 3])
        )
        for centre in hidden[scene]:
            x, y, z = batch["intrinsics"][scene, 0] @ (turn @ centre + shift)
            # as officially: whole pixels of 730 x 530, of which the image has (W - 1) and (H - 1)
            u, v = (
                ((p + 0.5) / side * full - 0.5).round() / full
                for p, side, full in ((x / z, WIDTH, 730), (y / z, HEIGHT, 530))
            )
            if 0 <= u < 1 and 0 <= v < 1:
                row, column = int(v * (HEIGHT - 1) / 16), int(u * (WIDTH - 1) / 16)
                touched[scene, row * (WIDTH // 16) + column] = 1
    assert 0 < touched.sum() < 12
    found = model.draw_order(hidden, views_of(batch), noise=noise)
    assert torch.equal(found, (touched + noise / 2).argsort(dim=1))


def test_blocks_are_the_groups_nearest_to_one():
    model = official(pc_model__transformer_config__mask_type="block")
    assert model.point_mask == "block"
    centres = model.group(scenes()["points"]).centres
    for _ in range(5):
        masks = model.draw_groups(centres)
        assert masks.sum(1).tolist() == [6, 6]
        for mask, own in zip(masks, centres):
            ranks = torch.cdist(own, own).argsort(1).argsort(1)  # how near each is to each
            assert any(bool((ranks[i] < 6).eq(mask).all()) for i in range(10))


def test_cdl1_is_half_the_sum_of_mean_distances():
    model, batch = official(pc_model__loss="cdl1"), scenes()
    found = model(batch, groups=torch.arange(10).ge(4).expand(2, -1))
    predicted, truth = (x.flatten(0, 1) for x in (found.points, found.hidden(found.patches.points)))
    distances = torch.cdist(predicted, truth)  # (B * H, k, k)
    expected = (distances.amin(2).mean() + distances.amin(1).mean()) / 2
    torch.testing.assert_close(model.losses(found, views_of(batch))["loss_points"], expected)


def test_colours_are_sampled_at_transposed_places():
    """Of an image whose value is its column, a point at (u, v) gets that of the column at v."""
    model = official(joint_model__pc2img=dict(rgb=True, feat=False))
    assert model.cross_modal == CrossModal("colours", transposed=True, enlarged=(256, 352), count_unseen=True)
    assert model.decoder.predict_cross.out_features == 3 * 4
    ramp = torch.arange(WIDTH).float().expand(1, 3, HEIGHT, WIDTH)
    places = 0.1 + 0.8 * torch.rand(1, 20, 2, generator=torch.Generator().manual_seed(0))
    found = model.cross_modal.sample(ramp, torch.zeros(1, 6, 24), (2, 3), places)
    expected = (places[..., 1:] * WIDTH - 0.5).expand(-1, -1, 3)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert model(scenes(), mode="loss")["loss_cross"] > 0


def test_token_fusion_changes_nothing():
    one, other = official(), official(joint_model__token_fusion=True)
    assert [*one.state_dict()] == [*other.state_dict()]
    losses = [
        model(
            scenes(), groups=torch.arange(10).ge(4).expand(2, -1), order=torch.arange(6).expand(2, -1)
        ).points
        for model in (one, other)
    ]
    assert torch.equal(*losses)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (dict(joint_model__hp_overlap_ratio=0.5), "hp_overlap_ratio"),
        (dict(joint_model__pc2img=dict(rgb=True, feat=True)), "pc2img"),
        (dict(joint_model__pc2img=dict(rgb=False, feat=False)), "pc2img"),
        (dict(pc_model__transformer_config__encoder_dims=48), "encoder_dims"),
        (dict(img_model__encoder__qk_scale=2.0), "qk_scale"),
    ],
)
def test_what_fails_there_is_refused_by_name(changes, told):
    with pytest.raises((ConfigError, DataError), match=told):
        official(**changes)


def test_where_nothing_has_a_depth_there_is_no_figure(monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(stage2, "print_log", lambda message, *_: said.append(message))
    torch.manual_seed(0)
    model = Gaussian2SceneStage2(SMALL, weights=dict(depth=0.1)).eval()
    batch = scenes()
    blind = {**batch, "depths": torch.zeros_like(batch["depths"])}
    losses = model(blind, mode="loss")
    assert "psnr" not in losses and losses["loss_render"] == losses["loss_depth"] == 0
    assert said and "no pixel of this batch's photographs has a depth" in said[0]
    batch["depths"][1] = 0  # the second scene alone
    assert model(batch, mode="loss")["psnr"] < 50
    first, second = model(batch, mode="predict")
    assert "psnr" in first and "psnr" not in second and "error" not in second
    results = [SceneResult.read(sample, model.data_preprocessor) for sample in (first, second)]
    assert results[1].psnr is None and "nowhere known depth" in str(results[1])
    assert results[0].depth_error > 0 and results[1].depth_error is None
    assert results[1].plot().ndim == 3
    metric = ReconstructionError()
    metric.process(None, [first.to_dict(), second.to_dict()])
    figures = metric.compute_metrics(metric.results)
    assert figures == {"error": pytest.approx(float(first.error)), "left_out": 1}
    with pytest.raises(DataError, match="no sample has an error to average"):
        metric.compute_metrics([None])


def test_a_loss_of_depth_without_depth_maps_is_refused():
    model = Gaussian2SceneStage2(SMALL, weights=dict(depth=0.1))
    with pytest.raises(DataError, match=r"these scenes came without: .* leave depth out of weights"):
        model({**scenes(), "depths": None}, mode="loss")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (dict(decoder=dict(dims=24)), "decoder has no 'dims'; did you mean 'dim'"),
        (dict(shared_encoder=dict(layers=3)), "shared_encoder has no 'layers'"),
        (dict(shared_encoder=3), "shared_encoder=3: give a dict"),
        (dict(point_encoder=dict(heads=2)), "point_encoder has no 'heads'"),
        (dict(point_encoder=dict(type="PointNet2", radius=1.0)), "point_encoder has no 'radius'"),
        (dict(point_encoder=dict(type="PointTransformer", dept=1)), "no 'dept'; did you mean 'depth'"),
        (dict(cross_modal=dict(targets="colours")), "no 'targets'; did you mean 'target'"),
    ],
)
def test_settings_that_a_part_has_not_are_named(settings, told):
    with pytest.raises(ConfigError, match=told):
        Gaussian2SceneStage1(**{**SMALL, **settings})
    with pytest.raises(ConfigError, match=told):
        Gaussian2SceneStage2({**SMALL, **settings})


def test_unknown_arguments_of_stage_one_in_stage_two_are_named():
    with pytest.raises(ConfigError, match="autoencoder has no 'num_group'; did you mean 'num_groups'"):
        Gaussian2SceneStage2({**SMALL, "num_group": 4})


@pytest.mark.parametrize("size", [256, (256,), (0, 4), (32.5, 4), "ab", None])
def test_sizes_are_rows_and_columns(size):
    with pytest.raises(ConfigError, match="size is rows and columns"):
        LoadSceneViews(size)
