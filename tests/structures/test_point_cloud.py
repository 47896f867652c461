"""Point clouds: shapes are checked, selections and motions carry the attributes along."""

import numpy as np
import pytest

from dense3d.errors import DataError
from dense3d.structures import PointCloud


@pytest.fixture
def cloud():
    rng = np.random.default_rng(0)
    normals = rng.normal(size=(50, 3))
    return PointCloud(
        rng.normal(size=(50, 3)),
        colors=rng.random((50, 3)),
        normals=normals / np.linalg.norm(normals, axis=1, keepdims=True),
        labels=np.arange(50),
        intensity=rng.random(50),
        name="fifty",
    )


@pytest.mark.parametrize("index", [slice(3, 9), np.arange(50) % 7 == 0, [4, 4, 1], []])
def test_selection_carries_every_attribute(cloud, index):
    chosen = cloud.select(index)
    rows = cloud.labels[np.asarray(index, dtype=int) if isinstance(index, list) else index]
    assert chosen.name == "fifty" and len(chosen) == len(rows)
    for name, values in chosen.attributes.items():
        np.testing.assert_array_equal(values, getattr(cloud, name)[rows])
    np.testing.assert_array_equal(chosen.points, cloud.points[rows])


def test_normals_stay_at_right_angles_to_the_surface():
    rng = np.random.default_rng(1)
    tangents = rng.normal(size=(20, 2, 3))
    normals = np.cross(tangents[:, 0], tangents[:, 1])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    matrix = np.eye(4)
    matrix[:3] = rng.normal(size=(3, 4))  # stretches and shears
    moved = PointCloud(tangents[:, 0], normals=normals).transform(matrix)
    for i in range(2):
        slopes = np.einsum("ni,ni->n", moved.normals, tangents[:, i] @ matrix[:3, :3].T)
        np.testing.assert_allclose(slopes, 0, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(moved.normals, axis=1), 1, rtol=1e-5)


def test_a_motion_and_its_inverse_are_nothing(cloud):
    turn, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn, (1, -2, 3)
    back = cloud.transform(matrix).transform(np.linalg.inv(matrix))
    np.testing.assert_allclose(back.points, cloud.points, atol=1e-5)
    np.testing.assert_allclose(back.normals, cloud.normals, atol=1e-5)


def test_points_that_are_not_finite_are_dropped_and_counted(cloud):
    points, normals = cloud.points.copy(), cloud.normals.copy()
    points[3, 1], points[7, 0], normals[9] = np.nan, np.inf, np.nan
    kept, dropped = PointCloud(points, normals=normals, labels=cloud.labels).finite()
    assert dropped == 2 and 3 not in kept.labels and 7 not in kept.labels
    assert (kept.normals[kept.labels == 9] == 0).all() and np.isfinite(kept.points).all()


def test_bounds_of_points_and_of_none(cloud):
    np.testing.assert_array_equal(cloud.bounds[1], cloud.points.max(axis=0))
    np.testing.assert_array_equal(PointCloud(np.zeros((0, 3))).bounds, np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(points=np.zeros((4, 2))), r"points are numbers \(N, 3\)"),
        (dict(points=np.array([["a", "b", "c"]])), "points are numbers"),
        (dict(points=np.zeros((4, 3)), colors=np.zeros((3, 3))), r"scan: colors are \(4, 3\)"),
        (dict(points=np.zeros((4, 3)), labels=np.zeros((4, 1))), r"scan: labels are \(4,\)"),
    ],
)
def test_shapes_are_checked(arguments, message):
    with pytest.raises(DataError, match=message):
        PointCloud(**arguments, name="scan")


def test_colours_of_bytes_are_refused_and_rounding_is_not():
    PointCloud(np.eye(3), colors=[[1 + 1e-7, -1e-7, np.nan]] * 3)
    with pytest.raises(DataError, match=r"colours are in 0\.\.1, and these reach from 0 to 255"):
        PointCloud(np.eye(3), colors=np.eye(3, dtype=np.uint8) * 255)


def test_only_affine_matrices_that_keep_space_move_a_cloud(cloud):
    with pytest.raises(DataError, match="flattens space"):
        cloud.transform(np.diag([1, 1, 0, 1]))
    with pytest.raises(DataError, match=r"affine \(4, 4\)"):
        cloud.transform(np.eye(3))
