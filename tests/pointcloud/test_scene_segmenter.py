"""Classes of points of scenes: all points, batches, frozen backbones, weights of pre-training, bad labels."""

from __future__ import annotations

import pytest
import torch

from dense3d.errors import CheckpointError, ConfigError, DataError
from dense3d.pointcloud import SceneFeatures, SceneSegmenter, VoxelSeeds, scene_segmenter
from dense3d.pointcloud.hunet import HUNet
from dense3d.pointcloud.hunet.loading import load_pretrained
from dense3d.pointcloud.point_labels import point_labels
from dense3d.pretraining.msm import MaskedSceneModeling
from dense3d.structures import PointDataSample

SMALL = dict(
    in_channels=3,
    channels=(8, 16),
    convs=(1, 1),
    attentions=(0, 1),
    num_heads=(1, 2),
    windows=(64, 64),
    decoder_channels=(8, 16),
    decoder_convs=(1, 1),
    decoder_attentions=(0, 1),
    decoder_num_heads=(1, 2),
    decoder_windows=(64, 64),
    drop_path=0.0,
    attn_drop=0.0,
)


def model_of(**settings) -> SceneSegmenter:
    torch.manual_seed(0)
    return SceneSegmenter(SMALL, **{"num_classes": 4, "voxel_size": 0.1, **settings})


def batch_of(*counts: int) -> tuple[dict, list[PointDataSample]]:
    random = torch.Generator().manual_seed(1)
    points = torch.rand(sum(counts), 3, generator=random) * torch.tensor([2.0, 2.0, 1.0])
    inputs = dict(points=points, features=points.cos(), lengths=torch.tensor(counts))
    labels = torch.randint(-1, 4, (sum(counts),), generator=random).split(counts)
    samples = [PointDataSample(metainfo=dict(sample_id="room"), gt_point_labels=part) for part in labels]
    return inputs, samples


def test_every_point_has_a_class_in_batches_as_alone():
    model = model_of().eval()
    inputs, samples = batch_of(120, 80)
    logits = model(inputs)
    assert logits.shape == (200, 4)
    parts = (inputs[key].split([120, 80]) for key in ("points", "features"))
    single = [model(dict(points=p[None], features=f[None])) for p, f in zip(*parts)]
    torch.testing.assert_close(logits, torch.cat(single), rtol=1e-4, atol=1e-5)
    found = model(inputs, samples, mode="predict")
    probabilities = logits.softmax(dim=1)
    for sample, part in zip(found, probabilities.split([120, 80])):
        assert torch.equal(sample.pred_point_labels, part.argmax(dim=1))
        torch.testing.assert_close(sample.pred_point_scores, part.max(dim=1).values)


def test_features_of_all_points_are_never_there_at_once(monkeypatch):
    model = model_of().eval()
    inputs, samples = batch_of(120, 80)
    logits, counts, sample_levels = model(inputs), [], scene_segmenter.sample_levels

    def counted(pyramid, maps, coords, *args, **settings):
        counts.append(len(coords))
        return sample_levels(pyramid, maps, coords, *args, **settings)

    monkeypatch.setattr(scene_segmenter, "FEW", 64)
    monkeypatch.setattr(scene_segmenter, "sample_levels", counted)
    found = model(inputs, samples, mode="predict")
    assert counts == [64, 64, 64, 8]
    assert torch.equal(torch.cat([s.pred_point_labels for s in found]), logits.argmax(dim=1))
    torch.testing.assert_close(model(inputs), logits)


def test_the_loss_is_cross_entropy_of_the_labelled_points():
    model = model_of(frozen=False).eval()
    inputs, samples = batch_of(120, 80)
    found = model(inputs, samples, mode="loss")
    labels = torch.cat([sample.gt_point_labels for sample in samples])
    logits = model(inputs)
    wanted = torch.nn.functional.cross_entropy(logits[labels >= 0], labels[labels >= 0])
    torch.testing.assert_close(found["loss"], wanted)
    right = (logits.argmax(dim=1) == labels)[labels >= 0].float().mean()
    torch.testing.assert_close(found["accuracy"], 100 * right)


@pytest.mark.parametrize("frozen", [True, False])
def test_a_frozen_backbone_stays_as_it_is(frozen):
    model = model_of(frozen=frozen).train()
    assert model.backbone.training is not frozen
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(*batch_of(60, 60), mode="loss")["loss"]
    loss.backward()
    assert all((p.grad is None) == frozen for p in model.backbone.parameters())
    assert model.classify.weight.grad.abs().sum() > 0
    with torch.autocast("cpu", torch.bfloat16):
        inputs = batch_of(60)[0]
        found = model.features(inputs["points"], inputs["features"], inputs["lengths"])
    assert (found.dtype == torch.float32) or not frozen


def test_training_may_take_some_of_the_points():
    model = model_of(train_points=10).train()
    seen = []
    model.classify.register_forward_hook(lambda module, args, output: seen.append(len(output)))
    model(*batch_of(60, 60), mode="loss")
    model.eval()(batch_of(60, 60)[0])
    assert seen == [10, 120]


def test_without_a_label_nothing_is_learnt():
    inputs, samples = batch_of(60)
    samples[0].gt_point_labels.fill_(-1)
    found = model_of()(inputs, samples, mode="loss")
    assert found["loss"].item() == 0 and found["accuracy"].item() == 0


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.tensor([0, 1, 4]), "room: a point has the class 4; the model knows 0 to 3"),
        (torch.tensor([0, 1, -2]), "room: a point has the class -2; the model knows 0 to 3"),
        (torch.tensor([0, 1]), "room has no class for each of its 3 points"),
        (None, "room has no class for each of its 3 points"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, message):
    sample = PointDataSample(metainfo=dict(sample_id="room"))
    if labels is not None:
        sample.gt_point_labels = labels
    with pytest.raises(DataError, match=message):
        point_labels([sample], [3], 4)
    with pytest.raises(DataError, match="came without a class"):
        point_labels(None, [3], 4)


def test_clouds_without_features_and_unknown_settings_are_refused():
    with pytest.raises(DataError, match="reads 3 features of points, and there are none"):
        model_of()({"points": torch.zeros(1, 5, 3), "features": None})
    with pytest.raises(DataError, match="and there are 2"):
        model_of()({"points": torch.zeros(1, 5, 3), "features": torch.zeros(1, 5, 2)})
    with pytest.raises(ConfigError, match="not 'modus'"):
        model_of(sampling=dict(modus="nearest"))
    with pytest.raises(ConfigError, match="train_points=1 of a SceneSegmenter"):
        model_of(train_points=1)
    with pytest.raises(ConfigError, match="Pretrained"):
        SceneSegmenter({**SMALL, "init_cfg": dict(type="Kaiming")}, 4).init_weights()


def test_weights_of_pre_training_and_of_segmenters_are_taken(tmp_path):
    torch.manual_seed(3)
    pretraining = MaskedSceneModeling(SMALL, voxel_size=0.1)
    with torch.no_grad():
        pretraining.teacher.stem[0].bias.add_(1)
    torch.save({"state_dict": pretraining.state_dict(), "meta": {}}, tmp_path / "msm.pth")
    for prefix, source in ((None, pretraining.student), ("teacher.", pretraining.teacher)):
        start = dict(type="Pretrained", checkpoint=str(tmp_path / "msm.pth"))
        model = SceneSegmenter({**SMALL, "init_cfg": {**start, **({"prefix": prefix} if prefix else {})}}, 4)
        model.init_weights()
        for name, value in source.state_dict().items():
            assert torch.equal(model.backbone.state_dict()[name], value), name
    torch.save({"state_dict": model.state_dict()}, tmp_path / "segmenter.pth")
    other = model_of()
    load_pretrained(other.backbone, tmp_path / "segmenter.pth")
    assert torch.equal(other.backbone.stem[0].bias, model.backbone.stem[0].bias)
    with pytest.raises(CheckpointError, match=r"no network of masked scene modelling behind 'mentor\.'"):
        load_pretrained(other.backbone, tmp_path / "msm.pth", "mentor.")
    parallel = {f"module.{name}": value for name, value in pretraining.state_dict().items()}
    torch.save({"model": parallel, "epoch": 3}, tmp_path / "parallel.pth")
    load_pretrained(other.backbone, tmp_path / "parallel.pth")
    assert torch.equal(other.backbone.up_scale[0], pretraining.student.up_scale[0])
    for content, message in (
        ({"state_dict": {"a": torch.zeros(1)}}, "has no network of masked scene modelling"),
        ({"model": torch.zeros(1)}, "has no network of masked scene modelling|is damaged"),
        ({"model": [1], "epoch": 3}, "is damaged: its 'state_dict' is a list"),
        ({"epoch": 3}, "has no 'state_dict' but 'epoch'"),
    ):
        torch.save(content, tmp_path / "other.pth")
        with pytest.raises(CheckpointError, match=message):
            load_pretrained(other.backbone, tmp_path / "other.pth")


@pytest.mark.parametrize("build", [MaskedSceneModeling, SceneFeatures, VoxelSeeds])
def test_every_model_starts_its_network_from_the_weights_of_pre_training(tmp_path, build):
    torch.manual_seed(3)
    source = MaskedSceneModeling(SMALL, voxel_size=0.1)
    torch.save({"state_dict": source.state_dict(), "meta": {}}, tmp_path / "msm.pth")
    start = dict(type="Pretrained", checkpoint=str(tmp_path / "msm.pth"))
    torch.manual_seed(4)
    model = build({"type": "HUNet", **SMALL, "init_cfg": start})
    model.init_weights()
    networks = [module for module in model.modules() if isinstance(module, HUNet)]
    assert len(networks) == (2 if build is MaskedSceneModeling else 1)  # the teacher starts as the student
    for network in networks:
        for name, value in source.student.state_dict().items():
            assert torch.equal(network.state_dict()[name], value), name
    torch.save({"state_dict": {"a": torch.zeros(1)}}, tmp_path / "msm.pth")
    with pytest.raises(CheckpointError, match="has no network of masked scene modelling"):
        build({"type": "HUNet", **SMALL, "init_cfg": start}).init_weights()
    with pytest.raises(ConfigError, match="has checkpoint, prefix, type, not 'map_location'"):
        build({"type": "HUNet", **SMALL, "init_cfg": {**start, "map_location": "cpu"}}).init_weights()


def test_coordinates_alone_are_enough_for_a_network_without_input_channels():
    model = SceneSegmenter({**SMALL, "in_channels": 0}, 4, voxel_size=0.1).eval()
    logits = model({"points": batch_of(60)[0]["points"][None], "features": None})
    assert logits.shape == (60, 4) and logits.std(dim=0).min() > 0
    seeds = VoxelSeeds({"type": "HUNet", **SMALL, "in_channels": 0}, num_seeds=8, voxel_size=0.1, channels=5)
    found = seeds.eval().seeds(batch_of(60)[0]["points"][None])
    assert found.features.shape == (1, 8, 5) and found.features.std(dim=1).max() > 0
