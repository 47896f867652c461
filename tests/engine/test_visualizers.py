"""Runs of one process log into their own folders, also where their configs name the visualizer alike."""

from __future__ import annotations

from tiny_training import config

from dense3d.engine import Runner


def test_each_run_logs_into_its_own_folder(tmp_path):
    visualizer = {"type": "Visualizer", "name": "visualizer", "vis_backends": [{"type": "LocalVisBackend"}]}
    for name in ("first", "second"):
        runner = Runner.from_cfg(config(str(tmp_path / name), visualizer=visualizer))
        runner.visualizer.add_scalar("loss", 1.0)
    for name in ("first", "second"):
        records = list((tmp_path / name).rglob("scalars.json"))
        assert len(records) == 1
        assert len(records[0].read_text().splitlines()) == 1
