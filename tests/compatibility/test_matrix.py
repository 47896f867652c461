"""Backbones and adapters under heads: one training step, one prediction.

The default run has every variant under DINO or UPerNet, one variant of each class under each that it fits,
and every head on some classes; the slow run has all other pairs.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable

import pytest
import torch
from mmengine.model import BaseModel

from dense3d.errors import ConfigError, TrainingError
from dense3d.registry import MODELS
from tests.compatibility import heads, obstacle, tiny_backbones, try_pair
from tests.compatibility.pairing import strides_of
from tests.compatibility.table import FAILS, WORKS, read_table

HEADS = heads()
ANY_BACKBONE = ("DINO", "UPerNet")  # heads that the default run puts on every class
CLASSES_OF_A_HEAD = 5  # that the default run puts under each other head, at least


@pytest.fixture(scope="module")
def backbones() -> dict[str, dict]:
    return tiny_backbones()


def first_variants(backbones: dict[str, dict]) -> set[str]:
    """One variant of each class."""
    return set({config["type"]: name for name, config in reversed(backbones.items())}.values())


def fitting(backbones: dict[str, dict], names: Iterable[str], head: str) -> list[str]:
    """Those that can stand under a head, backbones with the same strides beside each other."""
    fits = [name for name in names if obstacle(backbones[name], HEADS[head]) is None]
    return sorted(fits, key=lambda name: (strides_of(backbones[name]), name))


def usual(backbones: dict[str, dict], head: str) -> set[str]:
    """What the default run puts under a head."""
    first = first_variants(backbones)
    if head in ANY_BACKBONE:
        others = sorted(set(backbones) - first)
        turn = ANY_BACKBONE.index(head)
        both = [set(fitting(backbones, others, name)) for name in ANY_BACKBONE]
        alone = both[turn] - both[1 - turn]
        return {*fitting(backbones, first, head), *alone, *sorted(both[0] & both[1])[turn::2]}
    fits = fitting(backbones, first, head)
    apart = max(1, len(fits) // CLASSES_OF_A_HEAD)
    return set(fits[list(HEADS).index(head) % apart :: apart])


def check(backbones: dict[str, dict], names: set[str], head: str) -> None:
    failures = {}
    for name in sorted(names):
        try:
            try_pair(backbones[name], HEADS[head])
        except Exception as error:
            failures[name] = error
        print(f"{name:32} {head:28} {failures.get(name) or WORKS}")
    assert not failures, failures


@pytest.mark.parametrize("head", HEADS)
def test_backbones_train_and_predict(backbones, head):
    check(backbones, usual(backbones, head), head)


@pytest.mark.slow
@pytest.mark.parametrize("head", HEADS)
def test_other_pairs_train_and_predict(backbones, head):
    check(backbones, set(fitting(backbones, backbones, head)) - usual(backbones, head), head)


def test_the_default_run_has_every_backbone_and_every_head(backbones):
    heads_of: dict[str, set[str]] = {name: set() for name in backbones}
    for head in HEADS:
        names = usual(backbones, head)
        assert len(names) >= min(CLASSES_OF_A_HEAD, len(fitting(backbones, first_variants(backbones), head)))
        for name in names:
            heads_of[name].add(head)
    assert all(heads_of.values()), [name for name, found in heads_of.items() if not found]
    assert all(len(heads_of[name]) > 1 for name in first_variants(backbones))


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
