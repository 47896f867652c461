"""A model from a config in one call: what it has, whose weights, and what is told when it cannot be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

import dense3d
from dense3d.apis.building import usable_device
from dense3d.config import load_config
from dense3d.errors import CheckpointError, ConfigError
from dense3d.registry import MODELS

NAME = "dino_r18_synthetic-coco"


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    torch.manual_seed(0)
    return dense3d.build_model(NAME)


@pytest.fixture(scope="module")
def checkpoint(model, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "model.pth"
    torch.save(dict(state_dict=model.state_dict(), meta=dict(dataset_meta=dict(classes=("a",)))), path)
    return path


def test_channels_scope_and_preprocessor_are_there(model):
    cfg = load_config(NAME)
    with DefaultScope.overwrite_default_scope(cfg.default_scope), pytest.raises(AssertionError):
        MODELS.build(cfg.model)  # in_channels="backbone" is no number
    assert [conv.conv.in_channels for conv in model.neck.convs] == list(model.backbone.out_channels)
    assert model.data_preprocessor.mean.flatten().tolist() == pytest.approx(cfg.model.data_preprocessor.mean)
    assert model.training
    assert model.level_embed.abs().max() < 10  # mmdet leaves it in uninitialised memory until initialisation


def test_every_way_to_name_a_config_gives_the_same_model(model, repository):
    path = repository / f"configs/synthetic/{NAME}.py"
    cfg = load_config(path)
    before = cfg.pretty_text if hasattr(cfg, "pretty_text") else str(cfg)
    for config in (path, f"dense3d::synthetic/{NAME}.py", cfg, cfg.model, cfg.model.to_dict()):
        torch.manual_seed(0)
        other = dense3d.build_model(config)
        assert all(torch.equal(v, other.state_dict()[name]) for name, v in model.state_dict().items())
    assert (cfg.pretty_text if hasattr(cfg, "pretty_text") else str(cfg)) == before


def test_names_inside_another_librarys_model_are_its_own():
    head = dict(type="FCNHead", in_channels="backbone", in_index=0, channels=8, num_convs=1, num_classes=2)
    backbone = dict(type="dense3d.TimmBackbone", model_name="resnet18", out_strides=(8,))
    settings = dict(type="mmseg.EncoderDecoder", backbone=backbone, decode_head=head)
    assert dense3d.build_model(settings).decode_head.in_channels == 128


def test_a_preprocessor_beside_the_model_goes_into_it():
    cfg = load_config(NAME)
    cfg.data_preprocessor = dict(cfg.model.pop("data_preprocessor"), mean=[1.0, 2.0, 3.0], _scope_="mmdet")
    assert dense3d.build_model(cfg).data_preprocessor.mean.flatten().tolist() == [1.0, 2.0, 3.0]


def test_weights_come_from_the_checkpoint(model, checkpoint):
    loaded = dense3d.build_model(NAME, checkpoint, device="cpu")
    assert all(torch.equal(v, loaded.state_dict()[name]) for name, v in model.state_dict().items())
    assert not loaded.training
    assert loaded.dataset_meta == {"classes": ("a",)}


def test_what_a_checkpoint_replaces_is_not_fetched(checkpoint, monkeypatch):
    import timm

    create = timm.create_model

    def offline(*args, pretrained=False, **kwargs):
        if pretrained:
            raise ConnectionError("no route to host")
        return create(*args, pretrained=pretrained, **kwargs)

    monkeypatch.setattr(timm, "create_model", offline)
    cfg = load_config(NAME, {"model.backbone.pretrained": True})
    dense3d.build_model(cfg, checkpoint)
    with pytest.raises(CheckpointError, match="could not be downloaded"):
        dense3d.build_model(cfg)


def test_the_checkpoint_is_looked_for_before_anything_is_built(monkeypatch, tmp_path):
    monkeypatch.setattr(MODELS, "build", lambda *args: pytest.fail("built"))
    with pytest.raises(CheckpointError, match=r"absent\.pth does not exist"):
        dense3d.build_model(NAME, tmp_path / "absent.pth")


def test_checkpoints_that_do_not_fit_or_may_run_code_are_refused(tmp_path):
    torch.save({"state_dict": {"x": torch.zeros(1)}}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"other\.pth belongs to another model than DINO"):
        dense3d.build_model(NAME, tmp_path / "other.pth")
    torch.save({"state_dict": {"x": pytest.fail}}, tmp_path / "code.pth")
    with pytest.raises(CheckpointError, match=r"code\.pth was refused"):
        dense3d.build_model(NAME, tmp_path / "code.pth")


def test_configs_that_describe_no_model():
    with pytest.raises(ConfigError, match="describes no model"):
        dense3d.build_model(Config(dict(default_scope="dense3d")))
    cfg = load_config(NAME)
    cfg.model.num_querys = 3
    with pytest.raises(ConfigError, match=r"num_querys.*num_queries"):
        dense3d.build_model(cfg)


def test_devices():
    assert usable_device(None).type == ("cuda" if torch.cuda.is_available() else "cpu")
    for name in ("foo", "cuda:99"):
        with pytest.raises(ConfigError, match=f"the device {name} cannot be used .*; there are cpu"):
            usable_device(name)


def test_nothing_is_initialised_on_the_meta_device():
    with torch.device("meta"):
        backbone = dense3d.build_model(NAME).backbone
    assert all(parameter.is_meta for parameter in backbone.parameters())


def test_the_package_alone_is_light():
    code = "import sys, dense3d; print(dir(dense3d), sorted({'torch', 'mmengine', 'cv2'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "'build_model'" in done.stdout
    assert "'load'" in done.stdout
    assert done.stdout.rstrip().endswith("[]")


def test_a_config_without_randomness_and_environment_is_trained_as_one_with_them(monkeypatch, tmp_path):
    from dense3d.apis import training

    built = []

    def from_cfg(cfg):
        built.append(cfg)
        raise ConfigError("enough")

    monkeypatch.setattr(training.Runner, "from_cfg", from_cfg)
    monkeypatch.setattr(training, "scan_before_training", lambda cfg: [])
    cfg = load_config(NAME)
    for key in ("randomness", "env_cfg", "synthetic_data"):
        cfg._cfg_dict.pop(key, None)
    with pytest.raises(ConfigError, match="enough"):
        training.train(cfg, tmp_path, seed=3)
    assert built[0].randomness == dict(seed=3)
    if not torch.cuda.is_available():
        assert built[0].env_cfg.dist_cfg.backend == "gloo"
