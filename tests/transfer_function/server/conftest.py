"""A small volume and a server over it, in process."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from transfer_function.cubes import two_cubes

from dense3d.transfer_function import Workspace


@pytest.fixture
def workspace(tmp_path) -> Iterator[Workspace]:
    # nothing is learnt: scores stay as they are sent
    with Workspace(two_cubes(), method="graph-quick") as workspace:
        workspace.keep_in(tmp_path / "work.json")
        yield workspace


@pytest.fixture
def client(workspace) -> Iterator:
    """Of a server whose method is prepared: what is classified is not classified again by itself."""
    from starlette.testclient import TestClient

    from dense3d.transfer_function.server.app import make_app
    from dense3d.transfer_function.server.hub import Hub

    hub = Hub(workspace)
    with TestClient(make_app(hub), base_url="http://127.0.0.1:8765") as client:
        end = time.monotonic() + 120  # numba may have to compile
        while not (hub.last_progress and hub.last_progress["done"] == 1):
            assert time.monotonic() < end, hub.last_progress
            time.sleep(0.01)
        yield client
