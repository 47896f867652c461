"""Pictures of label maps and reconstructions: every pixel has the colour that the legend says."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from mmengine.model import ImgDataPreprocessor
from mmengine.structures import BaseDataElement, PixelData

from dense3d.results import ModelInfo, Result, Semantic
from dense3d.visualization.panels import draw_segmentation, side_by_side

CLASSES = ("sky", "sea", "sand")
PALETTE = [(10, 20, 200), (0, 200, 30), (250, 220, 0)]


def _labels() -> np.ndarray:
    labels = np.full((40, 60), 255)
    labels[:20], labels[20:, :30] = 0, 2
    return labels


def test_label_maps_stand_beside_the_image_in_the_colours_of_the_legend():
    image = np.full((40, 60, 3), 77, np.uint8)
    picture = draw_segmentation(image, [_labels(), _labels()[::-1]], CLASSES, PALETTE, most_pixels=120)
    assert picture.shape[1] == 3 * 120 + 2 * 4
    assert (picture[:80, :120] == 77).all()
    first, second = picture[:80, 124:244], picture[:80, 248:368]
    assert (first[:40] == PALETTE[0]).all()
    assert (first[40:, :60] == PALETTE[2]).all()
    assert not first[40:, 60:].any()
    assert np.array_equal(second, first[::-1])
    legend = {tuple(colour) for colour in picture[80:].reshape(-1, 3).tolist()}
    assert PALETTE[0] in legend
    assert PALETTE[2] in legend
    assert PALETTE[1] not in legend  # no pixel is sea


def test_a_long_legend_takes_several_lines():
    labels = np.arange(150).repeat(40).reshape(60, 100)
    names = [f"class number {i}" for i in range(150)]
    picture = draw_segmentation(np.zeros((60, 100, 3), np.uint8), [labels], names, most_pixels=200)
    assert picture.shape[1] == 404
    assert picture.shape[0] > 120 + 50 * 18


def test_panels_keep_their_pixels():
    panels = [np.random.default_rng(i).integers(0, 256, (5, 8, 3), dtype=np.uint8) for i in range(2)]
    row = side_by_side(panels, 16)
    assert np.array_equal(row[::2, :16:2], panels[0])
    assert np.array_equal(row[::2, 20::2], panels[1])


def test_written_labels_count_as_the_annotations_do(tmp_path):
    sample = BaseDataElement(pred_sem_seg=PixelData(data=torch.tensor([[[0, 1], [2, 2]]])))
    for meta, written in ((dict(reduce_zero_label=True), [[1, 2], [3, 3]]), ({}, [[0, 1], [2, 2]])):
        Semantic.read(sample, ModelInfo(meta)).write(tmp_path, "a", 1, "a.jpg")
        assert cv2.imread(str(tmp_path / "labels/a.png"), cv2.IMREAD_UNCHANGED).tolist() == written


def test_a_reconstruction_is_drawn_in_the_colours_of_the_file(tmp_path):
    preprocessor = ImgDataPreprocessor([120.0] * 3, [60.0] * 3, bgr_to_rgb=True)
    red = torch.zeros(3, 32, 32, dtype=torch.uint8)
    red[2] = 240  # files are read as BGR
    image = preprocessor({"inputs": [red]})["inputs"][0]
    masked, painted = image.clone(), image.clone()
    masked[:, :, 16:] = 0
    painted[1, :, 16:] = image[0, 0, 0]
    sample = BaseDataElement()
    sample.set_data(dict(image=image, masked=masked, reconstruction=painted))
    info = ModelInfo(preprocessor=preprocessor)
    Result.of(sample, info, image=np.zeros((32, 32, 3), np.uint8)).save(tmp_path / "out.png")
    row = cv2.imread(str(tmp_path / "out.png"))[160, :, ::-1]
    assert row[[10, 310]].tolist() == [[240, 0, 0], [240, 0, 0]]
    assert row[[334, 634]].tolist() == [[240, 0, 0], [128, 128, 128]]
    assert row[[658, 958]].tolist() == [[240, 0, 0], [240, 240, 0]]
