"""The sizes at which images of ADE20K and COCO-Stuff are tested, beside the rule that papers state.

The short side becomes a given number unless the long side would exceed four times that. Multi-scale tests
multiply this number by ratios and mirror each view.
"""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope

from dense3d.apis.pipelines import inference_steps
from dense3d.apis.testing import augment
from dense3d.config import load_config

RATIOS = (0.5, 0.75, 1, 1.25, 1.5, 1.75)
OF_512, OF_640 = [512 * r for r in RATIOS], [640 * r for r in RATIOS]
# config; short side of single-scale tests, of the views; what sides are a multiple of; window or None
PROTOCOLS = {
    "upernet/upernet_swin-t_8xb2-160k_ade20k-512x512": (512, OF_512, 1, None),
    "upernet/upernet_convnext-l-22k_8xb2-160k_ade20k-640x640": (640, OF_640, 1, 640),
    "upernet/upernet_beit-b_8xb2-160k_ade20k-640x640": (640, [max(640, s) for s in OF_640], 1, 640),
    "vit_comer/upernet_vit-comer-t_8xb2-160k_ade20k-512x512": (512, OF_512, 32, 512),
    "vit_comer/mask2former_vit-comer-l-beitv2_8xb2-80k_ade20k-896x896": (896, [800, 832, 864, 896], 32, 896),
    "vit_comer/mask2former_vit-comer-l-beitv2_8xb2-80k_coco-stuff164k-896x896": (
        896, [800, 832, 864, 896], 32, 896,
    ),
}  # fmt: skip


def expected_size(height: int, width: int, short: float, multiple: int) -> tuple[int, int]:
    factor = min(short / min(height, width), 4 * short / max(height, width))
    sides = (int(height * factor + 0.5), int(width * factor + 0.5))
    return tuple(-(-side // multiple) * multiple for side in sides)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_images_are_tested_at_published_sizes(name, repository, tmp_path):
    single, views, multiple, window = PROTOCOLS[name]
    cfg = load_config(repository / "configs" / f"{name}.py")
    assert cfg.model.test_cfg.mode == ("whole" if window is None else "slide")
    assert window is None or cfg.model.test_cfg.crop_size == (window, window)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        plain = Compose(inference_steps(cfg))
        augment(cfg)
        augmented = Compose(inference_steps(cfg))
    for height, width in ((300, 421), (421, 300), (90, 400)):
        path = tmp_path / f"{height}.png"
        cv2.imwrite(str(path), np.zeros((height, width, 3), np.uint8))
        size = tuple(plain(dict(img_path=str(path)))["inputs"].shape[1:])
        assert size == expected_size(height, width, single, multiple)
        found = augmented(dict(img_path=str(path)))
        sizes = [tuple(image.shape[1:]) for image in found["inputs"]]
        flips = [sample.metainfo["flip"] for sample in found["data_samples"]]
        expected = [expected_size(height, width, short, multiple) for short in views]
        assert list(zip(sizes, flips)) == [(s, flip) for s in expected for flip in (False, True)]
