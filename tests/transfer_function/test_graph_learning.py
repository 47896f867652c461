"""What is learnt on a volume: repeatable, kept on disk, and telling textures of one intensity apart."""

import numpy as np
import pytest
import torch

from dense3d.structures.volume import Volume
from dense3d.transfer_function.graph.adjacency import adjacency
from dense3d.transfer_function.graph.cache import LearntFile
from dense3d.transfer_function.graph.classifier import GraphClassifier
from dense3d.transfer_function.graph.edges import edge_weights
from dense3d.transfer_function.graph.learning import GraphWalks, learn_features, read_patches
from dense3d.transfer_function.graph.supervoxels import supervoxels


def silent(done, task, left):
    pass


def textures() -> np.ndarray:
    """Left half noise, right half stripes of the same mean and deviation."""
    shape = (32, 24, 24)
    values = np.random.default_rng(0).normal(0.5, 0.2, shape)
    stripes = 0.5 + 0.28 * np.sign(np.sin(np.arange(24) * np.pi / 3 + 0.1))
    values[16:] = stripes[None, None, :]
    return values.clip(0, 1).astype(np.float32)


@pytest.fixture(scope="module")
def learnt():
    values = textures()
    regions = supervoxels(values, (1, 1, 1), 320)
    touching = adjacency(values, regions, (1, 1, 1))
    means = np.bincount(regions.ids.ravel(), values.ravel()) / regions.sizes
    walks = GraphWalks(touching.pairs, edge_weights(touching, means, contrast=2.0), regions.count)
    patches = read_patches(values, regions, (1, 1, 1))
    return regions, patches, walks, learn_features(patches, walks, silent)


def test_features_have_length_one_and_a_seed_repeats_them(learnt):
    regions, patches, walks, features = learnt
    assert features.shape == (regions.count, 24)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-5)
    before = torch.random.get_rng_state()
    np.testing.assert_array_equal(learn_features(patches, walks, silent), features)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_regions_of_one_texture_are_more_alike(learnt):
    regions, _, _, features = learnt
    x = regions.centres[:, 0]
    noise, stripes = features[x < 13], features[x > 18]
    within = (noise @ noise.T).mean() + (stripes @ stripes.T).mean()
    assert within / 2 > (noise @ stripes.T).mean() + 0.05


def test_walks_stay_on_edges_and_follow_weights():
    walks = GraphWalks(np.array([[0, 1], [1, 2]]), np.array([1.0, 3.0]), 4)
    rng = np.random.default_rng(0)
    ends = walks.walk(np.full(4000, 1), 1, rng)
    assert set(ends) == {0, 2}
    assert (ends == 2).mean() == pytest.approx(0.75, abs=0.03)
    assert walks.walk(np.array([3]), 2, rng).tolist() == [3]


def test_patches_are_centred_and_read_in_millimetres():
    ramp = np.broadcast_to(np.arange(20, dtype=np.float32)[:, None, None] / 20, (20, 20, 10))
    regions = supervoxels(np.ascontiguousarray(ramp), (1.0, 1.0, 2.0), 200)
    patches = read_patches(np.ascontiguousarray(ramp), regions, (1.0, 1.0, 2.0))
    inner = np.all((regions.centres > 3) & (regions.centres < np.array([16, 16, 6])), axis=1)
    middle = patches[inner, 0, 2, 2, 2]
    np.testing.assert_allclose(middle, regions.centres[inner, 0] / 20, atol=1e-5)
    np.testing.assert_allclose(patches[inner, 0, 3, 2, 2] - middle, 1 / 20, atol=1e-5)


def test_a_damaged_or_foreign_file_is_learnt_again(tmp_path):
    volume = Volume(textures(), np.eye(4))
    file = LearntFile(volume, 0, tmp_path)
    assert file.read(5) is None
    file.write(np.ones((5, 24), np.float32))
    assert file.read(5).shape == (5, 24)
    assert file.read(6) is None
    file.path.write_bytes(file.path.read_bytes()[:50])
    assert file.read(5) is None
    assert LearntFile(Volume(textures() + 1, np.eye(4)), 0, tmp_path).path != file.path
    assert LearntFile(Volume(textures(), 2 * np.eye(4)), 0, tmp_path).path != file.path
    assert LearntFile(volume, 1, tmp_path).path != file.path


def test_clicks_work_before_learning_ends_and_after_it_was_cancelled(tmp_path):
    class Cancelled(Exception):
        pass

    classifier = GraphClassifier(Volume(textures(), np.eye(4)), cache=str(tmp_path))
    ready = []

    def cancel(done, task, left):
        ready.append(classifier.ready)
        if task == "learning features":
            raise Cancelled

    with pytest.raises(Cancelled):
        classifier.prepare(cancel)
    assert ready[0] is False and ready[-1] is True
    assert classifier.classify([], (1,)).volume().shape == (1, 32, 24, 24)
    assert not list(tmp_path.iterdir())


def test_the_second_preparation_reads_what_was_learnt(tmp_path):
    values, tasks = textures()[:, :12, :12], []
    for _ in range(2):
        tasks.append([])
        classifier = GraphClassifier(Volume(values, np.eye(4)), cache=str(tmp_path))
        classifier.prepare(lambda done, task, left: tasks[-1].append(task))
    assert "learning features" in tasks[0] and "learning features" not in tasks[1]
