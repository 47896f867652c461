"""What a predictor takes: image files, folders, globs, arrays, PIL images, tensors, or lists of them."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps

from dense3d.datasets.image_folder import images_below
from dense3d.errors import DataError

# Modes of PIL in which RGB values are not lost by a conversion.
CONVERTIBLE = {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "LAB"}


@dataclass(frozen=True)
class ImageInput:
    """One image.

    Attributes:
        name: its path, or its place among the inputs.
        path: the file, or None.
        content: array, PIL image or tensor, or None for a file.
        fault: why it cannot be an image, where that is known before anything is read.
    """

    name: str
    path: Path | None = None
    content: Any = None
    fault: str | None = None

    def pixels(self) -> np.ndarray:
        """The content as ``(H, W, 3)`` RGB uint8.

        Raises:
            DataError: it is no image; the message names it.
        """
        try:
            return as_rgb(self.content)
        except DataError as error:
            raise DataError(f"{self.name}: {error}") from None


def is_single(inputs: Any) -> bool:
    """Whether the inputs are one image: a file's path, an array, a PIL image, or one tensor."""
    if isinstance(inputs, (str, Path)):
        return os.path.isfile(inputs)  # noqa: PTH113 - unlike Path's, for names that are too long as well
    return isinstance(inputs, (np.ndarray, torch.Tensor, Image.Image))


def as_inputs(inputs: Any) -> list[ImageInput]:
    """All images that are named or given, files in the order of their names within a folder or glob.

    Args:
        inputs: a path, folder (searched recursively) or glob; an array, PIL image or tensor, see
            :func:`as_rgb`; or an iterable of them. Of several inputs, one that is there but no image, such as
            a link to nowhere or a folder without images, is an :class:`ImageInput` with a ``fault``.

    Raises:
        DataError: something is none of these, names nothing that is there, or no image is left.
    """
    if isinstance(inputs, (str, Path, np.ndarray, torch.Tensor, Image.Image)):
        inputs = [inputs]
    elif not isinstance(inputs, Iterable):
        raise DataError(_refused(inputs))
    images = [image for number, item in enumerate(inputs) for image in _expanded(item, number)]
    if not images:
        raise DataError("there is no input: give image files, a folder of them, arrays or PIL images")
    if all(image.fault for image in images):
        raise DataError(images[0].fault)
    return images


def each_once(images: Iterable[ImageInput]) -> list[ImageInput]:
    """The images without those whose file came before."""
    seen: set[Path] = set()
    kept = []
    for image in images:
        if image.path is None or image.path not in seen:
            kept.append(image)
            seen.add(image.path)
    return kept


def as_rgb(image: np.ndarray | torch.Tensor | Image.Image) -> np.ndarray:
    """Pixels ``(H, W, 3)`` RGB uint8.

    Args:
        image: an array of type uint8 whose channels, if it has three, are **red, green, blue** (OpenCV's
            ``imread`` gives blue, green, red: turn them with ``image[..., ::-1]``), ``(H, W, 3)``,
            ``(H, W, 4)`` with alpha, ``(H, W)`` or ``(H, W, 1)`` grey; a tensor with the channels first,
            ``(3, H, W)``, uint8 or, as torchvision has it, floats 0 .. 1; a PIL image, which is turned as its
            EXIF data ask for. Alpha is dropped, as it is from files.

    Raises:
        DataError: another type, shape or range.

    Example:
        >>> as_rgb(np.zeros((4, 6), np.uint8)).shape, as_rgb(torch.ones(3, 4, 6))[0, 0].tolist()
        ((4, 6, 3), [255, 255, 255])
    """
    if isinstance(image, Image.Image):
        if image.mode not in CONVERTIBLE:
            raise DataError(f"a PIL image of mode {image.mode!r} has no 8-bit colours: convert it to 'RGB'")
        try:
            return np.array(ImageOps.exif_transpose(image).convert("RGB"))
        except (OSError, SyntaxError, ValueError) as error:  # PIL reads the pixels only now
            raise DataError(f"the PIL image cannot be read ({error})") from error
    if isinstance(image, torch.Tensor):
        image = _array_of(image)
    if not isinstance(image, np.ndarray):
        raise DataError(_refused(image))
    if image.dtype != np.uint8:
        raise DataError(f"an array of {image.dtype} may mean anything: give uint8 with 0 .. 255, RGB")
    if image.ndim == 4:
        raise DataError(f"an array of shape {image.shape} is several images: give list(images)")
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4) or 0 in image.shape:
        raise DataError(f"an array of shape {image.shape} is no image: give (H, W, 3), RGB")
    channels = image[..., :3] if image.shape[2] > 1 else np.repeat(image, 3, axis=2)
    return np.ascontiguousarray(channels)


def _expanded(item: Any, number: int) -> Iterator[ImageInput]:
    if isinstance(item, (str, Path)):
        yield from _files(item)
    elif isinstance(item, ImageInput):
        yield item
    elif isinstance(item, (np.ndarray, torch.Tensor, Image.Image)):
        yield ImageInput(f"image-{number}", content=item)
    else:
        raise DataError(f"input {number}: {_refused(item)}")


def _files(item: str | Path) -> list[ImageInput]:
    path, name = Path(item), str(item)
    if os.path.isdir(path):  # noqa: PTH112 - unlike Path's, for names that are too long as well
        matches = images_below(path)
    elif os.path.lexists(path):
        matches = [path]
    elif "://" in name:
        raise DataError(f"{item} is an address: download the image and give the file")
    else:
        # glob.glob gives links to nowhere too; they are told of, and folders are not meant by a pattern.
        found = sorted(glob.glob(name, recursive=True))  # noqa: PTH207
        matches = [Path(file) for file in found if not os.path.isdir(file)]  # noqa: PTH112
    if matches:
        return [ImageInput(str(path), path) for path in matches]
    sentence = f"{item} names no image: give image files, a folder of them, or a glob in quotes"
    if not os.path.isdir(path):  # noqa: PTH112
        raise DataError(sentence)
    return [ImageInput(name, path, fault=sentence)]


def _array_of(tensor: torch.Tensor) -> np.ndarray:
    """``(H, W, C)`` of a tensor ``(C, H, W)`` or ``(H, W)``."""
    if tensor.dim() == 4:
        raise DataError(f"a tensor of shape {tuple(tensor.shape)} is several images: give list(images)")
    if tensor.dim() == 3 and tensor.shape[0] not in (1, 3, 4):
        raise DataError(f"a tensor of shape {tuple(tensor.shape)} is no image: give (3, H, W), RGB")
    tensor = tensor.detach().cpu()
    if tensor.is_floating_point():
        low, high = (tensor.min().item(), tensor.max().item()) if tensor.numel() else (0.0, 0.0)
        if not (low >= 0 and high <= 1):  # also where it is not a number
            raise DataError(f"a tensor of floats from {low:g} to {high:g} is no image: give 0 .. 1, or uint8")
        tensor = (tensor.float() * 255).round().to(torch.uint8)
    array = tensor.numpy()
    return array.transpose(1, 2, 0) if array.ndim == 3 else array


def _refused(item: Any) -> str:
    return (
        f"a {type(item).__name__} is no image: give a path, a folder, a glob, an array (H, W, 3) in RGB, "
        "a PIL image, a tensor (3, H, W), or a list of them"
    )
