"""A small volume and a server over it, in process."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from dense3d.structures.volume import Volume
from dense3d.transfer_function import Workspace


def two_cubes() -> Volume:
    """A dark cube and a bright one in air; voxels of 1 x 2 x 3 mm, axes to the left, back and head."""
    values = np.zeros((20, 16, 12), np.int16)
    values[2:8, 2:8, 2:8] = 100
    values[11:18, 8:14, 4:10] = 300
    affine = np.diag([-1.0, -2.0, 3.0, 1.0])
    affine[:3, 3] = 10, 20, -30
    return Volume(values, affine, name="cubes.nii.gz")


@pytest.fixture
def workspace() -> Workspace:
    return Workspace(two_cubes())


@pytest.fixture
def client(workspace) -> Iterator:
    from starlette.testclient import TestClient

    from dense3d.transfer_function.server.app import make_app
    from dense3d.transfer_function.server.hub import Hub

    with TestClient(make_app(Hub(workspace)), base_url="http://127.0.0.1:8765") as client:
        yield client
