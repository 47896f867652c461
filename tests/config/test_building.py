"""What only building shows is one sentence with the place in the config."""

from __future__ import annotations

from pathlib import Path

import pytest

from dense3d.apis import build_model
from dense3d.config.building import explained_building
from dense3d.errors import ConfigError


def test_a_model_that_cannot_be_built_names_its_part(tmp_path: Path) -> None:
    path = tmp_path / "config.py"
    path.write_text(
        "_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'\nmodel = dict(backbone=dict(depth=19))\n"
    )
    with pytest.raises(ConfigError, match=r"config.py:2: ResNet at model.backbone cannot be built: .*19"):
        build_model(path)


def test_what_runs_later_passes_unchanged() -> None:
    with pytest.raises(ZeroDivisionError), explained_building(None):
        1 / 0  # noqa: B018
