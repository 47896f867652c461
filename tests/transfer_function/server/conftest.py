"""A small volume and a server over it, in process."""

from __future__ import annotations

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
    from starlette.testclient import TestClient

    from dense3d.transfer_function.server.app import make_app
    from dense3d.transfer_function.server.hub import Hub

    with TestClient(make_app(Hub(workspace)), base_url="http://127.0.0.1:8765") as client:
        yield client
