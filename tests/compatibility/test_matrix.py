"""Every backbone and adapter under every head: one training step, one prediction."""

from __future__ import annotations

import copy

import pytest
import torch
from mmengine.model import BaseModel

from dense3d.errors import ConfigError, TrainingError
from dense3d.registry import MODELS
from tests.compatibility import heads, obstacle, tiny_backbones, try_pair
from tests.compatibility.table import FAILS, WORKS, read_table

HEADS = heads()
ALL_VARIANTS = ("DINO", "UPerNet")  # heads that the default run puts on every variant


@pytest.fixture(scope="module")
def backbones() -> dict[str, dict]:
    return tiny_backbones()


def first_variants(backbones: dict[str, dict]) -> set[str]:
    """One variant of each class."""
    return set({config["type"]: name for name, config in reversed(backbones.items())}.values())


def check(backbones: dict[str, dict], names: set[str], head: str) -> None:
    failures = {}
    for name in sorted(names):
        reason = obstacle(backbones[name], HEADS[head])
        try:
            if reason is None:
                try_pair(backbones[name], HEADS[head])
        except Exception as error:
            failures[name] = error
        print(f"{name:32} {head:28} {reason or failures.get(name) or WORKS}")
    assert not failures, failures


@pytest.mark.parametrize("head", HEADS)
def test_families_train_and_predict(backbones, head):
    check(backbones, set(backbones) if head in ALL_VARIANTS else first_variants(backbones), head)


@pytest.mark.slow
@pytest.mark.parametrize("head", [head for head in HEADS if head not in ALL_VARIANTS])
def test_other_variants_train_and_predict(backbones, head):
    check(backbones, set(backbones) - first_variants(backbones), head)


def test_a_model_without_a_small_variant_is_named():
    class Newcomer(BaseModel):
        pass

    Newcomer.__module__ = "dense3d.segmentation.newcomer"
    MODELS.register_module(module=Newcomer)
    try:
        with pytest.raises(ConfigError, match=r"Newcomer in dense3d.segmentation.newcomer .* tiny"):
            heads()
        Newcomer.tiny = staticmethod(lambda backbone, maps: dict(type="dense3d.Newcomer", backbone=backbone))
        Newcomer.tiny_needs = dict(task="panoptic", maps=4)
        head = heads()["Newcomer"]
        assert (head.task, head.maps, head.strides) == ("panoptic", 4, None)
        assert head.config("b", 4)["backbone"] == "b"
    finally:
        del MODELS.module_dict["Newcomer"]


def test_a_backbone_without_variants_is_named():
    class Newcomer(torch.nn.Module):
        pass

    Newcomer.__module__ = "dense3d.backbones.newcomer"
    MODELS.register_module(module=Newcomer)
    try:
        with pytest.raises(ConfigError, match=r"Newcomer in dense3d.backbones.newcomer .* tiny_variants"):
            tiny_backbones()
    finally:
        del MODELS.module_dict["Newcomer"]


def test_a_backbone_that_does_not_learn_is_noticed(backbones):
    frozen = dict(copy.deepcopy(backbones["VisionTransformer (DeiT)"]), frozen_stages=4)
    with pytest.raises(TrainingError, match="no gradient reaches the backbone"):
        try_pair(frozen, HEADS["UPerNet"])


def test_a_prediction_of_the_wrong_size_is_noticed(backbones, monkeypatch):
    from mmengine.structures import PixelData
    from mmseg.models import EncoderDecoder

    predict = EncoderDecoder.predict

    def cropped(model, images, samples):
        results = predict(model, images, samples)
        for result in results:
            result.pred_sem_seg = PixelData(data=result.pred_sem_seg.data[..., :32])
        return results

    monkeypatch.setattr(EncoderDecoder, "predict", cropped)
    with pytest.raises(TrainingError, match=r"a prediction of \(64, 32\) pixels"):
        try_pair(backbones["ConvNeXt (V1)"], HEADS["UPerNet"])


def test_the_page_is_up_to_date(repository, backbones):
    """What is in the cells comes from ``dense3d compatibility --out docs/compatibility.md``."""
    table = read_table(repository / "docs/compatibility.md")
    assert list(table) == list(backbones)
    assert not [(b, h) for b, row in table.items() for h, cell in row.items() if cell.startswith(FAILS)]
    for name, row in table.items():
        assert row == {h: obstacle(backbones[name], head) or WORKS for h, head in HEADS.items()}, name
