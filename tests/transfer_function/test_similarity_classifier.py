"""The paper's method as a classifier: what clicks, strokes and negatives do, and what a click costs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dense3d.backbones import VisionTransformer
from dense3d.errors import ConfigError, DataError
from dense3d.structures.volume import Volume
from dense3d.transfer_function import similarity_classifier
from dense3d.transfer_function.annotations import MOST_QUERIES, annotations_of
from dense3d.transfer_function.features import FeatureSettings, KeyNetwork
from dense3d.transfer_function.prompts import Prompt
from dense3d.transfer_function.refinement import RefinementOptions
from dense3d.transfer_function.similarity import SimilarityOptions, class_map, scaled, smoothed
from dense3d.transfer_function.similarity_classifier import SimilarityClassifier

SHAPE = (24, 20, 12)
PLAIN = SimilarityOptions(proximity=0.0)


def volume() -> Volume:
    """Two blocks in a background."""
    values = np.zeros(SHAPE, np.float32)
    values[2:10] = 1.0
    values[14:22] = 2.0
    return Volume(values + 0.01 * np.random.default_rng(0).random(SHAPE).astype(np.float32), np.eye(4))


def block_features(channels: int = 3) -> torch.Tensor:
    """Cells of two voxels a side whose features say which part they are in."""
    values = torch.from_numpy(volume().values[::2, ::2, ::2].round()).long()
    clean = F.one_hot(values, channels).movedim(-1, 0).float()
    return clean + 0.02 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))


def classifier(**options) -> SimilarityClassifier:
    return SimilarityClassifier(volume(), features=block_features(), **({"options": PLAIN} | options))


def point(class_id: int, *voxels, positive: bool = True) -> Prompt:
    return Prompt(class_id, np.array(voxels, np.int32), positive=positive)


def test_a_click_marks_what_looks_the_same():
    scores = classifier().classify([point(1, (5, 10, 6)), point(4, (18, 10, 6))], (1, 4))
    assert scores.class_ids == (1, 4)
    found = scores.volume()
    assert found.dtype == np.uint8 and found.shape == (2, *SHAPE)
    inside = found[:, 4:8].min(axis=(1, 2, 3)), found[:, 16:20].min(axis=(1, 2, 3))
    assert inside[0][0] > 200 and inside[1][1] > 200
    assert found[0, 16:20].max() < 20 and found[1, 4:8].max() < 20 and found[:, 12].max() < 120


def test_maps_are_the_papers():
    """Positive points alone: exactly the official chain."""
    voxels = [(5, 10, 6), (18, 3, 2), (0, 0, 0)]
    for options in (PLAIN, SimilarityOptions(), SimilarityOptions(reduction="max", exponent=1.5)):
        scores = classifier(options=options).classify([point(2, v) for v in voxels], (2,))
        expected = class_map(F.normalize(block_features(), dim=0), torch.tensor(voxels), SHAPE, options)
        torch.testing.assert_close(scores.maps[0], scaled(expected), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_planes_are_slices_of_the_volume(axis):
    clicks = [point(1, (5, 10, 6)), point(2, (18, 10, 6))]
    before, after = (classifier().classify(clicks, (1, 2)) for _ in range(2))
    whole = after.volume()
    for index in (0, 1, SHAPE[axis] // 2, SHAPE[axis] - 1):
        expected = np.take(whole, index, axis + 1)
        np.testing.assert_array_equal(after.plane(axis, index), expected)
        at_once = before.plane(axis, index)
        assert np.abs(at_once.astype(int) - expected).max() <= 1  # truncated numbers


def test_negatives_and_the_background_take_their_likeness_away():
    clicks = [point(1, (5, 10, 6), (18, 10, 6))]
    both = classifier().classify(clicks, (1,)).volume()[0]
    assert both[4:8].min() > 100 and both[16:20].min() > 100
    for against in (point(1, (18, 4, 4), positive=False), point(0, (18, 4, 4))):
        found = classifier().classify([*clicks, against], (1,)).volume()[0]
        assert found[4:8].min() > 100 and found[16:20].max() < 10
    # another class's negative says nothing of this one
    same = classifier().classify([*clicks, point(2, (18, 4, 4), positive=False)], (1, 2)).volume()
    np.testing.assert_array_equal(same[0], both)
    assert not same[1].any()


def test_undo_leaves_no_trace():
    clicks = [point(1, (i, 10, 6)) for i in range(2, 9)]
    one = classifier()
    before = one.classify(clicks[:3], (1,)).maps[0].clone()
    for count in (7, 1, 5, 4, 3):
        after = one.classify(clicks[:count], (1,)).maps[0]
    torch.testing.assert_close(after, before, rtol=1e-6, atol=1e-4)
    assert not one.classify([], (1,)).maps[0].any()


def test_a_click_costs_its_own_map_only(monkeypatch):
    made = []
    original = similarity_classifier.similarities

    def counted(features, queries):
        made.append(len(queries))
        return original(features, queries)

    monkeypatch.setattr(similarity_classifier, "similarities", counted)
    one = classifier()
    clicks = [point(1 + i % 2, (5 + i, 10, 6)) for i in range(6)]
    for count in range(1, 7):
        scores = one.classify(clicks[:count], (1, 2))
        assert made == [1] * count
    maps = scores.maps
    again = one.classify([*clicks, point(2, (3, 3, 3))], (1, 2)).maps
    assert again[0] is maps[0] and again[1] is not maps[1]  # class 1 was not touched
    one.classify(clicks, (1, 2))
    assert len(made) == 7


def test_little_memory_costs_time_and_nothing_else(monkeypatch):
    clicks = [point(1, (i, 10, 6)) for i in range(2, 9)]
    expected = classifier().classify(clicks, (1,)).volume()
    monkeypatch.setattr(similarity_classifier, "MEMORY", 1)
    one = classifier()
    one.classify(clicks[:2], (1,))
    np.testing.assert_array_equal(one.classify(clicks, (1,)).volume(), expected)
    assert not one._maps


def test_a_stroke_is_a_few_of_its_voxels():
    features = F.normalize(block_features(), dim=0)
    along = np.stack([np.arange(24), np.full(24, 10), np.full(24, 6)], 1).astype(np.int32)
    relative, queries = annotations_of(Prompt(1, along, "stroke"), features, SHAPE)
    assert len(relative) == len(queries) == 12  # cells
    box = np.argwhere(np.ones(SHAPE)).astype(np.int32)
    relative, queries = annotations_of(Prompt(1, box, "box"), features, SHAPE)
    assert len(relative) == MOST_QUERIES
    assert {0, 1, 2} == set(queries.argmax(1).tolist())  # of each part
    relative, _ = annotations_of(Prompt(1, box[:1], "box"), features, SHAPE)
    torch.testing.assert_close(relative, torch.tensor([[0.5 / 24, 0.5 / 20, 0.5 / 12]]) * 2 - 1)
    twice = point(1, (5, 10, 6), (5, 10, 6))
    assert len(annotations_of(twice, features, SHAPE)[0]) == 2  # points count each, as in the paper


def test_refined_scores_follow_the_edges():
    options = RefinementOptions(downscale=1)
    plain, refined = (
        classifier(refinement=r).classify([point(1, (5, 10, 6))], (1,)).volume()[0] for r in (None, options)
    )
    truth = np.zeros(SHAPE, bool)
    truth[2:10] = True

    def errors(scores):
        return min(np.sum((scores > t) != truth) for t in range(10, 250, 10))

    assert errors(refined) <= errors(plain)
    assert errors(refined) == 0
    scores = classifier(refinement=options).classify([point(1, (5, 10, 6))], (1,))
    at_once = scores.plane(2, 6)
    np.testing.assert_array_equal(scores.volume()[..., 6], refined[None, ..., 6])
    np.testing.assert_array_equal(scores.plane(2, 6), refined[None, ..., 6])
    assert (at_once != refined[None, ..., 6]).any()


def test_post_processing_of_maps():
    clicks = [point(1, (5, 10, 6))]
    plain = classifier().classify(clicks, (1,)).maps[0]
    options = SimilarityOptions(proximity=0.0, smoothing=0.5, open_close=1)
    found = classifier(options=options).classify(clicks, (1,)).maps[0]
    expected = smoothed(plain.to(torch.uint8).numpy(), 0.5, 1)
    np.testing.assert_array_equal(found.numpy(), expected)
    assert (found != plain).any()


def test_prepare_computes_previews_and_finds_again(tmp_path):
    torch.manual_seed(0)
    vit = VisionTransformer(
        dict(name="dino_vits16", embed_dim=16, depth=2, num_heads=2, patch_size=4, pretrain_size=16)
    )
    settings = FeatureSettings(size=8)
    one = SimilarityClassifier(volume(), KeyNetwork(vit), settings, PLAIN, cache=tmp_path)
    assert one.name == "similarity" and not one.ready
    with pytest.raises(RuntimeError, match="call prepare"):
        one.classify([], (1,))
    click, seen = point(1, (5, 10, 6)), []

    def progress(done, words, left):
        if one.ready:
            seen.append(one.classify([click], (1,)).maps[0])

    one.prepare(progress)
    assert one.ready and len({id(m) for m in seen}) > 1
    final = one.classify([click], (1,)).maps[0]
    assert any(not torch.equal(m, final) for m in seen)
    words = []
    other = SimilarityClassifier(volume(), KeyNetwork(vit), settings, PLAIN, cache=tmp_path)
    other.prepare(lambda done, text, left: words.append(text))
    assert words == ["features: found on disk"]
    torch.testing.assert_close(other.classify([click], (1,)).maps[0], final, rtol=0.02, atol=1.0)


@pytest.mark.parametrize(
    ("voxels", "sentence"),
    [([[24, 0, 0]], r"voxel \(24, 0, 0\) .* outside"), ([[0, -1, 0]], "outside"), ([], "has no voxels")],
)
def test_clicks_outside(voxels, sentence):
    with pytest.raises(DataError, match=sentence):
        classifier().classify([Prompt(1, np.array(voxels, np.int32))], (1,))


def test_without_features_there_is_nothing_to_compare():
    with pytest.raises(ConfigError, match="similarity needs features: name a checkpoint"):
        SimilarityClassifier(volume())
    with pytest.raises(ConfigError, match=r"of shape \(2, 3, 4, 4, 4\) are not"):
        SimilarityClassifier(volume(), features=torch.ones(2, 3, 4, 4, 4))


def test_classes_come_and_go():
    one = classifier()
    clicks = [point(1, (5, 10, 6)), point(2, (18, 10, 6))]
    first = one.classify(clicks, (2, 1)).volume()
    np.testing.assert_array_equal(one.classify(clicks, (1, 2)).volume(), first[::-1])
    assert one.classify(clicks, ()).volume().shape == (0, *SHAPE)
    assert one.classify(clicks, ()).plane(1, 0).shape == (0, 24, 12)
    np.testing.assert_array_equal(one.classify(clicks, (2,)).volume(), first[:1])
