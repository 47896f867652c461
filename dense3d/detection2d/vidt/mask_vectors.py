"""Masks as short vectors: the low frequencies of a discrete cosine transform (UQR of ViDT+).

Dong et al., "SOLQ: Segmenting Objects by Learning Queries", NeurIPS 2021 (unified query representation); Shen
et al., "DCT-Mask", CVPR 2021; taken up by ViDT+ (arXiv 2204.07962), section 4.2.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import roi_align

from dense3d.errors import ConfigError


class MaskVectors:
    """Coding of square masks by the first coefficients of their orthonormal 2-D DCT in zig-zag order.

    Args:
        num_coefficients: length of a vector.
        side: height and width of a coded mask.

    Raises:
        ConfigError: there are fewer coefficients than that.

    Example:
        >>> coder = MaskVectors(num_coefficients=36, side=16)
        >>> mask = torch.zeros(1, 16, 16)
        >>> mask[:, 4:12, 5:] = 1
        >>> vectors = coder.encode(mask)
        >>> vectors.shape, bool((coder.decode(vectors) == mask).float().mean() > 0.95)
        (torch.Size([1, 36]), True)
    """

    def __init__(self, num_coefficients: int = 256, side: int = 128) -> None:
        if not 1 <= num_coefficients <= side**2:
            raise ConfigError(
                f"num_coefficients={num_coefficients}, but a mask of {side} x {side} has 1 to {side**2}"
            )
        self.side = side
        with torch.device("cpu"):  # though the weights may be built on another
            self.rows, self.columns = zigzag(side)[:num_coefficients].unbind(1)
            used = int(torch.maximum(self.rows, self.columns).max()) + 1
            self.basis = dct_matrix(side)[:used]  # (K, side): higher frequencies take no part

    def encode(self, masks: Tensor) -> Tensor:
        """``(N, side, side)`` to vectors ``(N, num_coefficients)``."""
        basis = self.basis.to(masks.device)
        with torch.autocast(masks.device.type, enabled=False):
            return (basis @ masks.float() @ basis.T)[:, self.rows, self.columns]

    def inverse(self, vectors: Tensor) -> Tensor:
        """Vectors ``(N, num_coefficients)`` to the smooth masks ``(N, side, side)`` that they stand for."""
        basis = self.basis.to(vectors.device)
        spectrum = vectors.new_zeros(len(vectors), len(basis), len(basis), dtype=torch.float32)
        spectrum[:, self.rows, self.columns] = vectors.float()
        with torch.autocast(vectors.device.type, enabled=False):
            return basis.T @ spectrum @ basis

    def decode(self, vectors: Tensor) -> Tensor:
        """Vectors to masks of 0 and 1, ``(N, side, side)``: above the middle of each one's range."""
        smooth = self.inverse(vectors)
        middle = (smooth.amax((1, 2), keepdim=True) + smooth.amin((1, 2), keepdim=True)) / 2
        return (smooth > middle).float()

    def of_boxes(self, masks: Tensor, boxes: Tensor) -> Tensor:
        """Vectors of masks of whole images, each cut out along its box.

        Args:
            masks: ``(N, H, W)`` of 0 and 1.
            boxes: ``(N, 4)`` XYXY in pixels.

        Returns:
            ``(N, num_coefficients)``.
        """
        if not len(masks):
            return boxes.new_zeros(0, len(self.rows), dtype=torch.float32)
        index = torch.arange(len(boxes), device=boxes.device, dtype=torch.float32)[:, None]
        regions = torch.cat((index, boxes.float()), dim=1)
        size = (self.side, self.side)
        cut = roi_align(masks[:, None].float(), regions, size, sampling_ratio=0, aligned=True)[:, 0]
        return self.encode((cut >= 0.5).float())


def zigzag(side: int) -> Tensor:
    """Rows and columns of a square table in zig-zag order, ``(side ** 2, 2)``: by falling wave length.

    Diagonals in turn, the first step to the right.

    Example:
        >>> zigzag(3).tolist()[:6]
        [[0, 0], [0, 1], [1, 0], [2, 0], [1, 1], [0, 2]]
    """
    index = torch.arange(side)
    row, column = torch.cartesian_prod(index, index).unbind(1)
    diagonal = row + column
    along = torch.where(diagonal % 2 == 0, column, row)
    order = (diagonal * side + along).argsort(stable=True)
    return torch.stack((row, column), dim=1)[order]


def dct_matrix(side: int) -> Tensor:
    """Orthonormal DCT-II, ``(side, side)``: row k is the wave of frequency k.

    Example:
        >>> matrix = dct_matrix(8)
        >>> torch.allclose(matrix @ matrix.T, torch.eye(8), atol=1e-6)
        True
    """
    position = torch.arange(side, dtype=torch.float64)
    waves = torch.cos(math.pi / side * position[:, None] * (position + 0.5)) * math.sqrt(2 / side)
    waves[0] /= math.sqrt(2)
    return waves.float()


def paste_masks(masks: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Put masks into their boxes in an image, bilinear, at least one half.

    Args:
        masks: ``(N, side, side)`` in [0, 1].
        boxes: ``(N, 4)`` XYXY in pixels of the image.
        size: height and width of the image.

    Returns:
        boolean ``(N, height, width)``, False outside of the boxes.

    Example:
        >>> paste_masks(torch.ones(1, 4, 4), torch.tensor([[1.0, 0.0, 3.0, 1.0]]), (2, 4))[0].long().tolist()
        [[0, 1, 1, 0], [0, 0, 0, 0]]
    """
    pasted = torch.zeros(len(masks), *size, dtype=torch.bool, device=masks.device)
    for start in range(0, len(masks), _AT_ONCE):
        chunk = slice(start, start + _AT_ONCE)
        axes = []
        for low, high, side in zip(boxes[chunk, :2].T, boxes[chunk, 2:].T, (size[1], size[0])):
            centres = torch.arange(side, device=boxes.device) + 0.5
            extent = (high - low).clamp(min=1e-6)[:, None]
            axes.append((centres - low[:, None]) / extent * 2 - 1)  # (n, side)
        x, y = axes
        grid = torch.stack(
            (x[:, None].expand(-1, size[0], -1), y[:, :, None].expand(-1, -1, size[1])), dim=-1
        )
        found = F.grid_sample(masks[chunk, None].float(), grid.float(), align_corners=False)
        pasted[chunk] = found[:, 0] >= 0.5
    return pasted


_AT_ONCE = 16  # masks of a large image at full resolution take 12 bytes a pixel on the way
