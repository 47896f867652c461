"""Bad input of every registered backbone and adapter: odd sizes work, all else gets one clear sentence."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from dense3d.backbones.plain import PlainBackbone
from dense3d.engine.checkpoint import save_checkpoint
from dense3d.errors import CheckpointError, ConfigError, DataError
from dense3d.registry import MODELS
from tests.compatibility import tiny_backbones

BACKBONES = tiny_backbones()
ADAPTERS = [name for name, config in BACKBONES.items() if "vit" in config]


@pytest.fixture(params=BACKBONES)
def config(request) -> dict:
    torch.manual_seed(0)
    return copy.deepcopy(BACKBONES[request.param])


def wider(config: dict) -> dict:
    """The same network of another size."""
    config = copy.deepcopy(config)
    if "model_name" in config:
        return dict(config, model_name="resnet10t", model_kwargs={})
    arch = config.get("vit", config)["arch"]
    for key in ("embed_dim", "embed_dims", "base_dim", "dims", "outer_dims"):
        if key in arch:
            value = arch[key]
            arch[key] = 2 * value if isinstance(value, int) else tuple(2 * v for v in value)
    return config


@pytest.mark.parametrize(("height", "width", "training"), [(37, 53, True), (65, 33, False)])
def test_sizes_that_nothing_divides(config, height, width, training):
    backbone = MODELS.build(config).train(training)
    maps = backbone(torch.randn(2, 3, height, width))
    assert [tuple(m.shape) for m in maps] == [
        (2, c, math.ceil(height / s), math.ceil(width / s))
        for c, s in zip(backbone.out_channels, backbone.out_strides)
    ]
    assert all(m.isfinite().all() for m in maps)
    sum(m.sum() for m in maps).backward()


def test_an_image_smaller_than_a_patch(config):
    """Plain transformers refuse it, hierarchical networks pad it."""
    backbone = MODELS.build(config).eval()
    plain = hasattr(backbone, "vit") or isinstance(backbone, PlainBackbone)
    image = torch.randn(1, 3, 3, 40)
    if plain:
        with pytest.raises(
            DataError, match=r"3 x 40 pixels is smaller than one patch of 1[46] x 1[46]; resize it"
        ):
            backbone(image)
    else:
        assert all(m.isfinite().all() and m.numel() for m in backbone(image))


def test_other_channels_and_axes_and_images_without_pixels_are_refused(config):
    backbone = MODELS.build(config)
    for shape in ((1, 4, 64, 64), (1, 1, 64, 64), (3, 64, 64)):
        with pytest.raises(DataError, match=r"\(B, 3, H, W\)|do not fit") as caught:
            backbone(torch.zeros(shape))
        assert str(shape) in str(caught.value)
    with pytest.raises(DataError, match="0"):
        backbone(torch.zeros(1, 3, 0, 64))


@pytest.mark.parametrize("indices", [(0, 9), (-9,)])
@pytest.mark.parametrize(
    "name", [name for name in BACKBONES if name not in ADAPTERS]
)  # adapters always give four maps
def test_maps_out_of_range_are_named(name, indices):
    config = copy.deepcopy(BACKBONES[name])
    config.pop("out_strides", None)
    with pytest.raises(ConfigError, match=rf"{indices[-1]}.*0\.\.[0-4]"):
        MODELS.build(dict(config, out_indices=indices))


def test_a_checkpoint_of_another_size_is_refused_with_names_and_shapes(config, tmp_path):
    path = tmp_path / "small.pth"
    source = MODELS.build(config)
    part = source.body if "model_name" in config else getattr(source, "vit", source)
    save_checkpoint({"state_dict": part.state_dict()}, path)
    other = wider(config)
    pretrained = dict(type="Pretrained", checkpoint=str(path))
    other.get("vit", other)["init_cfg"] = pretrained
    with pytest.raises(CheckpointError, match=r"small\.pth") as caught:
        MODELS.build(other).init_weights()
    assert "in the checkpoint" in str(caught.value) and "in the model" in str(caught.value)


@pytest.mark.parametrize("name", ADAPTERS)
def test_a_whole_adapter_is_loaded_or_refused(name, tmp_path):
    config = copy.deepcopy(BACKBONES[name])
    path, source = tmp_path / "whole.pth", MODELS.build(config)
    weights = {f"backbone.{name}": value for name, value in source.state_dict().items()}
    save_checkpoint({"state_dict": weights | {"head.weight": torch.zeros(1)}}, path)
    pretrained = dict(type="Pretrained", checkpoint=str(path))
    torch.manual_seed(1)
    copied = MODELS.build(dict(config, init_cfg=pretrained))
    copied.init_weights()
    assert all(torch.equal(value, copied.state_dict()[name]) for name, value in source.state_dict().items())
    with pytest.raises(CheckpointError, match=r"whole\.pth"):
        MODELS.build(dict(wider(config), init_cfg=pretrained)).init_weights()


@pytest.mark.parametrize("kind", ["ViTCoMer", "SimplePyramid", "RescaledPyramid"])
def test_an_adapter_builds_its_transformer_within_any_library(kind):
    """mmdet and mmseg have a network of the same name, or none."""
    from mmengine.registry import DefaultScope

    config = next(c for c in BACKBONES.values() if c["type"] == f"dense3d.{kind}")
    for scope in ("mmdet", "mmseg"):
        with DefaultScope.overwrite_default_scope(scope):
            backbone = MODELS.build(copy.deepcopy(config))
        assert type(backbone.vit).__module__ == "dense3d.backbones.vit"
