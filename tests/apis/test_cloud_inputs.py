"""What a predictor of clouds takes, and how its files are read."""

from __future__ import annotations

import numpy as np
import pytest

from dense3d.apis.cloud_inputs import as_clouds
from dense3d.errors import ConfigError, DataError
from dense3d.structures import PointCloud


def test_files_are_read_as_the_caller_says(tmp_path):
    values = np.arange(24, dtype=np.float32).reshape(4, 6)
    np.savetxt(tmp_path / "a.xyz", values)
    (plain,) = as_clouds(tmp_path / "a.xyz", dict(columns="x y z - - -"))
    assert np.array_equal(plain.cloud().points, values[:, :3]) and plain.cloud().colors is None
    (turned,) = as_clouds(tmp_path, dict(columns="- - - x y z", up_axis="y"))
    x, y, z = values[:, 3:].T
    assert np.array_equal(turned.cloud().points, np.stack([x, -z, y], axis=1))
    (coloured,) = as_clouds(str(tmp_path / "*.xyz"), dict(columns="x y z r g b", color_max=255))
    assert np.allclose(coloured.cloud().colors, values[:, 3:] / 255)
    with pytest.raises(ConfigError, match="up_axis must be one of"):
        as_clouds(tmp_path / "a.xyz", dict(columns="x y z - - -", up_axis="w"))[0].cloud()


def test_options_of_files_leave_clouds_in_memory_alone():
    cloud = PointCloud([[1.0, 2, 3]], name="mine")
    first, second = as_clouds([cloud, cloud.points], dict(up_axis="y"))
    assert first.cloud() is cloud and second.cloud().points.tolist() == [[1, 2, 3]]
    assert (first.name, second.name) == ("mine", "cloud-1")


def test_the_range_of_colours_in_an_array_is_told_by_the_greatest():
    points, colors = np.eye(3), np.array([[0, 51, 255], [255, 0, 0], [3, 4, 5]])
    for given in (np.hstack([points, colors]), np.hstack([points, colors / 255])):
        (cloud,) = as_clouds(given)
        assert np.allclose(cloud.cloud().colors, colors / 255)
    with pytest.raises(DataError, match="colours from -1 to"):  # normals, for instance
        as_clouds(np.hstack([points, -points]))


@pytest.mark.parametrize("inputs", [[], 5, "nowhere/*.ply", [np.zeros((3, 4))], [object()]])
def test_what_is_no_cloud_is_refused(inputs):
    with pytest.raises(DataError, match=r"cloud|input"):
        as_clouds(inputs)
