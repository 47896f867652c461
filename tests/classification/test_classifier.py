"""Image classifiers: every kind of backbone, losses, predictions, official weights with their head."""

from __future__ import annotations

import pytest
import timm
import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement

from dense3d.classification import ImageClassifier
from dense3d.engine.checkpoint import load_into
from dense3d.errors import CheckpointError, ConfigError, DataError

SWIN = dict(type="Swin", arch=dict(embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2)))
CONVNEXT = dict(type="ConvNeXt", arch=dict(dims=(8, 16, 24, 32), depths=(1, 1, 1, 1)))
VIT = dict(embed_dim=32, num_heads=2, depth=2)
BACKBONES = {
    "swin": SWIN,
    "convnext": CONVNEXT,
    "focalnet": dict(type="FocalNet", arch=dict(embed_dim=8, depths=(1, 1, 1, 1))),
    "deit": dict(type="VisionTransformer", arch=dict(name="deit_tiny_patch16", **VIT)),
    "distilled": dict(type="VisionTransformer", arch=dict(name="deit_tiny_distilled_patch16", **VIT)),
    "mae": dict(type="VisionTransformer", arch=dict(name="mae_base_patch16", **VIT), final_norm=False),
    "beit": dict(type="VisionTransformer", arch=dict(name="beit_base_patch16", **VIT)),
    "no class token": dict(type="VisionTransformer", arch=dict(VIT, class_token=False)),
    "timm": dict(type="TimmBackbone", model_name="resnet18", model_kwargs=dict(channels=(16, 24, 32, 48))),
}


@pytest.fixture(params=BACKBONES)
def backbone(request):
    torch.manual_seed(0)
    return BACKBONES[request.param]


def labelled(*labels: int) -> list[BaseDataElement]:
    samples = [BaseDataElement() for _ in labels]
    for sample, label in zip(samples, labels):
        sample.set_field(torch.tensor(label), "gt_label")
    return samples


@pytest.mark.parametrize("head", ["official", "linear"])
def test_every_backbone_classifies_and_every_parameter_learns(backbone, head):
    model = ImageClassifier(backbone, 5, head=head).train()
    losses = model(torch.randn(2, 3, 65, 97), labelled(0, 4), mode="loss")
    losses["loss"].backward()
    norms = [f"backbone.norm{i}" for i in range(3)]  # of maps that a linear head does not look at
    missing = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert [n for n in missing if head == "official" or not n.startswith(tuple(norms))] == []
    assert model.head.state_dict() and model(torch.randn(1, 3, 64, 64)).shape == (1, 5)


def test_a_batch_is_its_images_one_by_one_and_half_precision_is_close(backbone):
    model, images = ImageClassifier(backbone, 5).eval(), torch.randn(3, 3, 64, 64)
    with torch.no_grad():
        together = model(images)
        alone = torch.cat([model(image[None]) for image in images])
        with torch.autocast("cpu", torch.bfloat16):
            half = model(images).float()
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert half.isfinite().all() and (half - together).abs().max() < 0.1 * (1 + together.abs().max())


def test_predictions_are_probabilities_and_stand_in_the_samples():
    model, samples = ImageClassifier(SWIN, 3).eval(), labelled(0, 2)
    with torch.no_grad():
        found = model(torch.randn(2, 3, 64, 64), samples, mode="predict")
    assert found is samples
    for sample in samples:
        assert sample.pred_scores.sum().item() == pytest.approx(1, abs=1e-5)
        assert sample.pred_label == sample.pred_scores.argmax()


def test_soft_labels_and_smoothing_are_one_cross_entropy():
    model = ImageClassifier(SWIN, 4, label_smoothing=0.2)
    logits, labels = torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 0, 1])
    hard = model.loss(logits, labels)
    soft = model.loss(logits, F.one_hot(labels, 4).float())
    torch.testing.assert_close(hard["loss"], soft["loss"])
    assert "accuracy" in hard and "accuracy" not in soft
    target = F.one_hot(labels, 4) * 0.8 + 0.2 / 4
    torch.testing.assert_close(hard["loss"], -(target * logits.log_softmax(1)).sum(1).mean())


@pytest.mark.parametrize(
    ("ours", "theirs", "options"),
    [
        (
            dict(type="ConvNeXt", arch=dict(dims=(8, 16, 24, 32), depths=(1, 1, 1, 1))),
            "convnext_atto",
            dict(dims=(8, 16, 24, 32), depths=(1, 1, 1, 1), conv_mlp=False, ls_init_value=1.0),
        ),
        (
            dict(SWIN, arch=dict(embed_dim=16, depths=(1, 1, 1, 1), num_heads=(1, 2, 2, 4))),
            "swin_tiny_patch4_window7_224",
            dict(embed_dim=16, depths=(1, 1, 1, 1), num_heads=(1, 2, 2, 4)),
        ),
        (BACKBONES["deit"], "deit_tiny_patch16_224", dict(embed_dim=32, num_heads=2, depth=2)),
        (
            BACKBONES["distilled"],
            "deit_tiny_distilled_patch16_224",
            dict(embed_dim=32, num_heads=2, depth=2),
        ),
        (BACKBONES["timm"], "resnet18", dict(channels=(16, 24, 32, 48))),
        (
            dict(type="TimmBackbone", model_name="mobilenetv3_small_050"),
            "mobilenetv3_small_050",
            {},
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_of_timm_gives_timms_logits(ours, theirs, options):
    torch.manual_seed(0)
    peer = timm.create_model(theirs, num_classes=7, **options).eval()
    for parameter in peer.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    model = ImageClassifier(ours, 7).eval()
    checkpoint = model.adapt_checkpoint({"state_dict": peer.state_dict()}, "file.pth")
    load_into(model, checkpoint["state_dict"])
    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(model(images), peer(images), rtol=1e-3, atol=1e-4)


def test_an_official_file_of_other_classes_names_the_remedy(tmp_path):
    peer = timm.create_model("convnext_atto", num_classes=7, dims=(8, 16, 24, 32), depths=(1, 1, 1, 1))
    state = {"state_dict": peer.state_dict()}
    with pytest.raises(CheckpointError, match=r"7 classes apart, but the model 5.*init_cfg"):
        ImageClassifier(CONVNEXT, 5).adapt_checkpoint(state, "file.pth")
    bare = {"state_dict": {n: v for n, v in peer.state_dict().items() if not n.startswith("head.fc")}}
    with pytest.raises(CheckpointError, match="without the classifier"):
        ImageClassifier(CONVNEXT, 7).adapt_checkpoint(bare, "file.pth")


@pytest.mark.parametrize("classes", [7, 3])
def test_fine_tuning_starts_from_what_fits(tmp_path, classes):
    peer = timm.create_model(
        "swin_tiny_patch4_window7_224",
        num_classes=7,
        embed_dim=8,
        depths=(1, 1, 1, 1),
        num_heads=(1, 1, 2, 2),
    )
    torch.nn.init.normal_(peer.norm.weight)
    torch.save({"model": peer.state_dict()}, tmp_path / "official.pth")
    start = dict(type="Pretrained", checkpoint=str(tmp_path / "official.pth"))
    model = ImageClassifier(dict(SWIN, init_cfg=start), classes)
    model.init_weights()
    torch.testing.assert_close(model.head.norm.weight, peer.norm.weight)
    assert torch.equal(model.head.head.weight, peer.head.fc.weight) == (classes == 7)
    torch.save({"state_dict": model.state_dict()}, tmp_path / "ours.pth")  # and from one of ours
    start["checkpoint"] = str(tmp_path / "ours.pth")
    again = ImageClassifier(dict(SWIN, init_cfg=start), 4)
    again.init_weights()
    torch.testing.assert_close(again.head.norm.weight, peer.norm.weight)
    torch.testing.assert_close(
        again.backbone.patch_embed.proj.weight, peer.state_dict()["patch_embed.proj.weight"]
    )


def test_what_cannot_be_classified_is_refused():
    with pytest.raises(ConfigError, match="2 classes or more"):
        ImageClassifier(SWIN, 1)
    with pytest.raises(ConfigError, match="official and linear"):
        ImageClassifier(SWIN, 2, head="mlp")
    with pytest.raises(ConfigError, match="label_smoothing"):
        ImageClassifier(SWIN, 2, label_smoothing=1.0)
    with pytest.raises(ConfigError, match="out_channels"):
        ImageClassifier(dict(type="mmdet.ResNet", depth=18), 2)
    model = ImageClassifier(SWIN, 2)
    with pytest.raises(DataError, match="without gt_label"):
        model(torch.zeros(1, 3, 64, 64), [BaseDataElement()], mode="loss")
    with pytest.raises(DataError, match="label 2 and the model 2 classes"):
        model(torch.zeros(1, 3, 64, 64), labelled(2), mode="loss")
