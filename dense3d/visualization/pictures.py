"""Pictures out of a model's tensors and into files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from dense3d.errors import DataError
from dense3d.files import atomic_write


def denormalised(image: torch.Tensor, preprocessor: Any, is_rgb: bool = False) -> np.ndarray:
    """Undo a preprocessor's normalisation.

    Args:
        image: ``(3, H, W)``, preprocessed.
        preprocessor: mmengine's ``ImgDataPreprocessor`` or one derived from it.
        is_rgb: the preprocessor was given RGB, not mmcv's BGR.

    Returns:
        ``(H, W, 3)`` RGB, uint8.
    """
    image = image.detach().float().cpu()
    mean, std = getattr(preprocessor, "mean", None), getattr(preprocessor, "std", None)
    if mean is not None:
        image = image * std.cpu().view(-1, 1, 1) + mean.cpu().view(-1, 1, 1)
    # mmcv loads BGR; a preprocessor that does not convert leaves it so.
    converts = getattr(preprocessor, "_channel_conversion", None) or getattr(
        preprocessor, "channel_conversion", None
    )
    pixels = image.round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
    return np.ascontiguousarray(pixels if bool(converts) != is_rgb else pixels[..., ::-1])


def write_picture(picture: np.ndarray, target: Path) -> None:
    """Write RGB ``(H, W, 3)`` or numbers ``(H, W)``, in the format that the suffix names.

    Raises:
        DataError: it cannot be encoded.
    """
    pixels = picture[..., ::-1] if picture.ndim == 3 else picture
    ok, encoded = cv2.imencode(target.suffix, pixels)
    if not ok:
        raise DataError(f"{target}: the picture could not be encoded")
    with atomic_write(target) as file:
        file.write(encoded.tobytes())
