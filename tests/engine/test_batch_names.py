"""A sample that the model refuses: the error names the files of its batch."""

from __future__ import annotations

import pytest
import tiny_training
import torch
from mmengine.structures import BaseDataElement

from dense3d.engine import Runner
from dense3d.engine.bad_batches import names_of, naming_samples
from dense3d.errors import DataError
from dense3d.registry import MODELS


@MODELS.register_module()
class PickyModel(tiny_training.TinyModel):
    """Refuses the poisoned sample, as a backbone refuses an image smaller than a patch."""

    def forward(self, inputs, *args, **kwargs):
        if not torch.stack(list(inputs)).isfinite().all():
            raise DataError("an image of 8 x 8 pixels is smaller than one patch")
        return super().forward(inputs, *args, **kwargs)


def runner(work_dir, loop: str = "epoch", kinds: dict | None = None) -> Runner:
    cfg = tiny_training.config(str(work_dir), loop, model={"type": "PickyModel", "norm": False})
    cfg["train_dataloader"]["dataset"]["poison"] = 5
    loader = {**cfg["train_dataloader"], "sampler": {"type": "DefaultSampler", "shuffle": False}}
    for name in ("val", "test"):
        cfg[f"{name}_dataloader"] = loader
        cfg[f"{name}_cfg"] = dict(kinds or {})
        cfg[f"{name}_evaluator"] = {"type": "TinyMetric", "work_dir": str(work_dir)}
    return Runner.from_cfg(cfg)


REFUSAL = r"^an image of 8 x 8 pixels is smaller than one patch \(in the batch of image_"


@pytest.mark.parametrize("loop", ["epoch", "infinite"])
def test_training_names_the_batch(tmp_path, loop):
    with pytest.raises(DataError, match=REFUSAL) as caught:
        runner(tmp_path, loop).train()
    assert "image_05.jpg" in str(caught.value)
    assert str(caught.value).count(".jpg") == tiny_training.BATCH


@pytest.mark.parametrize("step", ["val", "test"])
@pytest.mark.parametrize("typed", [False, True], ids=["default", "type"])
def test_evaluation_names_the_batch(tmp_path, step, typed):
    kinds = {"type": f"{step.capitalize()}Loop"} if typed else {}
    with pytest.raises(DataError, match=REFUSAL) as caught:
        getattr(runner(tmp_path, kinds=kinds), step)()
    assert str(caught.value).endswith(
        "(in the batch of " + ", ".join(f"image_0{i}.jpg" for i in range(4, 8)) + ")"
    )


def test_an_error_that_names_its_file_is_left_alone():
    error = DataError("b.jpg is broken")
    with pytest.raises(DataError) as caught, naming_samples({"img_path": ["a.jpg", "b.jpg"]}):
        raise error
    assert caught.value is error


def test_names_are_found_in_data_samples():
    samples = [BaseDataElement(metainfo={"img_path": f"{i}.jpg", "img_id": i}) for i in range(2)]
    assert list(names_of({"inputs": [torch.ones(1)] * 2, "data_samples": samples})) == ["0.jpg", "1.jpg"]
    assert list(names_of([{"inputs": torch.ones(1)}])) == []
