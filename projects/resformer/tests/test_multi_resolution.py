"""Multi-resolution training: its losses by hand, where gradients stop, what a batch is, and resuming."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement
from PIL import Image

from dense3d import build_model
from dense3d.apis import train
from dense3d.classification import ImageClassifier
from dense3d.config import load_config
from dense3d.errors import ConfigError, DataError
from projects.resformer.multi_resolution import MultiResolutionClassifier, scale_consistency

PROJECT = Path(__file__).parent.parent
VIT = dict(type="ResFormer", arch=dict(embed_dim=16, depth=2, num_heads=2, patch_size=8))
SIDES = (32, 24, 16)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def labelled(*labels: int) -> list[BaseDataElement]:
    return [BaseDataElement(gt_label=torch.tensor(label)) for label in labels]


def classifier(**options) -> MultiResolutionClassifier:
    return MultiResolutionClassifier(VIT, **{"num_classes": 4, "resolutions": SIDES, **options})


def test_consistency_is_its_closed_form_and_the_target_no_variable():
    """The target of (6, 2, 4, 4) is (sqrt 2, -sqrt 2, 0, 0); errors up to 1 count half their square."""
    larger = torch.tensor([[6.0, 2.0, 4.0, 4.0]], requires_grad=True)
    root = 2**0.5
    feature = torch.tensor([[root + 0.5, -root - 3.0, 0.0, 1.0]], requires_grad=True)
    loss = scale_consistency(feature, larger)
    assert loss.item() == pytest.approx((0.125 + 2.5 + 0.0 + 0.5) / 4, abs=1e-5)
    loss.backward()
    assert larger.grad is None
    torch.testing.assert_close(feature.grad, torch.tensor([[0.5, -1.0, 0.0, 1.0]]) / 4, rtol=1e-4, atol=1e-5)


def test_losses_are_the_mean_over_resolutions_and_smaller_ones_learn_from_the_next_larger():
    model, images = classifier(label_smoothing=0.1, consistency_weight=0.7), torch.randn(2, 3, 32, 32)
    tokens = {side: torch.randn(2, 1 + (side // 8) ** 2, 16, requires_grad=True) for side in SIDES}
    model.features = lambda view: tokens[view.shape[-1]]
    losses = model(images, labelled(0, 3), mode="loss")
    feature = {side: model.head.norm(tokens[side][:, 0]) for side in SIDES}
    for side in SIDES:
        logits = model.head.head(feature[side])
        expected = F.cross_entropy(logits, torch.tensor([0, 3]), label_smoothing=0.1) / 3
        torch.testing.assert_close(losses[f"loss_{side}"], expected)
    for side, larger in ((24, 32), (16, 24)):
        target = F.layer_norm(feature[larger], (16,), eps=1e-6)
        expected = 0.7 * F.smooth_l1_loss(feature[side], target) / 3
        torch.testing.assert_close(losses[f"loss_consistency_{side}"], expected)
    assert "loss_consistency_32" not in losses and 0 <= losses["accuracy_16"] <= 100
    losses["loss_consistency_24"].backward()
    assert [tokens[side].grad is not None for side in SIDES] == [False, True, False]


def test_a_batch_comes_at_every_resolution():
    model, images = classifier(), torch.rand(2, 3, 32, 32)
    views = model.resized(images)
    assert [tuple(view.shape[2:]) for view in views] == [(32, 32), (24, 24), (16, 16)]
    assert views[0] is images
    flat = model.resized(torch.full((1, 3, 32, 32), 0.3))
    assert all((view - 0.3).abs().max() < 1e-5 for view in flat)
    samples = labelled(0, 1)
    as_views = model(views, [samples] * 3, mode="loss")
    for name, value in model(images, samples, mode="loss").items():
        torch.testing.assert_close(as_views[name], value)


def test_one_resolution_and_predictions_are_those_of_the_plain_classifier():
    model, plain = classifier(resolutions=(32,)), ImageClassifier(VIT, 4)
    plain.load_state_dict(model.state_dict())
    images, samples = torch.randn(2, 3, 32, 32), labelled(1, 2)
    ours, theirs = (one(images, samples, mode="loss") for one in (model, plain))
    torch.testing.assert_close(ours["loss_32"], theirs["loss"])
    other = torch.randn(1, 3, 40, 24)
    with torch.no_grad():
        torch.testing.assert_close(model(other), plain(other))


def test_heads_of_two_tokens_and_of_maps_have_features():
    images, samples = torch.randn(2, 3, 32, 32), labelled(1, 2)
    distilled = dict(name="deit_tiny_distilled_patch16", embed_dim=16, depth=1, num_heads=2, patch_size=8)
    swin = dict(type="Swin", arch=dict(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2)))
    for backbone, head in ((dict(type="VisionTransformer", arch=distilled), "official"), (swin, "linear")):
        losses = MultiResolutionClassifier(backbone, 4, SIDES, head=head)(images, samples, mode="loss")
        sum(value for name, value in losses.items() if "loss" in name).backward()
        assert all(value.isfinite() for value in losses.values())
    with pytest.raises(ConfigError, match=r"the head of Swin, NormedMapHead, .* set head='linear'"):
        MultiResolutionClassifier(swin, 4, SIDES)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(resolutions=()), "give sides in pixels"),
        (dict(resolutions=(32, 24.5)), "give sides in pixels"),
        (dict(resolutions=(24, 32)), "fall from large to small"),
        (dict(resolutions=(32, 32)), "fall from large to small"),
        (dict(resolutions=(32, 4)), "4 pixels hold no patch of 8"),
        (dict(consistency_weight=-1), "consistency_weight=-1: give 0 or more"),
    ],
)
def test_bad_settings_are_explained(options, message):
    with pytest.raises(ConfigError, match=message):
        classifier(**options)


def test_bad_images_are_explained():
    model = classifier()
    with pytest.raises(DataError, match=r"32 x 40 pixels, where the resolution 32 .* squares"):
        model(torch.zeros(2, 3, 32, 40), labelled(0, 1), mode="loss")
    with pytest.raises(DataError, match=r"24 x 24 pixels, where the resolution 16"):
        model([torch.zeros(2, 3, side, side) for side in (32, 24, 24)], [labelled(0, 1)] * 3, mode="loss")
    with pytest.raises(DataError, match="without gt_label"):
        model(torch.zeros(1, 3, 32, 32), mode="loss")
    with pytest.raises(DataError, match=r"takes \(B, 3, H, W\)"):
        model(torch.zeros(1, 4, 32, 32), labelled(0), mode="loss")


@pytest.mark.parametrize("config", sorted(PROJECT.glob("*-mr_*.py")), ids=lambda path: path.stem)
def test_configs_build(config):
    cfg = load_config(config)
    with torch.device("meta"):
        model = build_model(cfg)
    assert type(model).__name__ == "MultiResolutionClassifier" and len(model.resolutions) == 3


def test_a_resumed_run_is_the_run_itself(tmp_path):
    """With views augmented apart and mixed: a step from the checkpoint is the step that followed it."""
    generator = np.random.default_rng(0)
    for split in ("train", "val"):
        for name in ("cone", "cube"):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for number in range(4):
                pixels = generator.integers(0, 256, (40, 48, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    flips = [dict(type="RandomFlip", prob=0.5)]
    pipeline = [
        dict(type="LoadImageFromFile"),
        dict(type="dense3d.ResolutionViews", resolutions=SIDES, transforms=flips),
    ]
    data = dict(data_root=str(tmp_path / "train"), classes=("cone", "cube"), pipeline=pipeline)
    arch = dict(embed_dim=16, depth=2, num_heads=4, patch_size=8, local_layers=1)
    options = {
        "model.resolutions": SIDES,
        "model.num_classes": 2,
        "model.backbone.vit.arch": arch,
        "model.data_preprocessor.type": "dense3d.ViewsPreprocessor",
        "model.data_preprocessor.batch_augment": dict(mixup_alpha=0.8, cutmix_alpha=1.0),
        "train_dataloader.batch_size": 2,
        **{f"train_dataloader.dataset.{key}": value for key, value in data.items()},
        "val_dataloader.dataset.data_root": str(tmp_path / "val"),
        "val_dataloader.dataset.classes": ("cone", "cube"),
        "max_iters": 2,
        "train_cfg.max_iters": 2,
        "train_cfg.val_interval": 2,
        "default_hooks.checkpoint.interval": 1,
        "synthetic_data": None,
    }
    config = PROJECT / "convit-tiny-mr_synthetic.py"
    whole = train(config, tmp_path / "whole", options=options)
    resumed = train(config, tmp_path / "resumed", resume=tmp_path / "whole" / "iter_1.pth", options=options)
    weights = [torch.load(run.checkpoint, weights_only=False)["state_dict"] for run in (whole, resumed)]
    assert whole.checkpoint.name == resumed.checkpoint.name == "iter_2.pth"
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name]), name
    assert "image/top1" in whole.metrics
