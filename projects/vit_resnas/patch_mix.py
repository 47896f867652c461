"""Half of a batch with rectangles of patches from other images, half with mixup, and targets for every patch.

Gong et al., "Vision Transformers with Patch Diversification", 2021 (arXiv:2104.12753), as Liao et al., 2021
(arXiv:2109.00642) train: patches are those of the last stage.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.classification import ClassDataPreprocessor
from dense3d.errors import ConfigError, DataError
from dense3d.registry import MODELS


@MODELS.register_module()
class PatchMixPreprocessor(ClassDataPreprocessor):
    """:class:`ClassDataPreprocessor`, which in training mixes with :class:`PatchTokenMix`.

    Args:
        batch_augment: arguments of :class:`PatchTokenMix`; ``num_classes`` is the model's.
        *args, **kwargs: see :class:`ClassDataPreprocessor`.
    """

    def __init__(self, *args: Any, batch_augment: dict | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if batch_augment:
            try:
                self.mix = PatchTokenMix(**batch_augment)
            except TypeError as error:
                raise ConfigError(f"PatchMixPreprocessor: batch_augment: {error}") from error


class PatchTokenMix:
    """Mixes images with others of their half of the batch.

    In the first half every image gets one rectangle of patches, the same for all, from another image; a patch
    keeps the label of the image that it is from, and the image has as much of both labels as of both images.
    The second half is mixed pixel by pixel (Zhang et al., "mixup", ICLR 2018), and its patches have the
    labels of the image.

    Args:
        num_classes: C.
        stride: side of a patch in pixels.
        mixup_alpha: of the Beta distribution of mixup's weights.

    Raises:
        ConfigError: a number is not positive.
    """

    def __init__(self, num_classes: int, stride: int = 56, mixup_alpha: float = 0.8) -> None:
        if num_classes < 2 or stride < 1 or mixup_alpha <= 0:
            raise ConfigError(
                f"PatchTokenMix: num_classes={num_classes}, stride={stride}, mixup_alpha={mixup_alpha}: give "
                "2 classes or more, a stride of 1 or more and a positive alpha"
            )
        self.num_classes, self.stride, self.alpha = num_classes, stride, mixup_alpha

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Mixed images, and the scores of each image and of its patches.

        Args:
            images: ``(B, 3, H, W)``, sides multiples of the stride.
            labels: ``(B,)``.

        Returns:
            ``(B, 3, H, W)`` and ``(B, 1 + h * w, C)``, whose rows sum to 1.

        Raises:
            DataError: a side is no multiple of the stride.
        """
        rows, columns = (side // self.stride for side in images.shape[2:])
        if (rows * self.stride, columns * self.stride) != tuple(images.shape[2:]) or not rows * columns:
            raise DataError(
                f"patches of {self.stride} pixels do not fill images of {images.shape[2]} x "
                f"{images.shape[3]}: crop to multiples"
            )
        scores = F.one_hot(labels, self.num_classes).float()
        half = len(images) // 2
        first = self._rectangles(images[:half], scores[:half], (rows, columns))
        second = self._mixup(images[half:], scores[half:], rows * columns)
        return torch.cat([first[0], second[0]]), torch.cat([first[1], second[1]])

    def _rectangles(self, images: Tensor, scores: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        other = torch.randperm(len(images)).to(images.device)
        taken = rectangle(grid).to(images.device)  # (h, w), true for patches of the other image
        pixels = taken.repeat_interleave(self.stride, 0).repeat_interleave(self.stride, 1)
        patches = torch.where(taken.view(1, -1, 1), scores[other, None], scores[:, None])  # (B, h * w, C)
        whole = patches.mean(dim=1, keepdim=True)
        return torch.where(pixels, images[other], images), torch.cat([whole, patches], dim=1)

    def _mixup(self, images: Tensor, scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
        other = torch.randperm(len(images)).to(images.device)
        share = float(torch.distributions.Beta(self.alpha, self.alpha).sample())
        mixed = share * scores + (1 - share) * scores[other]
        return share * images + (1 - share) * images[other], mixed[:, None].expand(-1, 1 + count, -1)


def rectangle(grid: tuple[int, int]) -> Tensor:
    """A random rectangle, true in ``(h, w)``, whose area is uniform before it is rounded down.

    Example:
        >>> rectangle((4, 4)).shape
        torch.Size([4, 4])
    """
    rows, columns = grid
    cells = int(float(torch.rand(())) * rows * columns)
    inside = torch.zeros(grid, dtype=torch.bool)
    if cells == 0:
        return inside
    height = _integer(-(-cells // columns), min(rows, cells))
    width = cells // height
    top, left = _integer(0, rows - height), _integer(0, columns - width)
    inside[top : top + height, left : left + width] = True
    return inside


def _integer(low: int, high: int) -> int:
    """A random whole number, both ends included."""
    return int(torch.randint(low, high + 1, ()))
