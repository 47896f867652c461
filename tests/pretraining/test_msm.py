"""Masked scene modelling: what is hidden, what is compared, and that nothing leaks."""

from __future__ import annotations

import logging

import pytest
import torch
from mmengine.logging import MMLogger

from dense3d.engine.teacher_hook import rising_momentum
from dense3d.errors import ConfigError, DataError
from dense3d.pretraining.msm import MaskedSceneModeling
from dense3d.pretraining.msm.correspondence import common_points, partners, transferred
from dense3d.pretraining.msm.masking import hidden_blocks, hidden_voxels
from dense3d.pretraining.msm.objective import effective_rank, feature_errors, normalised, spread
from dense3d.pretraining.msm.whitening import RunningWhitening

SMALL = dict(
    in_channels=3,
    channels=(8, 12, 16),
    convs=(1, 1, 1),
    attentions=(0, 0, 1),
    num_heads=(1, 1, 2),
    windows=(64, 64, 64),
    decoder_channels=(8, 12, 16),
    decoder_convs=(1, 1, 1),
    decoder_attentions=(0, 0, 1),
    decoder_num_heads=(1, 1, 2),
    decoder_windows=(64, 64, 64),
    drop_path=0.0,
    attn_drop=0.0,
    shuffle_curves="never",
)


def model_of(**settings) -> MaskedSceneModeling:
    torch.manual_seed(0)
    return MaskedSceneModeling(SMALL, **{"voxel_size": 0.1, **settings})


def views(scenes: int = 2, count: int = 300, seed: int = 0) -> dict:
    """Two views of scenes of random points; the second view has other points missing than the first."""
    random = torch.Generator().manual_seed(seed)
    points, index = [], []
    clouds = [torch.rand(count, 3, generator=random) * torch.tensor([2.0, 2.0, 1.0]) for _ in range(scenes)]
    for view in range(2):
        for cloud in clouds:
            kept = torch.randperm(count, generator=random)[: count - 50].sort().values
            points.append(cloud[kept] * (1.0 if view == 0 else 1.1))
            index.append(kept)
    features = [cloud.sin() for cloud in points]
    return dict(
        points=torch.cat(points),
        features=torch.cat(features),
        lengths=torch.tensor([len(cloud) for cloud in points]),
        index=torch.cat(index),
        views=2,
    )


@pytest.mark.parametrize("ratio", [0.01, 0.5, 0.99])
def test_so_many_blocks_of_each_scene_are_hidden_and_never_all(ratio):
    counts = torch.tensor([1, 2, 7, 40])
    scene = torch.arange(4).repeat_interleave(counts)
    hidden = hidden_blocks(scene, ratio, torch.Generator().manual_seed(3))
    found = torch.zeros(4).index_add(0, scene, hidden.float()).tolist()
    wanted = [min(max(round(ratio * n), 1), n - 1) for n in counts.tolist()]
    assert found == wanted
    assert not torch.equal(hidden, hidden_blocks(scene, 0.5, torch.Generator().manual_seed(4)))


def test_voxels_are_hidden_with_their_block_on_all_levels():
    levels = hidden_voxels(torch.tensor([False, True]), [torch.tensor([0, 1, 1, 2]), torch.tensor([0, 1, 1])])
    assert [level.tolist() for level in levels] == [
        [False, True, True, True],
        [False, True, True],
        [False, True],
    ]


def test_common_points_are_those_of_a_plain_search():
    random = torch.Generator().manual_seed(0)
    first, second = (torch.randperm(60, generator=random)[:40] for _ in range(2))
    places = common_points(first, second)
    assert first[places[0]].tolist() == second[places[1]].tolist()
    assert {*first[places[0]].tolist()} == {*first.tolist()} & {*second.tolist()}
    assert [len(part) for part in common_points(first, second[:0])] == [0, 0]


def test_partners_are_the_same_point_of_the_same_scene_in_the_other_view():
    batch = views(scenes=3)
    scene = torch.arange(6).repeat_interleave(batch["lengths"])
    one, other = partners(batch["index"], scene, 3)
    assert torch.equal(batch["index"][one], batch["index"][other])
    assert torch.equal((scene[one] + 3) % 6, scene[other])
    ratio = batch["points"][one] / batch["points"][other]
    assert torch.allclose(ratio[: len(one) // 2], torch.tensor(1 / 1.1))


def test_targets_are_means_over_the_points_of_a_voxel():
    random = torch.Generator().manual_seed(1)
    features = torch.randn(30, 5, generator=random)
    source, target = (torch.randint(30, (200,), generator=random) for _ in range(2))
    wanted = torch.rand(30, generator=random) < 0.5
    voxels, means = transferred(features, source, target, wanted)
    assert voxels.tolist() == [v for v in range(30) if wanted[v] and (source == v).any()]
    for voxel, mean in zip(voxels.tolist(), means):
        torch.testing.assert_close(mean, features[target[source == voxel]].mean(dim=0))


def test_errors_and_spread_follow_their_formulas():
    random = torch.Generator().manual_seed(2)
    predicted, target = torch.randn(2, 7, 4, generator=random)
    small = (predicted - target).abs()
    wanted = torch.where(small < 1, 0.5 * small**2, small - 0.5).mean(dim=1)
    torch.testing.assert_close(feature_errors(predicted, target, "smooth_l1"), wanted)
    cosine = (predicted * target).sum(dim=1) / (predicted.norm(dim=1) * target.norm(dim=1))
    torch.testing.assert_close(feature_errors(predicted, target, "cosine"), 1 - cosine)
    found = normalised(5 * predicted + 3)
    torch.testing.assert_close(found.mean(dim=1), torch.zeros(7), atol=1e-6, rtol=0)
    many = torch.randn(20_000, 64, generator=random)
    assert spread(many).item() == pytest.approx(1, abs=0.01)  # nothing in common
    assert spread(many * 0 + many[:1]).item() < 1e-3


def test_whitened_features_are_uncorrelated_and_of_unit_variance():
    random = torch.Generator().manual_seed(3)
    features = torch.randn(5000, 6, generator=random, dtype=torch.float64)
    features[:, 1] = 3 * features[:, 0] + 0.1 * features[:, 1] - 7
    whitening = RunningWhitening(6, momentum=0.9, eps=0.0)
    assert torch.equal(whitening(features[:3]), features[:3].float())  # before the first update
    whitening.update(features)
    whitening.update(features)  # the start of the averages does not count
    found = whitening(features).double()
    torch.testing.assert_close(found.mean(dim=0), torch.zeros_like(found[0]), atol=1e-3, rtol=0)
    covariance = found.T @ found / len(found)
    torch.testing.assert_close(covariance, torch.eye(6, dtype=torch.float64), atol=2e-2, rtol=0)
    whitening.update(features[:0])
    assert torch.equal(whitening(features[:3]).double(), found[:3])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_statistics_are_of_float32_under_mixed_precision(dtype: torch.dtype):
    """More voxels than float16 can count, whose squares bfloat16 would round."""
    features = torch.randn(70_000, 4, generator=torch.Generator().manual_seed(5))
    plain, mixed = RunningWhitening(4), RunningWhitening(4)
    plain.update(features)
    with torch.autocast("cpu", dtype=dtype):
        mixed.update(features)
        whitened, rank = mixed(features), effective_rank(features)
    assert torch.equal(plain.square, mixed.square) and torch.equal(plain(features), whitened)
    assert rank == effective_rank(features)


def test_whitening_averages_over_batches():
    """The mean of equally weighted batches, each of which counts ``momentum`` times as much as the next."""
    whitening = RunningWhitening(1, momentum=0.5)
    for value in (0.0, 6.0):
        whitening.update(torch.full((4, 1), value))
    mean, variance = whitening.moments()
    assert mean.item() == pytest.approx(4)
    assert variance.item() == pytest.approx((1 * 0 + 2 * 36) / 3 - 16)


def test_rank_counts_directions():
    random = torch.Generator().manual_seed(4)
    narrow = torch.randn(3000, 2, generator=random) @ torch.tensor([[1.0, 0, 1, 0], [0, 1, 0, 1]]) + 5
    assert effective_rank(narrow).item() == pytest.approx(2, abs=0.01)
    assert effective_rank(torch.ones(3, 4)).item() == pytest.approx(1)


def test_whitened_targets_are_those_of_the_whole_pass():
    """What a level is compared with, voxel by voxel, and that the averages are of training alone."""
    model, batch = model_of(targets="whitened"), views()
    losses = model(batch, mode="loss")
    assert {f"rank_level{level}" for level in range(3)} <= {*losses}
    found = model.masked_pass(batch)
    every = torch.arange(len(found.voxels.voxel))
    before = [whitening.mean.clone() for whitening in model.whitening]
    for level, (places, error) in enumerate(model.level_errors(found, (every, every))):
        target = model.whitening[level](found.teacher[level])[places]
        predicted = model.predictors[level](found.student[level][places])
        torch.testing.assert_close(error, feature_errors(predicted, target, "smooth_l1"))
    model.eval()(dict(batch, views=1), mode="predict")
    assert all(torch.equal(a.mean, b) and a.weight > 0 for a, b in zip(model.whitening, before))


def test_what_is_hidden_does_not_reach_the_student():
    """Colours of hidden points change the teacher alone."""
    model, batch = model_of().eval(), views()
    with torch.no_grad():
        found = model.masked_pass(batch, torch.Generator().manual_seed(5))
        of_hidden = found.hidden[0][found.voxels.voxel]
        changed = {**batch, "features": torch.where(of_hidden[:, None], -9.0, batch["features"])}
        again = model.masked_pass(changed, torch.Generator().manual_seed(5))
    for level, (hidden, map_, other) in enumerate(zip(found.hidden, found.student, again.student)):
        assert hidden.any() and not hidden.all(), level
        assert torch.equal(map_, other)
    assert not torch.allclose(found.teacher[0], again.teacher[0])


def test_gradients_reach_the_student_the_tokens_and_the_predictors_but_not_the_teacher():
    model = model_of()
    losses = model(views(), mode="loss")
    sum(value for name, value in losses.items() if name.startswith("loss")).backward()
    for name, parameter in model.named_parameters():
        if name.startswith("teacher."):
            assert parameter.grad is None and not parameter.requires_grad
        else:
            assert parameter.grad is not None, name
    assert all(token.grad.abs().sum() > 0 for token in model.mask_tokens)
    assert not model.train().teacher.training


def test_a_batch_of_scenes_is_each_of_them():
    model, batch = model_of().eval(), views(scenes=1)
    clouds = batch["points"].split(batch["lengths"].tolist())
    single = [
        model(dict(points=cloud, features=cloud.sin(), lengths=torch.tensor([len(cloud)])))
        for cloud in clouds
    ]
    joined = dict(points=torch.cat(clouds), features=torch.cat(clouds).sin(), lengths=batch["lengths"])
    for both, first, second in zip(model(joined), *single):
        torch.testing.assert_close(both, torch.cat([first, second]), rtol=1e-4, atol=1e-5)


def test_the_teacher_starts_as_the_student_and_sees_everything():
    model, batch = model_of().eval(), views()
    with torch.no_grad():
        found, full = model.masked_pass(batch), model(batch)
    for teacher, map_ in zip(found.teacher, full):
        torch.testing.assert_close(teacher, normalised(map_))


def test_scenes_of_one_block_and_views_without_a_common_point_lose_nothing():
    model = model_of()
    points = 0.05 * torch.rand(20, 3)
    one = dict(
        points=points, features=points, lengths=torch.tensor([10, 10]), index=torch.arange(10).repeat(2)
    )
    apart = {**views(), "index": torch.arange(len(views()["index"]))}
    for batch in ({**one, "views": 2}, apart):
        losses = model(batch, mode="loss")
        total = sum(value for name, value in losses.items() if name.startswith("loss"))
        total.backward()
        assert total.item() == 0
        assert all(p.grad is not None and not p.grad.any() for p in model.student.parameters())


def test_the_teacher_follows_by_the_momentum_that_rises():
    model = model_of()
    before = [parameter.clone() for parameter in model.teacher.parameters()]
    with torch.no_grad():
        for parameter in model.student.parameters():
            parameter.add_(1.0)
    model.update_teacher(0.75)
    for old, new in zip(before, model.teacher.parameters()):
        torch.testing.assert_close(new, old + 0.25)
    model.update_teacher(1.0)
    assert torch.allclose(new, old + 0.25)
    momenta = [rising_momentum(0.99, i, 100) for i in range(101)]
    assert momenta[0] == pytest.approx(0.99) and momenta[-1] == 1 and momenta == sorted(momenta)


def test_collapsed_features_are_told_once():
    model = model_of()
    with torch.no_grad():
        for parameter in model.teacher.parameters():
            parameter.zero_()
        model.teacher.stem[0].bias.fill_(1.0)
        model.teacher.stem[1].weight.fill_(1.0)
    told = []
    handler = logging.Handler()
    handler.emit = lambda record: told.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    try:
        losses = model(views(), mode="loss")
        model(views(), mode="loss")
    finally:
        logger.removeHandler(handler)
    assert losses["spread_level2"].item() < 1e-3
    assert len([text for text in told if "collapsed" in text]) == 1


def test_half_precision_loses_about_the_same():
    model, batch = model_of(mask_ratio=0.5), views()
    torch.manual_seed(1)
    exact = model(batch, mode="loss")
    torch.manual_seed(1)
    with torch.autocast("cpu", torch.bfloat16):
        half = model(batch, mode="loss")
    for name, value in exact.items():
        assert half[name].dtype == torch.float32
        assert half[name].item() == pytest.approx(value.item(), rel=0.05), name


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(mask_ratio=1.0), "mask_ratio"),
        (dict(mask_ratio=(0.6, 0.4)), "mask_ratio"),
        (dict(level_weights=(1, 1)), "3 levels"),
        (dict(level_weights=(0, 0, 0)), "not all of them 0"),
        (dict(loss="l2"), "'smooth_l1', 'cosine'"),
        (dict(targets="raw"), "'layer', 'whitened'"),
        (dict(momentum=1.5), "momentum"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        model_of(**settings)


def test_batches_that_do_not_fit_are_refused():
    model, batch = model_of(), views()
    with pytest.raises(DataError, match="reads 3 features of points"):
        model({**batch, "features": None}, mode="loss")
    with pytest.raises(DataError, match="compares two views"):
        model({**batch, "views": 3}, mode="loss")
    with pytest.raises(DataError, match="in one view"):
        model(batch, mode="predict")
    with pytest.raises(ConfigError, match="final_channels=0"):
        MaskedSceneModeling({**SMALL, "final_channels": 4})
