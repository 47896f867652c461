"""Samples that were skipped are told of once, with their files."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from dense3d.engine.bad_batches import SkippedSamplesHook
from dense3d.registry import DATASETS


@pytest.fixture
def dataset(tmp_path: Path):
    images = []
    for i in range(3):
        Image.new("RGB", (16, 8)).save(tmp_path / f"{i}.png")
        images.append(dict(id=i, file_name=f"{i}.png", width=16, height=8))
    document = dict(images=images, annotations=[], categories=[dict(id=1, name="disk")])
    (tmp_path / "a.json").write_text(json.dumps(document))
    (tmp_path / "0.png").write_bytes(b"")
    return DATASETS.build(
        dict(
            type="dense3d.CocoDataset",
            data_root=str(tmp_path),
            ann_file="a.json",
            data_prefix=dict(img=""),
            metainfo=dict(classes=("disk",)),
            pipeline=[dict(type="mmdet.LoadImageFromFile")],
            skip_bad_samples=True,
        )
    )


def test_each_skipped_sample_is_told_of_once(dataset, tmp_path: Path, capsys) -> None:
    runner = SimpleNamespace(
        train_dataloader=SimpleNamespace(dataset=dataset),
        val_loop=None,
        logger=logging.getLogger("test"),
    )
    hook = SkippedSamplesHook()
    hook.before_train(runner)
    printed = capsys.readouterr().out.replace("\n", "")
    assert "1 bad training samples" in printed
    assert "0.png" in printed
    (tmp_path / "1.png").unlink()
    assert dataset[0]["img_path"].endswith("2.png")
    hook.after_train_epoch(runner)
    printed = capsys.readouterr().out.replace("\n", "")
    assert "1.png" in printed
    assert "0.png" not in printed
    hook.after_train(runner)
    assert capsys.readouterr().out == ""
