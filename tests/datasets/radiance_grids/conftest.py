"""Names in pipelines are those of dense3d, as in a config."""

import pytest
from mmengine.registry import DefaultScope


@pytest.fixture(autouse=True)
def _scope():
    with DefaultScope.overwrite_default_scope("dense3d"):
        yield
