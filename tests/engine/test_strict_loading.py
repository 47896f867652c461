"""Weights of another model, or of another number of classes, are refused with what differs."""

from __future__ import annotations

import pytest
import torch
from mmengine.model import BaseModel, BaseTTAModel, MMDistributedDataParallel
from processes import finish, losses, start
from torch import nn

from dense3d.engine.differences import load_into
from dense3d.errors import CheckpointError


def model(width: int = 4) -> nn.Module:
    """A backbone of two blocks and a head."""
    block = [nn.Sequential(nn.Conv2d(3, width, 1), nn.BatchNorm2d(width)) for _ in range(2)]
    return nn.ModuleDict({"backbone": nn.ModuleList(block), "head": nn.Linear(width, 2)})


def test_equal_weights_load_and_only_counters_may_be_missing():
    target, source = model(), model()
    weights = source.state_dict()
    del weights["backbone.0.1.num_batches_tracked"]
    assert not load_into(target, weights)
    assert torch.equal(target["head"].weight, source["head"].weight)


def test_every_kind_of_difference_is_listed_by_group():
    weights = model(6).state_dict()
    del weights["backbone.0.0.weight"], weights["backbone.0.0.bias"]
    weights["neck.conv.weight"] = torch.ones(1)
    with pytest.raises(CheckpointError) as caught:
        load_into(model(4), weights, source="x.pth")
    lines = str(caught.value).splitlines()
    assert (
        lines[0].startswith("x.pth does not fit the model ModuleDict: ") and "strict_load=False" in lines[0]
    )
    text = "\n".join(lines)
    assert "missing from the checkpoint (2):\n    backbone.0.*: 2, such as backbone.0.0.weight" in text
    assert "in the checkpoint only (1):\n    neck.conv.weight" in text
    assert "backbone.1.0.weight: [6, 3, 1, 1] in the checkpoint, [4, 3, 1, 1] in the model" in text


def test_long_lists_end_in_a_count():
    weights = {**model().state_dict(), **{f"extra{i}.weight": torch.ones(1) for i in range(30)}}
    with pytest.raises(CheckpointError, match=r"in the checkpoint only \(30\):(?s:.*)\.\.\. and 22 more"):
        load_into(model(), weights)


def test_another_model_is_refused_even_when_not_strict():
    with pytest.raises(CheckpointError, match="belongs to another model than ModuleDict: none of its 2"):
        load_into(model(), nn.Linear(2, 2).state_dict(), strict=False)


def test_not_strict_loads_what_fits_and_tells():
    target, source = model(), model()
    weights = source.state_dict()
    weights["head.weight"] = torch.ones(7, 4)
    told: list[str] = []
    differences = load_into(target, weights, strict=False, warn=told.append)
    assert list(differences.shapes) == ["head.weight"] and "[7, 4]" in told[0]
    assert torch.equal(target["head"].bias, source["head"].bias)


def test_wrapped_models_are_unwrapped():
    assert issubclass(MMDistributedDataParallel, nn.Module)
    wrapper = nn.Module.__new__(MMDistributedDataParallel)
    nn.Module.__init__(wrapper)
    wrapper.module = model()
    assert not load_into(wrapper, model().state_dict())


class _TTA(BaseTTAModel):
    def merge_preds(self, data_samples_list: list) -> list:
        return data_samples_list


class _Headed(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 2)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.head(inputs)


def test_test_time_augmentation_wrappers_are_unwrapped():
    inner = _Headed()
    assert not load_into(_TTA(inner), {"head.weight": torch.ones(2, 4), "head.bias": torch.ones(2)})
    assert torch.equal(inner.head.bias, torch.ones(2))


def test_published_checkpoint_holds_what_was_asked_for(tmp_path):
    keys = ["meta", "state_dict"]
    hook = {"type": "CheckpointHook", "interval": 1, "published_keys": keys}
    finish(tmp_path, train_cfg={"by_epoch": True, "max_epochs": 1}, default_hooks={"checkpoint": hook})
    (published,) = tmp_path.glob("epoch_1-????????.pth")
    assert list(torch.load(published, weights_only=True)) == keys


def test_runner_refuses_another_number_of_classes(tmp_path):
    finish(tmp_path / "a", loop="epoch", train_cfg={"by_epoch": True, "max_epochs": 1})
    checkpoint = str(tmp_path / "a" / "iter_7.pth")
    two = {"classes": ["x", "y"]}
    process = start(tmp_path / "b", load_from=checkpoint, metainfo=two)
    process.join()
    words = (tmp_path / "b" / "output.txt").read_text()
    assert process.exitcode == 1
    assert "was trained on 3 classes (a, b, c), but the data set of this config has 2 (x, y)" in words
    finish(tmp_path / "c", load_from=checkpoint, metainfo=two, strict_load=False)


def test_runner_starts_from_weights(tmp_path):
    """``load_from`` takes the weights (the averaged ones) and nothing else of the run."""
    short = {"by_epoch": True, "max_epochs": 1}
    finish(tmp_path / "a", train_cfg=short)
    finish(tmp_path / "b", train_cfg=short, load_from=str(tmp_path / "a" / "iter_7.pth"))
    first, second = losses(tmp_path / "a"), losses(tmp_path / "b")
    assert [r["files"] for r in first] == [r["files"] for r in second]
    assert first[0]["loss"] != second[0]["loss"]
