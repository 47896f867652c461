"""Where a classification is unsure."""

import numpy as np

from dense3d.transfer_function.suggestion import next_click, unsure_voxels

HALF = np.array([0.5, 0.5])


def test_the_next_click_is_the_middle_of_the_largest_unsure_part():
    scores = np.zeros((2, 20, 12, 12), np.uint8)
    scores[0] = 250
    scores[1, 3:10, 2:9, 2:9] = 245  # both claim a cube of 7^3 voxels ...
    scores[1, 14:16, 5:7, 5:7] = 250  # ... and a small one
    assert next_click(scores, HALF, (1, 1, 1)) == (6, 5, 5)


def test_a_score_near_its_threshold_is_unsure_and_a_sure_volume_has_no_suggestion():
    scores = np.full((1, 5, 5, 5), 255, np.uint8)
    assert next_click(scores, HALF[:1], (1, 1, 1)) is None
    scores[0, 2, 3, 1] = 120
    assert next_click(scores, HALF[:1], (1, 1, 1)) == (2, 3, 1)
    assert next_click(np.zeros((1, 5, 5, 5), np.uint8), HALF[:1], (1, 1, 1)) is None
    assert next_click(np.zeros((0, 5, 5, 5), np.uint8), HALF[:0], (1, 1, 1)) is None


def test_unsure_voxels_by_class_and_intensity():
    scores = np.zeros((2, 4, 1, 1), np.uint8)
    scores[:, :, 0, 0] = [[255, 130, 100, 0], [0, 0, 0, 0]]  # sure 1, unsure 1, background by 27, no score
    values = np.array([0.0, 1.0, 2.0, 64.0]).reshape(4, 1, 1)
    found = unsure_voxels(scores, HALF, values)
    np.testing.assert_array_equal(found.by_class, [0, 0.5, 0])
    assert found.counts.tolist()[:3] == [1, 1, 1] and found.counts.sum() == 3
    assert found.unsure.tolist()[:3] == [0, 1, 0] and found.unsure.sum() == 1


def test_large_volumes_are_looked_at_on_a_lattice():
    scores = np.zeros((1, 220, 200, 200), np.uint8)
    scores[0, 100:140, 50:90, 50:90] = 130
    x, y, z = next_click(scores, HALF[:1], (1, 1, 1))
    assert 110 <= x < 130 and 60 <= y < 80 and 60 <= z < 80
