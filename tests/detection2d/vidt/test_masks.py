"""Mask vectors and token labels beside scipy, mmdet and what they mean."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
import torch
from mmdet.models.roi_heads.mask_heads.fcn_mask_head import _do_paste_mask
from mmdet.structures.mask import BitmapMasks

from dense3d.detection2d.vidt import MaskVectors
from dense3d.detection2d.vidt.mask_vectors import paste_masks, zigzag
from dense3d.detection2d.vidt.targets import class_shares
from dense3d.errors import ConfigError


def blobs(number: int, side: int, seed: int) -> torch.Tensor:
    """Smooth random masks ``(number, side, side)``."""
    noise = np.random.default_rng(seed).standard_normal((number, side, side))
    smooth = scipy.fft.idctn(
        scipy.fft.dctn(noise, axes=(1, 2)) * (np.add.outer(*[np.arange(side)] * 2) < 8), axes=(1, 2)
    )
    return torch.from_numpy((smooth > 0).astype(np.float32))


@pytest.mark.parametrize("seed", [0, 1])
def test_transform_is_scipys(seed):
    masks = blobs(3, 64, seed)
    coder = MaskVectors(num_coefficients=100, side=64)
    spectrum = scipy.fft.dctn(masks.numpy(), axes=(1, 2), norm="ortho")
    kept = np.zeros_like(spectrum)
    kept[:, coder.rows, coder.columns] = spectrum[:, coder.rows, coder.columns]
    vectors = coder.encode(masks)
    np.testing.assert_allclose(vectors, spectrum[:, coder.rows, coder.columns], atol=1e-4)
    smooth = scipy.fft.idctn(kept, axes=(1, 2), norm="ortho")
    np.testing.assert_allclose(coder.inverse(vectors), smooth, atol=1e-5)
    assert (coder.decode(vectors) == masks).float().mean() > 0.95
    every = MaskVectors(num_coefficients=64**2, side=64)
    torch.testing.assert_close(every.inverse(every.encode(masks)), masks, atol=1e-4, rtol=0)
    assert torch.equal(every.decode(every.encode(masks)), masks)


def test_mixed_precision_leaves_masks_alone():
    masks, coder = blobs(2, 32, 5), MaskVectors(num_coefficients=64, side=32)
    exact = coder.encode(masks)
    smooth = coder.inverse(exact)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(coder.encode(masks), exact) and torch.equal(coder.inverse(exact), smooth)
        assert coder.inverse(exact.bfloat16()).dtype == torch.float32


def test_zigzag_walks_along_diagonals():
    path = zigzag(9)
    assert len(path.unique(dim=0)) == 81
    diagonal = path.sum(1)
    assert (diagonal.diff() >= 0).all()
    assert ((path.diff(dim=0).abs().amax(1) == 1).all()) and path[1].tolist() == [0, 1]


def test_vectors_of_boxes_cut_masks_as_mmdet_does():
    masks = blobs(2, 48, 2)
    boxes = torch.tensor([[3.0, 5.0, 40.0, 30.0], [10.5, 0.0, 47.0, 47.5]])
    coder = MaskVectors(num_coefficients=64, side=16)
    cut = BitmapMasks(masks.numpy().astype(np.uint8), 48, 48).crop_and_resize(
        boxes.numpy(), (16, 16), np.arange(2), device="cpu", binarize=True
    )
    expected = coder.encode(torch.from_numpy(cut.masks.astype(np.float32)))
    torch.testing.assert_close(coder.of_boxes(masks, boxes), expected)
    assert coder.of_boxes(masks[:0], boxes[:0]).shape == (0, 64)


def test_masks_are_pasted_as_mmdet_does():
    masks = blobs(20, 16, 3)  # more than are pasted at once
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(20, 2, generator=generator) * 40 - 10  # some lie outside
    boxes = torch.cat((corner, corner + torch.rand(20, 2, generator=generator) * 30 + 1), 1)
    expected = _do_paste_mask(masks[:, None], boxes, 36, 44, skip_empty=False)[0] >= 0.5
    found = paste_masks(masks, boxes, (36, 44))
    assert (found == expected).float().mean() > 0.9999
    empty = paste_masks(masks[:1], torch.tensor([[5.0, 5.0, 5.0, 5.0]]), (8, 8))
    assert empty.shape == (1, 8, 8) and not empty.any()


def test_a_mask_comes_back_from_its_vector_and_its_box():
    mask = torch.zeros(1, 60, 80)
    mask[0, 20:50, 10:40] = 1
    mask[0, 35:50, 25:40] = 0
    box = torch.tensor([[10.0, 20.0, 40.0, 50.0]])
    coder = MaskVectors()
    pasted = paste_masks(coder.decode(coder.of_boxes(mask, box)), box, (60, 80))
    assert (pasted == mask.bool()).float().mean() > 0.99


@pytest.mark.parametrize("number", [0, 257])
def test_no_such_vector(number):
    with pytest.raises(ConfigError, match="1 to 256"):
        MaskVectors(num_coefficients=number, side=16)


def test_shares_are_those_of_a_one_hot_map():
    masks = blobs(4, 24, 4).bool()
    rows = torch.tensor([2, 4, 2, 1])
    classes = torch.zeros(24, 24, dtype=torch.long)
    for mask, row in reversed(list(zip(masks, rows))):  # the first has the last word
        classes[mask] = row
    one_hot = torch.nn.functional.one_hot(classes, 5).float().permute(2, 0, 1)
    one_hot[0] = masks.any(0).float()
    for shape, shares in zip([(6, 8), (5, 7)], class_shares(masks, rows, 5, [(6, 8), (5, 7)])):
        expected = torch.nn.functional.adaptive_avg_pool2d(one_hot, shape).permute(1, 2, 0)
        torch.testing.assert_close(shares, expected)


def test_shares_without_objects():
    (shares,) = class_shares(torch.zeros(0, 8, 8).bool(), torch.zeros(0).long(), 4, [(2, 2)])
    assert shares.shape == (2, 2, 4) and not shares.any()
