"""Transforms that move pixels of a pair, its ground truth and its rig together.

Keys that move: ``left``, ``right``, ``disparity``, ``nonoccluded``, ``depth``, ``flow``, ``rig``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

from dense3d.datasets.stereo.resampling import resize_image, resize_nearest
from dense3d.errors import ConfigError, DataError
from dense3d.registry import TRANSFORMS

IMAGES = ("left", "right")
INFINITE = np.float32(np.inf)
EMPTY = {"disparity": INFINITE, "depth": np.float32(0), "nonoccluded": False, "flow": INFINITE}
WHERE = {"right-bottom": 0.0, "left-top": 1.0, "centre": 0.5}  # share of the padding on the left and on top


@TRANSFORMS.register_module()
class ResizeStereo(BaseTransform):
    """Resize both images; disparity times the ratio of the widths, flow times both ratios, nearest values.

    Args:
        size: height and width of the result.
        scale: instead of ``size``: factor of both sides, or of height and width.
        interpolation: of the images: ``"bilinear"``, ``"lanczos"``, ``"bicubic"``, ``"area"``, ``"nearest"``.
        keep_truth: leave ground truth as it is, for metrics that compare at the size of the files. The rig
            becomes that of the images.

    Raises:
        ConfigError: not one of ``size`` and ``scale``.
    """

    def __init__(
        self,
        size: tuple[int, int] | None = None,
        scale: float | tuple[float, float] | None = None,
        interpolation: str = "bilinear",
        keep_truth: bool = False,
    ) -> None:
        if (size is None) == (scale is None):
            raise ConfigError("ResizeStereo takes either size=(height, width) or scale")
        self.size = None if size is None else _size(size)
        self.scale = None if scale is None else np.broadcast_to(np.asarray(scale, dtype=float), 2)
        self.interpolation, self.keep_truth = interpolation, keep_truth

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Resize a pair."""
        shape = results["left"].shape[:2]
        size = self.size or tuple(max(1, round(n * factor)) for n, factor in zip(shape, self.scale))
        _require_movable(results, truth=not self.keep_truth)
        for side in IMAGES:
            results[side] = resize_image(results[side], size, self.interpolation)
        if not self.keep_truth:
            resize_truth(results, shape, size)
        if results.get("rig") is not None:
            results["rig"] = results["rig"].resized(size[1], size[0])
        return _done(results)


@TRANSFORMS.register_module()
class StereoFlip(BaseTransform):
    """Mirror both images left to right, or upside down.

    Mirrored images are not exchanged, so that matches lie on the other side: ``flipped`` tells the model.
    Disparity and depth keep their values, disparity as the distance to the match; flow changes its sign in x.
    With ``exchange=True`` the mirrored right image becomes the left one, and disparity stays what it was;
    ground truth belongs to the old left image, so there must be none.

    Args:
        prob: how often.
        direction: ``"horizontal"`` or ``"vertical"``.
        exchange: see above.

    Raises:
        ConfigError: an unknown direction, or ``exchange`` with a vertical one.
        DataError: ``exchange`` with ground truth.
    """

    def __init__(self, prob: float = 0.5, direction: str = "horizontal", exchange: bool = False) -> None:
        if direction not in ("horizontal", "vertical") or (exchange and direction == "vertical"):
            raise ConfigError("direction is 'horizontal' or 'vertical', and exchange needs a horizontal one")
        self.prob, self.direction, self.exchange = prob, direction, exchange

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Mirror a pair or leave it."""
        if np.random.random() < self.prob:
            if self.exchange:
                exchange_mirrored(results)
            else:
                flip(results, self.direction)
        return results


@TRANSFORMS.register_module()
class RandomCropStereo(BaseTransform):
    """The same random window of everything.

    Args:
        size: height and width.

    Raises:
        DataError: an image is smaller.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = _size(size)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Crop a pair."""
        room = room_for(results, self.size)
        return crop(results, *(np.random.randint(n + 1) for n in room), self.size)


@TRANSFORMS.register_module()
class CenterCropStereo(BaseTransform):
    """The middle of everything.

    Args:
        size: height and width. Sides that are None stay.
        divisor: instead: the largest size whose sides are multiples of it.

    Raises:
        ConfigError: not one of ``size`` and ``divisor``.
        DataError: an image is smaller.
    """

    def __init__(self, size: tuple[int | None, int | None] | None = None, divisor: int | None = None) -> None:
        if (size is None) == (divisor is None):
            raise ConfigError("CenterCropStereo takes either size=(height, width) or divisor")
        self.size, self.divisor = size, divisor

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Crop a pair."""
        shape = results["left"].shape[:2]
        if self.divisor:
            size = tuple(side // self.divisor * self.divisor for side in shape)
        else:
            size = tuple(side if wanted is None else wanted for side, wanted in zip(shape, self.size))
        room = room_for(results, size)
        return crop(results, room[0] // 2, room[1] // 2, size)


@TRANSFORMS.register_module()
class PadStereo(BaseTransform):
    """Continue the edges of both images; ground truth is unknown there.

    Args:
        size: least height and width.
        divisor: sides become multiples of it.
        where: ``"right-bottom"``, or ``"left-top"`` as some official evaluations do, or ``"centre"``.

    Raises:
        ConfigError: an unknown place.
    """

    def __init__(self, size: tuple[int, int] = (1, 1), divisor: int = 1, where: str = "right-bottom") -> None:
        if where not in WHERE:
            raise ConfigError(f"where must be one of {', '.join(WHERE)}, not {where!r}")
        self.size, self.divisor, self.where = _size(size), divisor, where

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Pad a pair."""
        shape = results["left"].shape[:2]
        size = [-(-max(*sides) // self.divisor) * self.divisor for sides in zip(shape, self.size)]
        more = [new - old for new, old in zip(size, shape)]
        before = [int(n * WHERE[self.where]) for n in more]
        edges = [(first, n - first) for first, n in zip(before, more)]
        if not any(more):
            return results

        def padded(name: str, values: np.ndarray) -> np.ndarray:
            width = edges + [(0, 0)] * (values.ndim - 2)
            if name in IMAGES:
                return np.pad(values, width, mode="edge")
            return np.pad(values, width, constant_values=EMPTY[name])

        move(results, padded)
        if results.get("rig") is not None:
            results["rig"] = results["rig"].cropped(-before[1], -before[0], size[1], size[0])
        return _done(results)


def move(results: dict[str, Any], change: Callable[[str, np.ndarray], np.ndarray]) -> None:
    """Replace images and ground truth by what ``change(name, values)`` makes of them."""
    _require_movable(results)
    for name in (*IMAGES, *EMPTY):
        if results.get(name) is not None:
            results[name] = change(name, results[name])


def crop(results: dict[str, Any], top: int, left: int, size: tuple[int, int]) -> dict[str, Any]:
    """The window of ``size`` (height, width) at ``top`` and ``left`` of everything."""
    move(results, lambda _, values: values[top : top + size[0], left : left + size[1]])
    if results.get("rig") is not None:
        results["rig"] = results["rig"].cropped(left, top, size[1], size[0])
    return _done(results)


def flip(results: dict[str, Any], direction: str) -> dict[str, Any]:
    """Mirror everything; ``flipped`` notes a horizontal mirror."""
    horizontal = direction == "horizontal"
    move(results, lambda _, values: values[:, ::-1] if horizontal else values[::-1])
    if results.get("flow") is not None:
        results["flow"] = results["flow"] * np.float32([-1, 1] if horizontal else [1, -1])
        results["flow"][~np.isfinite(results["flow"])] = np.inf  # not -inf
    rig = results.get("rig")
    if rig is not None:
        centre = dict(cx=rig.width - 1 - rig.cx) if horizontal else dict(cy=rig.height - 1 - rig.cy)
        results["rig"] = replace(rig, **centre)
    if horizontal:
        results["flipped"] = not results.get("flipped", False)
    return results


def exchange_mirrored(results: dict[str, Any]) -> dict[str, Any]:
    """Mirror both images and exchange them: a pair as rectified as before, seen in a mirror.

    Raises:
        DataError: there is ground truth, which is of the left image.
    """
    found = [name for name in EMPTY if results.get(name) is not None]
    if found:
        raise DataError(
            f"{results.get('left_path', 'the pair')}: StereoFlip(exchange=True) makes the right image the "
            f"left one, but {found[0]} belongs to the left image: load without ground truth"
        )
    _require_movable(results)
    results["left"], results["right"] = results["right"][:, ::-1], results["left"][:, ::-1]
    rig = results.get("rig")
    if rig is not None:
        results["rig"] = replace(rig, cx=rig.width - 1 - rig.cx - rig.doffs)
    return results


def resize_truth(results: dict[str, Any], shape: tuple[int, int], size: tuple[int, int]) -> None:
    """Ground truth of images of ``shape`` for images of ``size``, each (height, width)."""
    ratio = np.float32(size[1] / shape[1]), np.float32(size[0] / shape[0])
    factors = {"disparity": ratio[0], "flow": np.array(ratio)}
    for name in EMPTY:
        if results.get(name) is not None:
            values = resize_nearest(results[name], size)
            results[name] = values * factors[name] if name in factors else values


def room_for(results: dict[str, Any], size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns that the images have more than ``size``.

    Raises:
        DataError: they have fewer.
    """
    shape = results["left"].shape[:2]
    if shape[0] < size[0] or shape[1] < size[1]:
        raise DataError(
            f"{results.get('left_path', 'the left image')} is {shape[1]} x {shape[0]} pixels here, less than "
            f"the crop of {size[1]} x {size[0]}: put PadStereo or ResizeStereo before it, or crop less"
        )
    return shape[0] - size[0], shape[1] - size[1]


def _require_movable(results: dict[str, Any], truth: bool = True) -> None:
    name = results.get("left_path", "the pair")
    if "left_pyramid" in results:
        raise DataError(f"{name}: pixels cannot move after StereoColorJitter(levels=...); put it last")
    shape = results["left"].shape[:2]
    for key in EMPTY if truth else ():
        if results.get(key) is not None and results[key].shape[:2] != shape:
            raise DataError(
                f"{name}: {key} is {results[key].shape[1]} x {results[key].shape[0]} pixels, but the images "
                f"are {shape[1]} x {shape[0]} here, and cannot move along (double='subsample' in LoadStereo, "
                "keep_truth=False in ResizeStereo)"
            )


def _size(size: tuple[int, int]) -> tuple[int, int]:
    height, width = (int(side) for side in size)
    if height < 1 or width < 1:
        raise ConfigError(f"size is height and width in pixels, not {size!r}")
    return height, width


def _done(results: dict[str, Any]) -> dict[str, Any]:
    results["img_shape"] = results["left"].shape[:2]
    return results
