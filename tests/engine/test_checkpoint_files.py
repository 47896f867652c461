"""What is read from checkpoint files, what is refused, and in which words."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModule
from mmengine.runner.checkpoint import CheckpointLoader

from dense3d.engine import load_checkpoint, save_checkpoint
from dense3d.engine.checkpoint import weights_of
from dense3d.engine.plain import make_plain, revive_histories
from dense3d.errors import CheckpointError


class Malicious:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.path}",)


class Custom:
    """A class that no allow-list knows."""


@pytest.fixture
def malicious(tmp_path) -> tuple[Path, Path]:
    """A checkpoint and the file that it would create."""
    mark = tmp_path / "owned"
    path = tmp_path / "evil.pth"
    torch.save({"state_dict": {"weight": torch.ones(1)}, "meta": Malicious(mark)}, path)
    return path, mark


def read_with_mmengine(path: Path) -> dict:
    return CheckpointLoader.load_checkpoint(str(path), "cpu")


def read_as_pretrained_weights(path: Path) -> None:
    BaseModule(init_cfg={"type": "Pretrained", "checkpoint": str(path)}).init_weights()


@pytest.mark.parametrize("read", [load_checkpoint, read_with_mmengine, read_as_pretrained_weights])
def test_code_in_a_checkpoint_is_not_run(malicious, read, monkeypatch):
    path, mark = malicious
    with pytest.raises(
        CheckpointError, match=r"evil\.pth was refused.*(posix|nt)\.system.*weights_only=False"
    ):
        read(path)
    assert not mark.exists()
    monkeypatch.setenv("DENSE3D_UNSAFE_CHECKPOINTS", "1")
    read(path)
    assert mark.exists()


def test_opt_in_by_argument(malicious):
    path, mark = malicious
    load_checkpoint(path, weights_only=False)
    assert mark.exists()


def test_refusal_names_every_class(tmp_path):
    path = tmp_path / "custom.pth"
    torch.save({"state_dict": {}, "a": Custom(), "b": pickle.Pickler}, path)
    with pytest.raises(CheckpointError, match=r"Custom.*Pickler|Pickler.*Custom"):
        load_checkpoint(path)


def test_allowed_getattr_reaches_nothing_but_statistics(tmp_path):
    class Reach:
        def __reduce__(self) -> tuple:
            return getattr, (np.ndarray, "__class__")

    path = tmp_path / "reach.pth"
    torch.save({"state_dict": {}, "x": Reach()}, path)
    with pytest.raises(CheckpointError, match="refused"):
        load_checkpoint(path)


class _OldHistory:
    """Pickles as mmengine's class with a method of it inside, as old versions did."""

    def __reduce__(self) -> tuple:
        state = {"_statistics_methods": {"min": _Method()}, "_log_history": np.arange(3.0)}
        return HistoryBuffer, (), state


class _Method:
    def __reduce__(self) -> tuple:
        return getattr, (HistoryBuffer, "min")


def test_checkpoints_of_mmengine_load(tmp_path):
    """They carry history buffers and NumPy scalars, dtypes and arrays."""
    path = tmp_path / "mmengine.pth"
    buffer = HistoryBuffer([1.0, 2.0], [1, 1])
    content = {
        "state_dict": {"weight": torch.ones(1)},
        "meta": {
            "best": np.float64(0.5),
            "n": np.int64(3),
            "palette": np.zeros((2, 3), np.uint8),
            "ok": np.bool_(1),
        },
        "message_hub": {"log_scalars": {"loss": buffer, "old": _OldHistory()}, "kind": np.dtype("float32")},
    }
    torch.save(content, path)
    found = load_checkpoint(path)
    assert found["meta"]["best"] == 0.5 and found["meta"]["palette"].shape == (2, 3)
    assert found["message_hub"]["log_scalars"]["loss"].mean() == 1.5
    assert found["message_hub"]["log_scalars"]["old"].data[0].tolist() == [0, 1, 2]


def _missing(path: Path) -> None:
    (path.parent / "other.pth").write_bytes(b"")


def _folder(path: Path) -> None:
    path.mkdir()


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _text(path: Path) -> None:
    path.write_text("<html>not found</html>")


def _truncated(path: Path) -> None:
    torch.save({"state_dict": {"weight": torch.randn(5000)}}, path)
    path.write_bytes(path.read_bytes()[:9000])


def _truncated_old_format(path: Path) -> None:
    torch.save({"state_dict": {"weight": torch.randn(5000)}}, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:9000])


def _list(path: Path) -> None:
    torch.save([1, 2], path)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_missing, "does not exist; that folder has other.pth"),
        (_folder, "is a folder"),
        (_empty, "is empty (0 bytes)"),
        (_text, "is damaged or no checkpoint"),
        (_truncated, "is damaged or no checkpoint"),
        (_truncated_old_format, "is damaged or no checkpoint"),
        (_list, "holds a list, not a checkpoint"),
    ],
)
def test_bad_files(tmp_path, make, words):
    path = tmp_path / "model.pth"
    make(path)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    message = str(caught.value)
    assert str(path) in message and words in message and "\n" not in message


def test_bare_weights_and_foreign_layouts(tmp_path):
    torch.save({"module.weight": torch.ones(1)}, tmp_path / "bare.pth")
    assert list(weights_of(load_checkpoint(tmp_path / "bare.pth"), "x")) == ["weight"]
    torch.save({"model": {"weight": torch.ones(1)}, "epoch": 3}, tmp_path / "foreign.pth")
    with pytest.raises(CheckpointError, match=r"no 'state_dict' but 'model', 'epoch'.*dense3d convert"):
        weights_of(load_checkpoint(tmp_path / "foreign.pth"), "foreign.pth")


def test_plain_content_comes_back(tmp_path):
    weights = torch.nn.BatchNorm2d(2).state_dict()
    content = {
        "meta": {"path": Path("x"), "seed": np.int64(3), "ratio": np.float64(0.1), "palette": np.eye(2)},
        "state_dict": weights,
        "message_hub": {"log_scalars": {"loss": HistoryBuffer([0.1, 0.2], [1, 2])}, "runtime_info": {}},
    }
    save_checkpoint(make_plain(content), tmp_path / "x.pth")
    found = torch.load(tmp_path / "x.pth", weights_only=True)
    assert found["meta"] == {"path": "x", "seed": 3, "ratio": 0.1, "palette": [[1.0, 0.0], [0.0, 1.0]]}
    assert found["state_dict"]._metadata == weights._metadata
    revived = revive_histories(found["message_hub"])["log_scalars"]["loss"]
    assert [array.tolist() for array in revived.data] == [[0.1, 0.2], [1.0, 2.0]]


def test_odd_objects_are_left_out_where_they_only_inform_and_refused_elsewhere():
    told: list[str] = []
    assert make_plain({"meta": {"a": 1, "odd": Custom()}}, told.append) == {"meta": {"a": 1}}
    assert "meta.odd (" in told[0]
    with pytest.raises(CheckpointError, match=r"optimizer\.state\.0 \(.*Custom\)"):
        make_plain({"optimizer": {"state": {0: Custom()}}})


def test_views_do_not_drag_their_storage_along():
    view = torch.zeros(1000)[:2]
    assert make_plain({"state_dict": {"x": view}})["state_dict"]["x"].untyped_storage().nbytes() == 8


@pytest.mark.parametrize("part", [{"meta": "text"}, {"state_dict": [1]}, {"state_dict": {1: torch.ones(1)}}])
def test_parts_of_other_types_are_named(part):
    with pytest.raises(CheckpointError, match=r"x\.pth is damaged: its '\w+' is a \w+, not a dict"):
        weights_of({"state_dict": {}, **part}, "x.pth")
