"""Mask2Former as a decode head of mmseg, against mmseg's own head and Mask2Former without things."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from dense3d.apis import build_model
from dense3d.checkpoints import convert
from dense3d.errors import DataError
from dense3d.registry import MODELS
from tests.compatibility.heads import library_model

CLASSES = 4
BACKBONE = dict(
    type="dense3d.ConvNeXt", arch=dict(dims=(8, 16, 16, 16), depths=(1, 1, 1, 1)), drop_path_rate=0.0
)
HEAD = dict(
    num_queries=6, embed_dims=64, encoder_layers=1, encoder_channels=64, decoder_layers=3, decoder_channels=64
)
CONFIG = dict(
    type="mmseg.EncoderDecoder",
    backbone=BACKBONE,
    decode_head=dict(
        type="dense3d.Mask2FormerSemanticHead",
        in_channels="backbone",
        num_classes=CLASSES,
        head=HEAD,
        criterion=dict(num_points=64),
    ),
    test_cfg=dict(mode="whole"),
)
SIZE = (64, 96)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build_model(CONFIG).eval()


def label_maps() -> torch.Tensor:
    """Of two images ``(2, H, W)``: stripes of three classes, of one class; the rest ignored."""
    maps = torch.full((2, *SIZE), 255)
    maps[0, :, 10:30], maps[0, :, 30:60], maps[0, 20:, 60:] = 0, 3, 1
    maps[1, 8:40] = 2
    return maps


def seg_samples(maps: torch.Tensor) -> list[SegDataSample]:
    meta = dict(img_shape=SIZE, ori_shape=SIZE, pad_shape=SIZE, img_path="image.jpg")
    return [SegDataSample(metainfo=meta, gt_sem_seg=PixelData(data=one[None])) for one in maps]


def test_losses_are_those_of_mask2former_without_things(model):
    """Same weights, same random points: a semantic map is a panoptic one of stuff alone."""
    head = model.decode_head
    other = MODELS.build(
        dict(
            type="Mask2Former",
            backbone=BACKBONE,
            num_classes=CLASSES,
            thing_classes=(),
            head=HEAD,
            criterion=dict(num_points=64),
        )
    )
    other.backbone, other.panoptic_head = model.backbone, head.network
    maps = label_maps()
    samples = [
        DetDataSample(metainfo=dict(img_shape=SIZE), gt_sem_seg=PixelData(sem_seg=one[None])) for one in maps
    ]
    images = torch.randn(2, 3, *SIZE)
    torch.manual_seed(2)
    mine = model.loss(images, seg_samples(maps))
    torch.manual_seed(2)
    wanted = other.loss(images, samples)
    assert {f"decode.{name}" for name in wanted} == set(mine) and len(wanted) == 3 * 4
    for name, value in wanted.items():
        torch.testing.assert_close(mine[f"decode.{name}"], value)


def test_scores_are_those_of_mmsegs_head(model):
    model_config = library_model("mmseg", "mask2former/mask2former_r50_8xb2-160k_ade20k-512x512.py", False)
    config = model_config["decode_head"]
    attention = dict(embed_dims=64, num_heads=8)
    feed_forward = dict(embed_dims=64, feedforward_channels=64)
    config |= dict(
        in_channels=list(model.backbone.out_channels),
        feat_channels=64,
        out_channels=64,
        num_classes=CLASSES,
        num_queries=6,
        positional_encoding=dict(num_feats=32, normalize=True),
        type="mmseg.Mask2FormerHead",
    )
    config["pixel_decoder"]["positional_encoding"]["num_feats"] = 32
    config["pixel_decoder"]["encoder"]["num_layers"] = 1
    layer = config["pixel_decoder"]["encoder"]["layer_cfg"]
    layer["self_attn_cfg"] |= attention
    layer["ffn_cfg"] |= feed_forward
    config["transformer_decoder"]["num_layers"] = 3
    layer = config["transformer_decoder"]["layer_cfg"]
    layer["self_attn_cfg"] |= attention
    layer["cross_attn_cfg"] |= attention
    layer["ffn_cfg"] |= feed_forward
    config["loss_cls"]["class_weight"] = [1.0] * CLASSES + [0.1]
    reference = MODELS.build(ConfigDict(config))
    reference.load_state_dict(model.decode_head.network.state_dict())
    metas = [dict(img_shape=SIZE, ori_shape=SIZE, pad_shape=SIZE)] * 2
    with torch.no_grad():
        maps = model.extract_feat(torch.randn(2, 3, *SIZE))
        scores = model.decode_head.predict(maps, metas, {})
        assert scores.shape == (2, CLASSES, *SIZE)
        torch.testing.assert_close(scores, reference.eval().predict(maps, metas, {}))


def test_scores_at_the_padded_size_are_cropped_and_resized(model):
    """Official with semantic results alone: scores first, sizes after."""
    content, original = (50, 90), (100, 180)
    meta = dict(img_shape=content, ori_shape=original, pad_shape=SIZE, img_padding_size=(0, 6, 0, 14))
    images = torch.randn(1, 3, *SIZE)
    with torch.no_grad():
        logits, masks = model.decode_head(model.extract_feat(images))
        found = model.predict(images, [SegDataSample(metainfo=meta)])[0]
    shares = F.interpolate(masks[-1], SIZE, mode="bilinear").sigmoid()[0]
    scores = (logits[-1][0].softmax(-1)[:, :-1, None, None] * shares[:, None]).sum(0)  # (K, H, W)
    wanted = F.interpolate(scores[None, :, :50, :90], original, mode="bilinear")[0]
    torch.testing.assert_close(found.seg_logits.data, wanted)
    assert torch.equal(found.pred_sem_seg.data[0], wanted.argmax(0))


def test_windows_have_their_own_size(model):
    """In sliding windows mmseg's metadata hold the whole image's padded size."""
    images = torch.randn(1, 3, *SIZE)
    meta = dict(img_shape=SIZE, ori_shape=SIZE, pad_shape=SIZE, img_padding_size=(0, 0, 0, 0))
    sliding = copy.copy(model)
    sliding.test_cfg = ConfigDict(mode="slide", crop_size=(64, 64), stride=(64, 32))
    with torch.no_grad():
        found = sliding.predict(images, [SegDataSample(metainfo=dict(meta))])[0].seg_logits.data
        windows = [model.encode_decode(images[..., x : x + 64], [dict(img_shape=(64, 64))]) for x in (0, 32)]
    total, count = torch.zeros(1, CLASSES, *SIZE), torch.zeros(SIZE)
    for x, window in zip((0, 32), windows):
        total[..., x : x + 64] += window
        count[:, x : x + 64] += 1
    torch.testing.assert_close(found, (total / count)[0])


def test_unlabelled_image_teaches_the_classes_alone(model):
    losses = model.loss(torch.randn(1, 3, *SIZE), seg_samples(torch.full((1, *SIZE), 255)))
    assert all(value.isfinite() for value in losses.values())
    assert losses["decode.loss_mask"] == 0 and losses["decode.loss_ce"] > 0


def test_labels_beyond_the_classes_are_refused(model):
    maps = torch.full((1, *SIZE), CLASSES)
    with pytest.raises(
        DataError,
        match=r"image\.jpg has a segment of class 4, but there are 4 classes: correct model\.decode_head",
    ):
        model.loss(torch.randn(1, 3, *SIZE), seg_samples(maps))


def test_official_checkpoint_fits(golden_dir):
    """The kit's weights as those of a semantic model; its last predictions come out."""
    from tests.golden.kit import GoldenKit, align
    from tests.golden.mask2former import build_model
    from tests.golden.weights import tensors_of

    kit = GoldenKit(golden_dir / "mask2former-r50")
    official = tensors_of(kit)
    panoptic = build_model(kit.options, official)
    config = dict(CONFIG, backbone=dict(type="dense3d.ConvNeXt", arch="tiny"))
    config["decode_head"] = dict(config["decode_head"], in_channels=list(panoptic.backbone.out_channels))
    built = MODELS.build(config)
    built.backbone, built.decode_head.network = panoptic.backbone, panoptic.panoptic_head
    built.load_state_dict(convert("mask2former-semantic", official))
    check = next(c for c in kit.checks if "pred_masks" in c["outputs"])
    image = torch.from_numpy(kit.inputs(kit.checks[0]["name"])["image"])
    with torch.no_grad():
        logits, masks = built.eval()(image, mode="tensor")
    found = {"pred_logits": logits[-1].numpy(), "pred_masks": masks[-1].numpy()}
    for name, value in found.items():
        wanted = kit.outputs(check["name"])[name]
        np.testing.assert_allclose(align(value, wanted), wanted, rtol=check["rtol"], atol=check["atol"])
