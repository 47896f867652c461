"""Large images in overlapping tiles: where they lie, what a tile's pixel weighs, and their weighted mean.

Weinzaepfel et al., "CroCo v2", ICCV 2023 (arXiv 2211.10408). A tile is the same window of both images. Tiles
run in batches, those of all images together; only sums of the images' size are kept.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dense3d.errors import ConfigError, DataError

Size = tuple[int, int]  # rows and columns
Weight = Callable[[Tensor], Tensor]
# Left and right windows (n, 3, h, w) to predictions (n, C, h, w) and raw confidences (n, 1, h, w).
Network = Callable[[Tensor, Tensor], tuple[Tensor, Tensor | None]]

_SMALLEST = 1e-16  # added to the sum of weights


def tile_starts(total: int, window: int, overlap: float) -> list[int]:
    """First pixels of the windows along one axis: evenly spaced from edge to edge.

    There are ``1 + ceil((total - window) / ((1 - overlap) window))`` of them; starts are rounded, halves to
    the even number.

    Args:
        total: pixels of the image.
        window: pixels of a tile.
        overlap: least part of a window that the next one repeats, in [0, 1).

    Raises:
        ConfigError: ``overlap`` is outside [0, 1).
        DataError: the image is smaller than the window.

    Example:
        >>> tile_starts(540, 352, 0.7), tile_starts(704, 704, 0.9)
        ([0, 94, 188], [0])
    """
    if not 0 <= overlap < 1:
        raise ConfigError(f"tiles with overlap={overlap}: it is a part of a tile, from 0 to below 1")
    if total < window:
        raise DataError(f"a tile of {window} pixels does not fit into {total} pixels; enlarge the image")
    spare = total - window
    gaps = math.ceil(spare / ((1 - overlap) * window))
    return [round(i * (spare / gaps)) if i < gaps else spare for i in range(gaps)] + [spare]


@dataclass(frozen=True)
class TileWeight:
    """What a pixel of a tile weighs, from its raw confidence ``c`` (large is uncertain).

    ``conf_expsigmoid_B_S`` is ``exp(-2 B (sigmoid(c / S) - 1/2))``, ``conf_expbetaB`` is ``exp(-B c)``.

    Args:
        mode: one of these names, with numbers: ``"conf_expsigmoid_15_3"`` is CroCo-Stereo's,
            ``"conf_expsigmoid_10_5"`` CroCo-Flow's, ``"conf_expbeta3"`` that of its ETH3D model.

    Raises:
        ConfigError: the name is another one.

    Example:
        >>> TileWeight("conf_expbeta3")(torch.zeros(1)).item()
        1.0
    """

    mode: str

    def __post_init__(self) -> None:
        self._numbers()

    def _numbers(self) -> tuple[float, float | None]:
        number = r"(\d+(?:\.\d+)?)"
        sigmoid = re.fullmatch(rf"conf_expsigmoid_{number}_{number}", str(self.mode))
        if sigmoid and float(sigmoid[2]) > 0:
            return float(sigmoid[1]), float(sigmoid[2])
        plain = re.fullmatch(rf"conf_expbeta{number}", str(self.mode))
        if plain:
            return float(plain[1]), None
        raise ConfigError(
            f"tile_conf_mode={self.mode!r}: write conf_expsigmoid_B_S, such as 'conf_expsigmoid_15_3', or "
            "conf_expbetaB, such as 'conf_expbeta3'"
        )

    def __call__(self, raw: Tensor) -> Tensor:
        """Weights of raw confidences of any shape, in float32."""
        beta, slope = self._numbers()
        raw = raw.float()
        return torch.exp(-beta * raw if slope is None else -2 * beta * (torch.sigmoid(raw / slope) - 0.5))


def covering_size(size: Size, tile: Size, rule: str = "cover") -> Size:
    """Size to which images are scaled up before they are cut, both sides by one factor.

    Args:
        size: of the image.
        tile: of a tile; an image that holds one keeps its size.
        rule: ``"cover"`` takes the least factor with which a tile fits; ``"official"`` takes
            ``max(tile width / W, tile height / W)`` as the official code does, where the second W should be
            H: images that are about as wide as high are enlarged right, others too little or too much.

    Raises:
        ConfigError: another rule.
        DataError: with ``"official"``, a tile still does not fit.

    Example:
        >>> covering_size((300, 1242), (352, 704)), covering_size((80, 88), (64, 96), "official")
        ((352, 1457), (87, 96))
    """
    (height, width), (rows, columns) = size, tile
    if rule not in ("cover", "official"):
        raise ConfigError(f"small_images={rule!r}: use 'cover' or 'official'")
    if height >= rows and width >= columns:
        return size
    if rule == "official":
        factor = max(columns / width, rows / width)
        scaled = round(height * factor), round(width * factor)
        if scaled[0] < rows or scaled[1] < columns:
            raise DataError(
                f"the official rule scales an image of {height} x {width} to {scaled[0]} x {scaled[1]}, "
                f"which holds no tile of {rows} x {columns}; use small_images='cover'"
            )
        return scaled
    factor = max(columns / width, rows / height)
    return max(rows, round(height * factor)), max(columns, round(width * factor))


def resize_images(images: Tensor, size: Size) -> Tensor:
    """``(B, C, H, W)`` to another size, bicubic."""
    if tuple(images.shape[-2:]) == tuple(size):
        return images
    return F.interpolate(images, size, mode="bicubic", align_corners=False)


def resize_displacements(values: Tensor, size: Size) -> Tensor:
    """Disparity ``(B, 1, H, W)`` or flow ``(B, 2, H, W)`` to another size, bicubic; values scale with it."""
    height, width = values.shape[-2:]
    if (height, width) == tuple(size):
        return values
    factors = [size[1] / width, size[0] / height][: values.shape[1]]
    return resize_images(values, size) * values.new_tensor(factors).view(1, -1, 1, 1)


@dataclass(frozen=True)
class Tiles:
    """Prediction in tiles.

    Args:
        size: of a tile.
        overlap: see :func:`tile_starts`.
        weight: of a tile's pixel.
        batch_size: tiles that run at once; results do not depend on it.
        progress: called with the number of tiles done and their total after each batch.
    """

    size: Size
    overlap: float
    weight: Weight
    batch_size: int = 4
    progress: Callable[[int, int], None] | None = None

    def windows(self, count: int, size: Size) -> list[tuple[int, int, int]]:
        """Image number, first row and first column of every tile of ``count`` images."""
        rows, columns = (tile_starts(size[i], self.size[i], self.overlap) for i in (0, 1))
        return [(image, y, x) for image in range(count) for y in rows for x in columns]

    def batches(self, left: Tensor, right: Tensor) -> Iterator[tuple[list, Tensor, Tensor]]:
        """Windows and the two images' parts in them, ``batch_size`` at a time."""
        windows = self.windows(len(left), tuple(left.shape[-2:]))
        for start in range(0, len(windows), self.batch_size):
            chosen = windows[start : start + self.batch_size]
            yield chosen, *(torch.stack([self.cut(x, *place) for place in chosen]) for x in (left, right))

    def cut(self, maps: Tensor, image: int, y: int, x: int) -> Tensor:
        """The part ``(C, h, w)`` of maps ``(B, C, H, W)`` in a window."""
        return maps[image, :, y : y + self.size[0], x : x + self.size[1]]

    @torch.no_grad()
    def __call__(self, network: Network, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted means of what the tiles give.

        Args:
            network: see :data:`Network`.
            left, right: ``(B, 3, H, W)``, at least as large as a tile.

        Returns:
            predictions ``(B, C, H, W)`` and raw confidences ``(B, 1, H, W)``, float32.

        Raises:
            ConfigError: the network gives no confidence.
        """
        count, height, width = len(left), *left.shape[-2:]
        totals = None
        total = len(self.windows(count, (height, width)))
        done = 0
        for places, left_parts, right_parts in self.batches(left, right):
            predicted, raw = network(left_parts, right_parts)
            if raw is None:
                raise ConfigError(
                    "tiles are merged by their confidence, but this model is trained without one; use "
                    "test_cfg=dict(mode='whole')"
                )
            values = torch.cat([predicted.float(), raw.float()], dim=1)  # (n, C + 1, h, w)
            weights = self.weight(raw)  # (n, 1, h, w)
            values = torch.cat([values * weights, weights], dim=1)
            if totals is None:
                totals = values.new_zeros(count, values.shape[1], height, width)
            for place, value in zip(places, values):
                self.cut(totals, *place).add_(value)
            done += len(places)
            if self.progress is not None:
                self.progress(done, total)
        means = totals[:, :-1] / (totals[:, -1:] + _SMALLEST)
        return means[:, :-1], means[:, -1:]
