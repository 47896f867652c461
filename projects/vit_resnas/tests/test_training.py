"""Training: targets of patches, the part that is held out, and a run that goes on inside an epoch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.structures import BaseDataElement
from PIL import Image

from dense3d.apis import train
from dense3d.errors import ConfigError, DataError
from projects.vit_resnas.classifiers import PatchMixClassifier, SupernetClassifier
from projects.vit_resnas.held_out import HeldOutFolder
from projects.vit_resnas.patch_mix import PatchMixPreprocessor, PatchTokenMix, rectangle
from projects.vit_resnas.tests.tiny import SPACE

PROJECT = Path(__file__).resolve().parent.parent
ARCH = dict(dims=(8, 12), blocks=(((1, 4, 8),), ((1, 4, 8),)), embed_channels=4)
VIT = dict(type="ViTResNAS", arch=ARCH, pretrain_size=56, pyramid=False)


def labelled(*labels: int) -> list[BaseDataElement]:
    samples = [BaseDataElement() for _ in labels]
    for sample, label in zip(samples, labels):
        sample.set_field(torch.tensor(label), "gt_label")
    return samples


def test_patches_keep_the_labels_of_what_they_show():
    """Images of one value each: the value of every pixel is the expected label of its patch."""
    torch.manual_seed(0)
    labels = torch.arange(8)
    images = labels.float().view(-1, 1, 1, 1).expand(-1, 3, 84, 56).clone()
    for _ in range(20):
        mixed, scores = PatchTokenMix(8, stride=28)(images, labels)
        expected = (scores * labels).sum(dim=2)  # (8, 1 + 6)
        torch.testing.assert_close(scores.sum(dim=2), torch.ones(8, 7))
        shown = mixed[:, 0].unflatten(1, (3, 28)).unflatten(3, (2, 28)).mean(dim=(2, 4)).flatten(1)
        torch.testing.assert_close(shown, expected[:, 1:], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(mixed.mean(dim=(1, 2, 3)), expected[:, 0], rtol=1e-4, atol=1e-4)
    with pytest.raises(DataError, match="patches of 28 pixels do not fill images of 50 x 56"):
        PatchTokenMix(8, stride=28)(images[:, :, :50], labels)
    with pytest.raises(ConfigError, match="stride=0"):
        PatchTokenMix(8, stride=0)
    with pytest.raises(ConfigError, match="strides"):
        PatchMixPreprocessor(batch_augment=dict(num_classes=8, strides=1))


def test_rectangles_reach_every_patch_and_all_areas():
    torch.manual_seed(0)
    drawn = torch.stack([rectangle((4, 4)) for _ in range(600)])
    share = drawn.float().mean(dim=0)
    assert share.min() > 0.2 and share.max() < 0.7
    for one in drawn[:50]:
        rows, columns = one.any(1).sum(), one.any(0).sum()
        assert one.sum() == rows * columns
    assert {0, 1, 4, 12} <= set(drawn.sum(dim=(1, 2)).tolist())


def test_losses_of_classes_and_patches():
    torch.manual_seed(0)
    preprocessor = dict(type="PatchMixPreprocessor", batch_augment=dict(stride=28))
    model = PatchMixClassifier(VIT, 5, data_preprocessor=preprocessor).train()
    images = [torch.randint(0, 255, (3, 56, 56), dtype=torch.uint8) for _ in range(4)]
    data = model.data_preprocessor({"inputs": images, "data_samples": labelled(0, 1, 2, 3)}, True)
    losses = model(**data, mode="loss")
    assert set(losses) == {"loss_class", "loss_patch"}
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in model.parameters())

    model.eval()
    batch = torch.randn(2, 3, 56, 56)
    hard = model(batch, labelled(1, 4), mode="loss")
    tokens = model.normed(batch)
    each = torch.nn.functional.cross_entropy(
        model.patch_head(tokens[:, 1:]).mT, torch.tensor([[1] * 4, [4] * 4])
    )
    torch.testing.assert_close(hard["loss_patch"], each)
    assert "accuracy" in hard and model(batch).shape == (2, 5)
    torch.testing.assert_close(model(batch), model.head(model.backbone.embed(batch)))
    wrong = labelled(0, 1)
    for sample in wrong:
        sample.set_field(torch.full((3, 5), 0.2), "gt_score")
    with pytest.raises(DataError, match="PatchMixPreprocessor"):
        model(batch, wrong, mode="loss")
    with pytest.raises(ConfigError, match="one class token"):
        PatchMixClassifier(dict(VIT, distilled=True), 5)
    with pytest.raises(ConfigError, match="not a SuperViTResNAS"):
        SupernetClassifier(VIT, 5)


@pytest.fixture
def images(tmp_path) -> Path:
    """Six coloured images of each of five classes."""
    for label in range(5):
        (tmp_path / f"data/{label}").mkdir(parents=True)
        for number in range(6):
            Image.new("RGB", (56, 56), (50 * label, 10 * number, 0)).save(
                tmp_path / f"data/{label}/{number}.png"
            )
    return tmp_path / "data"


def test_parts_are_the_whole(images):
    def part(name: str, **settings) -> set[str]:
        data = HeldOutFolder(data_root=str(images), pipeline=[], part=name, **settings)
        counts = set(data.class_counts.values())
        assert counts == {2 if name == "held_out" else 4}
        return {data.get_data_info(i)["img_path"] for i in range(len(data))}

    train, held_out = (part(name, held_out=2) for name in ("train", "held_out"))
    assert not train & held_out and len(train | held_out) == 30
    assert part("held_out", held_out=2) == held_out != part("held_out", held_out=2, seed=1)
    with pytest.raises(ConfigError, match="part='val'"):
        HeldOutFolder(data_root=str(images), pipeline=[], part="val")
    with pytest.raises(DataError, match=r"'0' has 6 images, of which 6 cannot"):
        HeldOutFolder(data_root=str(images), pipeline=[], part="train", held_out=6)


def test_a_run_stopped_inside_an_epoch_goes_on_to_the_same_weights(images, tmp_path):
    options = {
        "model.num_classes": 5,
        "model.backbone.space": dict(_delete_=True, **SPACE),
        "model.backbone.images_per_network": 4,
        "model.backbone.warm_up_epochs": 1,
        "train_dataloader.batch_size": 8,
        "train_cfg.max_epochs": 2,
        "train_cfg.val_interval": 2,
        "default_hooks.checkpoint": dict(by_epoch=False, interval=1, max_keep_ckpts=-1),
    }
    for key in ("train_dataloader", "val_dataloader"):
        options[f"{key}.dataset.data_root"] = str(images)
        options[f"{key}.dataset.classes"] = None
        options[f"{key}.dataset.held_out"] = 2
    config = PROJECT / "vit-resnas-super_synthetic.py"
    train(config, work_dir=tmp_path / "run", options=options)
    whole = torch.load(tmp_path / "run/iter_4.pth", weights_only=False)["state_dict"]
    for later in ("iter_4.pth", "last_checkpoint"):
        (tmp_path / "run" / later).unlink()
    train(config, work_dir=tmp_path / "run", options=options, resume=str(tmp_path / "run/iter_3.pth"))
    again = torch.load(tmp_path / "run/iter_4.pth", weights_only=False)["state_dict"]
    assert int(whole["backbone.epoch"]) == 1
    for name, value in whole.items():
        assert torch.equal(value, again[name]), name
