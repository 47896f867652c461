"""Marks become the voxels that they mean, on grids of any spacing and reduction."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from dense3d.transfer_function.marks import (
    MOST_VOXELS,
    Box,
    Grid,
    Lasso,
    Point,
    PromptError,
    Stroke,
    dense_path,
    erased,
    in_polygon,
    prompt_of,
    without_contradictions,
)

GRID = Grid((20, 16, 12), (1.0, 2.0, 3.0))
COARSE = Grid((21, 16, 12), (1.0, 2.0, 3.0), (2, 1, 3))


def as_set(voxels) -> set:
    return set(map(tuple, np.asarray(voxels).tolist()))


def test_a_stroke_is_every_voxel_near_its_path():
    path = dense_path([(3, 3, 3), (12, 9, 3), (12, 9, 10)])
    mark = Stroke(id=1, class_id=1, path=path, radius=4.5)
    every = np.array(list(itertools.product(*map(range, GRID.shape))))
    apart = np.linalg.norm((every[:, None] - np.array(path)) * GRID.spacing, axis=2).min(1)
    assert as_set(mark.working(GRID)) == as_set(every[apart <= 4.5])


def test_a_stroke_without_radius_is_its_path_without_gaps():
    path = dense_path([(0, 0, 0), (9, 4, 2)])
    steps = np.abs(np.diff(path, axis=0))
    assert steps.max() == 1 and path[0] == (0, 0, 0) and path[-1] == (9, 4, 2)
    assert as_set(Stroke(id=1, class_id=1, path=path).working(GRID)) == set(path)


def test_the_working_grid_has_a_voxel_for_each_block():
    assert COARSE.working_shape == (11, 16, 4)
    assert as_set(Point(id=1, class_id=1, voxel=(20, 5, 11)).working(COARSE)) == {(10, 5, 3)}
    box = Box(id=1, class_id=1, low=(3, 2, 2), high=(4, 2, 3))
    assert as_set(box.working(COARSE)) == {(1, 2, 0), (2, 2, 0), (1, 2, 1), (2, 2, 1)}


@pytest.mark.parametrize("seed", range(5))
def test_a_lasso_holds_what_matplotlib_says(seed):
    from matplotlib.path import Path

    random = np.random.default_rng(seed)
    angles = np.sort(random.uniform(0, 2 * np.pi, 12))
    corners = 9 + random.uniform(2, 9, 12)[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
    points = np.stack(np.meshgrid(np.arange(20), np.arange(18), indexing="ij"), -1)
    expected = Path(corners).contains_points(points.reshape(-1, 2)).reshape(20, 18)
    np.testing.assert_array_equal(in_polygon(corners, np.arange(20), np.arange(18)), expected)


@pytest.mark.parametrize("axis", range(3))
def test_a_lasso_lies_in_its_slice(axis):
    first, second = (other for other in range(3) if other != axis)
    mark = Lasso(
        id=1, class_id=1, axis=axis, index=5, polygon=((1.5, 2.5), (4.5, 2.5), (4.5, 3.5), (1.5, 3.5))
    )
    found = mark.working(GRID)
    assert set(found[:, axis]) == {5} and set(found[:, first]) == {2, 3, 4} and set(found[:, second]) == {3}


def test_a_large_box_is_thinned_evenly():
    grid = Grid((200, 200, 200), (1.0, 1.0, 1.0))
    found = Box(id=1, class_id=1, low=(0, 0, 0), high=(199, 199, 199)).working(grid)
    assert len(found) == MOST_VOXELS == len(as_set(found))
    assert (found.min(0) == 0).all() and (found.max(0) == 199).all()
    np.testing.assert_allclose(found.mean(0), 99.5, atol=1.5)


def voxels_of(marks) -> list:
    return without_contradictions([prompt_of(mark, GRID) for mark in marks], GRID)


def test_what_was_marked_later_holds():
    box = Box(id=1, class_id=1, low=(0, 0, 0), high=(3, 0, 0))
    other = Point(id=2, class_id=2, voxel=(1, 0, 0))
    against = Point(id=3, class_id=1, voxel=(2, 0, 0), positive=False)
    found = voxels_of([box, other, against])
    assert [(p.class_id, p.kind, p.positive) for p in found] == [
        (1, "box", True),
        (2, "point", True),
        (1, "point", False),
    ]
    assert as_set(found[0].voxels) == {(0, 0, 0), (3, 0, 0)}
    # The other way round the box overrules both.
    assert [p.class_id for p in voxels_of([other, against, box])] == [1]


def test_marks_against_different_classes_do_not_contradict():
    marks = [Point(id=n, class_id=n, voxel=(1, 1, 1), positive=False) for n in (1, 2)]
    assert len(voxels_of(marks)) == 2 and voxels_of([]) == []


def test_an_eraser_takes_what_its_ball_holds():
    point = Point(id=1, class_id=1, voxel=(5, 5, 5))
    assert erased(point, (5, 6, 5), 1.9, GRID, 9) is point  # 2 mm away
    assert erased(point, (5, 6, 5), 2.0, GRID, 9) is None
    stroke = Stroke(id=1, class_id=1, path=dense_path([(0, 0, 0), (9, 0, 0)]))
    left = erased(stroke, (5, 0, 0), 1.0, GRID, 9)
    assert left.id == 9 and {voxel[0] for voxel in left.path} == {0, 1, 2, 3, 7, 8, 9}
    assert erased(left, (5, 0, 0), 19.0, GRID, 10) is None
    box = Box(id=1, class_id=1, low=(4, 4, 4), high=(6, 6, 6))
    assert erased(box, (3, 4, 4), 0.5, GRID, 9) is box and erased(box, (3, 4, 4), 1.0, GRID, 9) is None
    lasso = Lasso(id=1, class_id=1, axis=2, index=3, polygon=((0, 0), (9, 0), (9, 9), (0, 9)))
    assert erased(lasso, (5, 5, 5), 5.9, GRID, 9) is lasso and erased(lasso, (5, 5, 5), 6.1, GRID, 9) is None


@pytest.mark.parametrize(
    ("mark", "sentence"),
    [
        (Point(id=1, class_id=1, voxel=(20, 0, 0)), "outside the volume of 20 x 16 x 12"),
        (Point(id=1, class_id=1, voxel=(0, -1, 0)), "outside"),
        (Stroke(id=1, class_id=1, path=()), "needs voxels"),
        (Stroke(id=1, class_id=1, path=((0, 0, 0),), radius=-1.0), "radius"),
        (Stroke(id=1, class_id=1, path=((0, 0, 0),), radius=float("nan")), "radius"),
        (Stroke(id=1, class_id=1, path=((0, 0, 0),), radius=1e9), "radius"),
        (Lasso(id=1, class_id=1, axis=3, index=0, polygon=((0, 0), (1, 0), (1, 1))), "no slice"),
        (Lasso(id=1, class_id=1, axis=2, index=12, polygon=((0, 0), (1, 0), (1, 1))), "no slice"),
        (Lasso(id=1, class_id=1, axis=2, index=0, polygon=((0, 0), (1, 0))), "3 to"),
        (Lasso(id=1, class_id=1, axis=2, index=0, polygon=((0, 0), (1, 0), (float("nan"), 1))), "corners"),
        (Box(id=1, class_id=1, low=(5, 0, 0), high=(4, 0, 0)), "low corner"),
        (Box(id=1, class_id=1, low=(0, 0, 0), high=(0, 99, 0)), "outside"),
    ],
)
def test_impossible_marks_are_told(mark, sentence):
    with pytest.raises(PromptError, match=sentence):
        mark.check(GRID)


def test_a_path_across_the_world_is_no_stroke():
    with pytest.raises(PromptError, match="in parts"):
        dense_path([(0, 0, 0), (9000, 0, 0)])
