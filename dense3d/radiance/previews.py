"""Pictures of how a fit goes: photograph, render and their difference side by side."""

from __future__ import annotations

import cv2
import numpy as np
from torch import Tensor

from dense3d.radiance.evaluation import score
from dense3d.radiance.views import PosedView
from dense3d.visualization.maps import draw_scalar_map
from dense3d.visualization.panels import captioned

FULL_ERROR = 0.25  # mean absolute difference of the channels that is drawn in full colour
PANEL = 320  # least width of a panel in pixels


def preview(image: Tensor, view: PosedView, background: Tensor) -> np.ndarray:
    """The photograph, the render with its PSNR, and the error: blue is none, red a quarter of the scale.

    Args:
        image: (H, W, 3) in 0..1, the render.
        view: photograph, held out or not.
        background: (3,) behind the scene.

    Returns:
        RGB picture, uint8; pixels that do not count have no error.
    """
    target = view.target(background)
    error = (image - target).abs().mean(-1).numpy()
    if view.usable is not None:
        error = np.where(view.usable, error, np.nan)
    value, similarity = score(image, view, background)
    panels = {
        "photograph": _bytes(target),
        f"render: {value:.1f} dB, SSIM {similarity:.2f}": _bytes(image),
        f"error, 0 to {FULL_ERROR}": draw_scalar_map(error, 0, FULL_ERROR),
    }
    return captioned({caption: _enlarged(panel) for caption, panel in panels.items()})


def _bytes(image: Tensor) -> np.ndarray:
    return (image * 255).round().byte().numpy()


def _enlarged(panel: np.ndarray) -> np.ndarray:
    factor = -(-PANEL // panel.shape[1])
    size = (panel.shape[1] * factor, panel.shape[0] * factor)
    return panel if factor == 1 else cv2.resize(panel, size, interpolation=cv2.INTER_NEAREST)
