"""Training data of less than a batch, and rows of evaluations that say when they were made."""

from __future__ import annotations

import json

import pytest
from tiny_training import train

from dense3d.apis.comparison import read_curve
from dense3d.engine.pictures import read_scalars
from dense3d.errors import ConfigError


def rows(folder) -> list[dict]:
    (log,) = folder.glob("*/vis_data/scalars.json")
    return [json.loads(line) for line in log.read_text().splitlines()]


@pytest.mark.parametrize(
    ("loop", "changes", "expected"),
    [
        ("epoch", {"train_cfg": {"type": "EpochBasedTrainLoop", "max_epochs": 2}}, 2),
        ("iter", {"train_cfg": {"type": "IterBasedTrainLoop", "max_iters": 10, "val_interval": 5}}, [5, 10]),
    ],
)
def test_evaluations_are_logged_with_their_iterations(tmp_path, loop, changes, expected):
    train(
        str(tmp_path), loop, validate=True, visualizer=dict(
            type="Visualizer", vis_backends=[dict(type="LocalVisBackend")]
        ), **changes,
    )  # fmt: skip
    found = [row["iter"] for row in rows(tmp_path) if "error" in str(row) and "loss" not in row]
    if isinstance(expected, int):  # epochs of equal length
        assert len(found) == expected
        assert found[1] == 2 * found[0] > 0
        expected = found
    assert found == expected
    _, metrics = read_scalars(tmp_path)
    assert [list(points) for name, points in metrics.items() if name.endswith("error")] == [expected]
    metric = next(name for row in rows(tmp_path) for name in row if name.endswith("error"))
    if "/" in metric:
        assert list(read_curve(tmp_path, metric)) == expected


@pytest.mark.parametrize("loop", ["epoch", "iter"])
def test_fewer_samples_than_a_batch(tmp_path, loop):
    from tiny_training import config

    from dense3d.engine import Runner

    cfg = config(str(tmp_path), loop)
    cfg["train_dataloader"].update(batch_size=1000, drop_last=True)
    with pytest.raises(
        ConfigError, match=r"have \d+ samples, fewer than one batch of 1000.*batch_size to \d+ or"
    ):
        Runner.from_cfg(cfg).train()
