"""Batches of clouds: stacked where they are of one size, else one after the other with their lengths."""

import pytest
import torch
from mmengine.dataset import pseudo_collate

from dense3d.errors import ConfigError, DataError
from dense3d.registry import MODELS
from dense3d.structures import PointDataSample


def _item(count, channels=None, name="a"):
    features = None if channels is None else torch.rand(count, channels)
    sample = PointDataSample(metainfo={"sample_id": name}, gt_label=torch.tensor(3))
    return dict(inputs=dict(points=torch.rand(count, 3), features=features), data_samples=sample)


def _preprocessor(**settings):
    return MODELS.build(dict(type="PointDataPreprocessor", **settings))


@pytest.mark.parametrize("channels", [None, 6])
def test_equal_clouds_are_stacked_and_others_concatenated(channels):
    for counts, shape in (((8, 8), (2, 8)), ((8, 5), (13,))):
        items = [_item(count, channels) for count in counts]
        batch = _preprocessor()(pseudo_collate(items))["inputs"]
        assert batch["points"].shape == (*shape, 3)
        whole = torch.cat([item["inputs"]["points"] for item in items])
        assert torch.equal(batch["points"].reshape(-1, 3), whole)
        if channels:
            whole = torch.cat([item["inputs"]["features"] for item in items])
            assert torch.equal(batch["features"].reshape(-1, channels), whole)
        else:
            assert batch["features"] is None
        assert (batch["lengths"] is None) if counts[0] == counts[1] else batch["lengths"].tolist() == [8, 5]


def test_concatenation_can_be_asked_for():
    batch = _preprocessor(layout="concatenate")(pseudo_collate([_item(4), _item(4)]))["inputs"]
    assert batch["points"].shape == (8, 3) and batch["lengths"].tolist() == [4, 4]


def test_a_batch_of_one_tensor_passes():
    points = torch.rand(2, 5, 3)
    batch = _preprocessor()({"inputs": {"points": points}})
    assert torch.equal(batch["inputs"]["points"], points) and batch["data_samples"] is None


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([_item(4), _item(0, name="void")], "void has no point"),
        ([_item(4, 2), _item(4)], "only some have features"),
        ([_item(4, 2), _item(4, 3)], r"\[2, 3\] channels"),
    ],
)
def test_bad_clouds_are_named(items, message):
    with pytest.raises(DataError, match=message):
        _preprocessor()(pseudo_collate(items))


def test_sizes_and_settings_are_checked():
    with pytest.raises(DataError, match="a has 4 points and b 5"):
        _preprocessor(layout="stack")(pseudo_collate([_item(4), _item(5, name="b")]))
    with pytest.raises(ConfigError, match="layout must be"):
        _preprocessor(layout="pad")
    with pytest.raises(DataError, match=r"points \(N, 3\)"):
        _preprocessor()({"inputs": {"points": [torch.rand(4, 4)]}})
