"""Segmentation: windows, augmented testing and the official rules of evaluation, beside their definitions."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import mmcv
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from torch import nn

from dense3d.apis import build_model, infer, load
from dense3d.apis import test as evaluate
from dense3d.config import load_config
from dense3d.registry import MODELS

CONFIG = """
_base_ = {base!r}
model = dict(
    type="mmseg.EncoderDecoder",
    data_preprocessor=dict(type="SegDataPreProcessor", mean=[120.0] * 3, std=[60.0] * 3, bgr_to_rgb=True),
    backbone=dict(
        type="dense3d.VisionTransformer",
        arch=dict(embed_dim=32, depth=1, num_heads=2, patch_size=8, pretrain_size=64),
    ),
    decode_head=dict(
        type="FCNHead", in_channels="backbone", in_index=0, channels=32, num_convs=0, concat_input=False,
        num_classes=4, align_corners=False, loss_decode=dict(type="CrossEntropyLoss"),
    ),
    test_cfg=dict(mode="whole"),
)
pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="mmseg.LoadAnnotations", reduce_zero_label=True),
    dict(type="mmseg.PackSegInputs"),
]
test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="mmseg.BaseSegDataset",
        metainfo=dict(classes=("a", "b", "c", "d"), palette=[(9, 0, 0), (0, 9, 0), (0, 0, 9), (9, 9, 9)]),
        data_root={root!r},
        reduce_zero_label=True,
        data_prefix=dict(img_path="images", seg_map_path="annotations"),
        test_mode=True,
        pipeline=pipeline,
    ),
)
test_evaluator = dict(type="mmseg.IoUMetric", iou_metrics=["mIoU"], prefix="semantic")
test_cfg = dict(type="TestLoop")
"""
SCALED = """
tta_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(
        type="TestTimeAug",
        transforms=[
            [dict(type="mmseg.Resize", scale_factor=r, keep_ratio=True) for r in (0.75, 1.5)],
            [dict(type="mmseg.LoadAnnotations", reduce_zero_label=True)],
            [dict(type="mmseg.RandomFlip", prob=p) for p in (0.0, 1.0)],
            [dict(type="mmseg.PackSegInputs")],
        ],
    ),
]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory, repository) -> Path:
    """Three noisy images with labels 0..4 and 255, two configs and a random checkpoint."""
    folder = tmp_path_factory.mktemp("segmentation")
    random = np.random.default_rng(0)
    for kind in ("images", "annotations"):
        (folder / kind).mkdir()
    for name in ("first", "second", "third"):
        image = cv2.resize(random.integers(0, 256, (6, 7, 3), dtype=np.uint8), (56, 48))
        cv2.imwrite(str(folder / "images" / f"{name}.jpg"), image)
        labels = random.choice([0, 1, 2, 3, 4, 255], size=(6, 7)).astype(np.uint8)
        labels = cv2.resize(labels, (56, 48), interpolation=cv2.INTER_NEAREST)
        cv2.imwrite(str(folder / "annotations" / f"{name}.png"), labels)
    base = str(repository / "configs/_base_/runtime.py")
    text = CONFIG.format(base=base, root=str(folder))
    (folder / "config.py").write_text(text)
    (folder / "scaled.py").write_text(text + SCALED)
    _save_checkpoint(folder)
    return folder


def _save_checkpoint(folder: Path) -> None:
    torch.manual_seed(1)
    cfg = load_config(folder / "config.py")
    model = build_model(cfg)
    nn.init.normal_(model.decode_head.conv_seg.weight)  # its own start would give four equal logits
    dataset = cfg.test_dataloader.dataset
    meta = dict(dataset.metainfo.to_dict(), reduce_zero_label=True)
    torch.save({"state_dict": model.state_dict(), "meta": {"dataset_meta": meta}}, folder / "model.pth")


def _labels(path: Path) -> np.ndarray:
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def _probabilities(model: nn.Module, image: np.ndarray, size: tuple[int, int]) -> torch.Tensor:
    """Softmax (C, H, W) at ``size`` of a BGR image, straight from the network."""
    rgb = torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1).float()
    with torch.no_grad():
        logits = model((rgb[None] - 120) / 60)
    logits = F.interpolate(logits, image.shape[:2], mode="bilinear", align_corners=False)
    return F.interpolate(logits, size, mode="bilinear", align_corners=False)[0].softmax(0)


def _by_hand(folder: Path, sizes: list[float], mirrored: bool) -> dict[str, np.ndarray]:
    model = build_model(folder / "config.py", folder / "model.pth")
    found = {}
    for path in sorted((folder / "images").iterdir()):
        image = cv2.imread(str(path))
        height, width = image.shape[:2]
        views = []
        for scale in sizes:
            resized = mmcv.imrescale(image, scale) if scale != 1 else image
            views.append(_probabilities(model, resized, (height, width)))
            if mirrored:
                views.append(_probabilities(model, resized[:, ::-1], (height, width)).flip(2))
        found[path.stem] = torch.stack(views).mean(0).argmax(0).numpy()
    return found


def _check(written: Path, expected: dict[str, np.ndarray]) -> None:
    assert {p.stem for p in written.iterdir()} == set(expected)
    for name, labels in expected.items():
        got = _labels(written / f"{name}.png")
        assert len(np.unique(got)) > 1
        assert (got != labels + 1).mean() < 0.002, name  # ties of nearly equal probabilities may differ


def test_miou_leaves_label_zero_and_255_out(folder, tmp_path):
    metrics = evaluate(folder / "config.py", folder / "model.pth", out=tmp_path, work_dir=tmp_path)
    intersection, union = np.zeros(5), np.zeros(5)
    for path in (folder / "annotations").iterdir():
        truth, predicted = _labels(path), _labels(tmp_path / "predictions" / path.name)
        counted = (truth != 0) & (truth != 255)
        for label in range(1, 5):
            is_true, is_predicted = (truth == label) & counted, (predicted == label) & counted
            intersection[label] += (is_true & is_predicted).sum()
            union[label] += (is_true | is_predicted).sum()
    expected = 100 * np.mean(intersection[1:] / union[1:])
    assert 0 < expected < 100
    assert metrics["semantic/mIoU"] == pytest.approx(expected, abs=0.006)
    _check(tmp_path / "predictions", _by_hand(folder, [1.0], mirrored=False))


@pytest.mark.parametrize(("name", "sizes"), [("config", [1.0]), ("scaled", [0.75, 1.5])])
def test_augmented_testing_averages_probabilities(folder, tmp_path, name, sizes):
    config = folder / f"{name}.py"
    evaluate(config, folder / "model.pth", out=tmp_path, tta=True, work_dir=tmp_path)
    expected = _by_hand(folder, sizes, mirrored=True)
    _check(tmp_path / "predictions", expected)
    infer(config, folder / "model.pth", [folder / "images"], tmp_path / "inferred", tta=True)
    _check(tmp_path / "inferred/labels", expected)


def test_predictor_gives_the_labels_that_infer_writes(folder, tmp_path):
    config, checkpoint = folder / "config.py", folder / "model.pth"
    report = infer(config, checkpoint, [folder / "images"], tmp_path)
    assert report.results == tmp_path / "labels"
    results = load(config, checkpoint, device="cpu")(folder / "images")
    assert len(results) == len(list((tmp_path / "labels").iterdir()))
    for result in results:
        written = cv2.imread(str(tmp_path / f"labels/{result.path.stem}.png"), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(written, result.semantic + 1)  # ADE20K counts its classes from 1


def test_pictures_show_image_truth_and_prediction(folder, tmp_path):
    evaluate(folder / "config.py", folder / "model.pth", show_dir=tmp_path / "show", work_dir=tmp_path)
    report = infer(folder / "config.py", folder / "model.pth", [folder / "images"], tmp_path / "inferred")
    assert {p.name for p in (tmp_path / "show").iterdir()} == {p.name for p in report.pictures}
    assert cv2.imread(str(tmp_path / "show/first.jpg")).shape[1] == 3 * 640 + 8
    assert cv2.imread(str(report.pictures[0])).shape[1] == 2 * 640 + 4


@pytest.mark.parametrize("tta", [False, True])
def test_an_image_that_the_network_refuses_is_named_and_left_out(folder, tmp_path, tta):
    for name, size in (("fine", 48), ("tiny", 4)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((size, size, 3), np.uint8))
    report = infer(folder / "config.py", folder / "model.pth", [tmp_path], tmp_path / "out", 0.3, 2, tta=tta)
    assert report.pictures == [tmp_path / "out/pictures/fine.jpg"]
    ((path, reason),) = report.left_out.items()
    assert path == str(tmp_path / "tiny.png")
    message = r"an image of 4 x 4 pixels is smaller than one patch .* \(in the batch of \S*/tiny\.png\)$"
    assert re.search(message, reason)


class Pointwise(nn.Module):
    """A backbone whose pixels know nothing of one another."""

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor]:
        return (images,)


def _pointwise_segmentor(**test_cfg) -> nn.Module:
    head = dict(
        type="FCNHead", in_channels=3, in_index=0, channels=3, num_convs=0, concat_input=False, num_classes=4,
        align_corners=False, loss_decode=dict(type="CrossEntropyLoss"),
    )  # fmt: skip
    cfg = dict(type="EncoderDecoder", _scope_="mmseg", backbone=dict(type=Pointwise), decode_head=head)
    model = MODELS.build(dict(cfg, test_cfg=ConfigDict(test_cfg)))
    nn.init.normal_(model.decode_head.conv_seg.weight, generator=torch.Generator().manual_seed(0))
    nn.init.zeros_(model.decode_head.conv_seg.bias)
    return model.eval()


@pytest.mark.parametrize("stride", [(20, 30), (32, 48), (7, 11)])
def test_windows_of_a_pointwise_network_equal_the_whole(stride):
    images = torch.randn(2, 3, 50, 71, generator=torch.Generator().manual_seed(0))
    whole = _pointwise_segmentor(mode="whole")
    windows = _pointwise_segmentor(mode="slide", crop_size=(32, 48), stride=stride)
    with torch.no_grad():
        expected, got = whole.predict(images), windows.predict(images)
    for one, other in zip(expected, got):
        torch.testing.assert_close(other.seg_logits.data, one.seg_logits.data)


def test_windows_cut_off_what_lies_outside_of_them():
    """A network that sums up its input gives each window its own sum, averaged where windows overlap."""
    model = _pointwise_segmentor(mode="slide", crop_size=(1, 4), stride=(1, 2))
    model.encode_decode = lambda crop, _: crop.sum((1, 2, 3), keepdim=True).expand(-1, 4, *crop.shape[2:])
    images = torch.tensor([1.0, 2, 4, 8, 16, 32]).view(1, 1, 1, 6)
    with torch.no_grad():
        logits = model.slide_inference(images, [{}])
    assert logits[0, 0, 0].tolist() == [15, 15, 37.5, 37.5, 60, 60]
