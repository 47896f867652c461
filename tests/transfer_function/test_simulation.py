"""Simulated clicks fall where the rules say."""

import numpy as np
import pytest

from dense3d.errors import ConfigError
from dense3d.transfer_function.simulation import CorrectingPerson, RandomPerson, make_person, play

TRUTH = np.zeros((12, 12, 6), np.uint8)
TRUTH[1:6, 1:10, 1:6] = 1
TRUTH[7:12, 2:9, 0:5] = 2


def test_random_clicks_are_interior_and_three_for_the_background():
    person = RandomPerson(TRUTH, seed=3)
    prompts = [prompt for _ in range(20) for prompt in person.next_clicks()]
    owners = [prompt.class_id for prompt in prompts]
    assert {c: owners.count(c) for c in (0, 1, 2)} == {0: 60, 1: 20, 2: 20}
    for prompt in prompts:
        voxel = prompt.voxels[0]
        for axis in range(3):
            for step in (-1, 1):
                beside = voxel.copy()
                beside[axis] += step
                assert 0 <= beside[axis] < TRUTH.shape[axis]
                assert TRUTH[tuple(beside)] == prompt.class_id


def test_a_seed_repeats_and_a_structure_without_interior_is_clicked():
    thin = np.zeros((5, 5, 5), np.uint8)
    thin[2, 2] = 1
    first, second = (RandomPerson(thin, 1).next_clicks() for _ in range(2))
    assert [p.voxels.tolist() for p in first] == [p.voxels.tolist() for p in second]
    assert thin[tuple(first[-1].voxels[0])] == 1


def test_the_first_correcting_clicks_are_the_middles_of_structures():
    prompts = CorrectingPerson(TRUTH, (1.0, 1.0, 1.0)).next_clicks(None)
    assert [prompt.class_id for prompt in prompts] == [1, 2]
    x, y, z = prompts[0].voxels[0]
    assert (x, z) == (3, 3) and 3 <= y <= 7


def test_correcting_clicks_name_what_is_there():
    found = TRUTH.copy()
    found[:, :, :] = np.where(TRUTH == 1, 1, 0)
    found[0, :, :] = 1  # wrongly class 1, larger than nothing else of it
    prompts = CorrectingPerson(TRUTH, (1.0, 1.0, 1.0)).next_clicks(found)
    assert prompts[0].class_id == 0 and prompts[0].voxels[0][0] == 0
    assert prompts[1].class_id == 2


def test_a_perfect_result_gets_no_more_clicks():
    person = CorrectingPerson(TRUTH, (1.0, 1.0, 2.0))
    assert person.next_clicks(TRUTH) == []


def test_depth_counts_millimetres():
    slab = np.zeros((9, 9, 9), np.uint8)
    slab[1:8, 1:8, 1:4] = 1  # 7 mm wide, 3 slices thick
    voxel = CorrectingPerson(slab, (1.0, 1.0, 5.0)).next_clicks(None)[0].voxels[0]
    assert voxel[:2].tolist() == [4, 4]  # the slices are far apart: the middle in the plane decides


def test_rounds_add_up():
    counts = []
    person = RandomPerson(TRUTH)
    for number, _ in play(person, lambda prompts: counts.append(len(prompts)) or TRUTH, 3):
        assert number == len(counts)
    assert counts == [5, 10, 15]


def test_an_unknown_rule_is_named():
    with pytest.raises(ConfigError, match="randon"):
        make_person("randon", TRUTH, (1, 1, 1), 0)
