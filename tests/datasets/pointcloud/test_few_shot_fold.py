"""Few-shot folds: drawn by number, apart, with labels of their own."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

import pytest
import torch
from mmengine.dataset import BaseDataset

from dense3d.datasets.pointcloud.few_shot_fold import FewShotFold
from dense3d.errors import ConfigError, DataError
from dense3d.structures import PointDataSample


class Clouds(BaseDataset):
    """Sixty clouds of six classes, whose only point says which one it is."""

    METAINFO: ClassVar = dict(classes=("a", "b", "c", "d", "e", "f"))

    def load_data_list(self) -> list[dict]:
        return [dict(gt_label=index % 6) for index in range(60)]

    def prepare_data(self, index: int) -> dict:
        sample = PointDataSample(gt_label=torch.tensor(self.get_data_info(index)["gt_label"]))
        return dict(inputs=dict(points=torch.full((1, 3), float(index))), data_samples=sample)


def fold(part: str = "train", **settings) -> FewShotFold:
    return FewShotFold(Clouds(), **{"way": 3, "shot": 2, "queries": 5, **settings}, part=part)


def items(dataset: FewShotFold) -> list[tuple[int, int]]:
    found = [dataset[i] for i in range(len(dataset))]
    return [(int(item["inputs"]["points"][0, 0]), int(item["data_samples"].gt_label)) for item in found]


def test_parts_are_apart_and_agree_on_the_classes():
    train, test = fold(), fold("test")
    assert train.metainfo["classes"] == test.metainfo["classes"] and len(train.metainfo["classes"]) == 3
    assert Counter(label for _, label in items(train)) == {0: 2, 1: 2, 2: 2}
    assert Counter(label for _, label in items(test)) == {0: 5, 1: 5, 2: 5}
    assert not {place for place, _ in items(train)} & {place for place, _ in items(test)}
    for place, label in [*items(train), *items(test)]:
        assert Clouds.METAINFO["classes"][place % 6] == train.metainfo["classes"][label]


def test_a_fold_is_the_same_every_time_and_others_differ():
    assert items(fold(fold=4)) == items(fold(fold=4))
    assert len({tuple(items(fold(fold=number))) for number in range(5)}) == 5


def test_classes_can_be_chosen():
    assert {*fold(classes=("b", "d", "f")).metainfo["classes"]} == {"b", "d", "f"}
    with pytest.raises(ConfigError, match="'z' is none of the data's: a, b"):
        fold(classes=("z",))


def test_too_few_classes_or_clouds_are_one_sentence():
    with pytest.raises(ConfigError, match="7-way few-shot classification needs as many classes, of 6"):
        fold(way=7)
    with pytest.raises(DataError, match="has 10 clouds; 6 shots and 5 queries need more"):
        fold(shot=6)
    with pytest.raises(ConfigError, match="part='val'"):
        fold("val")
