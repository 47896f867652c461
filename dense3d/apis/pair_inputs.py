"""What a network that matches two images takes: files, folders, globs, videos, arrays, or lists of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image

from dense3d.apis.inputs import ImageInput, as_inputs, is_single
from dense3d.datasets.stereo.partners import partner_fault
from dense3d.datasets.stereo.pictures import read_picture
from dense3d.errors import DataError
from dense3d.files import is_file

VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")


@dataclass(frozen=True)
class PairInput:
    """One pair.

    Attributes:
        left, right: the images.
        name: for people and file names: of the left file, or the frame's number.
    """

    left: ImageInput
    right: ImageInput
    name: str

    def pixels(self, of_one_size: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """Both images ``(H, W, 3)`` RGB uint8.

        Args:
            of_one_size: whether they have to be, as rectified pairs are.

        Raises:
            DataError: one cannot be read, or they differ in size.
        """
        pair = tuple(_pixels(image) for image in (self.left, self.right))
        if of_one_size and pair[0].shape != pair[1].shape:
            sizes = " and ".join(f"{image.shape[1]} x {image.shape[0]}" for image in pair)
            raise DataError(
                f"{self.left.name} and {self.right.name} differ in size ({sizes}): no rectified pair"
            )
        return pair


def _pixels(image: ImageInput) -> np.ndarray:
    if image.fault is not None:
        raise DataError(image.fault)
    return read_picture(image.path) if image.path is not None else image.pixels()


def is_one_pair(left: Any, right: Any) -> bool:
    """Whether both are single images, and no videos."""
    return is_single(left) and is_single(right) and not is_video(left)


def is_video(place: Any) -> bool:
    """Whether a path is a video file, by its suffix."""
    return isinstance(place, (str, Path)) and Path(place).suffix.lower() in VIDEO_SUFFIXES and is_file(place)


def as_pairs(left: Any, right: Any, by_name: bool = True) -> Iterator[PairInput]:
    """Pairs of the images on both sides, in their order; of two videos, frame by frame.

    Args:
        left, right: see :func:`dense3d.apis.inputs.as_inputs`; or two video files.
        by_name: whether names tell what belongs together, as those of two cameras' files do, and those of
            consecutive frames do not.

    Raises:
        DataError: a side names no image, there are not as many on the right as on the left, names speak
            against that order (:func:`~dense3d.datasets.stereo.partners.partner_fault`), or one side alone
            is a video.
    """
    if is_video(left) != is_video(right):
        raise DataError(f"{left} and {right}: only one of the two is a video")
    if is_video(left):
        return _frames(Path(left), Path(right))
    sides = [as_inputs(side) for side in (left, right)]
    fault = _fault_of_names(sides) if by_name else None
    if len(sides[0]) != len(sides[1]) or fault:
        counts = f"there are {len(sides[0])} left and {len(sides[1])} right images"
        if fault:
            raise DataError(f"{counts} in {_place(left)} and {_place(right)}: {fault}")
        raise DataError(f"{counts}: pairs are made in the order of the names, so that each needs its partner")
    return (
        PairInput(one, other, Path(one.name).name if one.path else f"pair-{number}")
        for number, (one, other) in enumerate(zip(*sides))
    )


def _fault_of_names(sides: Sequence[Sequence[ImageInput]]) -> str | None:
    if not all(image.path for side in sides for image in side):
        return None
    return partner_fault(*([image.path for image in side] for side in sides))


def _place(side: Any) -> str:
    return str(side) if isinstance(side, (str, Path)) else "a list"


def _frames(left: Path, right: Path) -> Iterator[PairInput]:
    captures = [cv2.VideoCapture(str(path)) for path in (left, right)]
    for path, capture in zip((left, right), captures):
        if not capture.isOpened():
            raise DataError(f"{path} is no video that OpenCV can read: convert it, or give folders of images")

    def frames() -> Iterator[PairInput]:
        number = 0
        try:
            while True:
                pair = [capture.read() for capture in captures]
                there = [found for found, _ in pair]
                if not all(there):
                    if number == 0:
                        raise DataError(f"{left} and {right} hold no frame that OpenCV can read")
                    if any(there):
                        yield _unfinished((left, right), there.index(False), number)
                    return
                images = [np.ascontiguousarray(image[..., ::-1]) for _, image in pair]
                sides = [
                    ImageInput(f"{path}, frame {number}", content=image)
                    for path, image in zip((left, right), images)
                ]
                yield PairInput(sides[0], sides[1], f"{number:06d}")
                number += 1
        finally:
            for capture in captures:
                capture.release()

    return frames()


def _unfinished(videos: tuple[Path, Path], shorter: int, number: int) -> PairInput:
    """In place of the frames of one video that the other one has no partner for."""
    fault = (
        f"{videos[shorter]} ends after {number} frames, or cannot be read further, but {videos[1 - shorter]} "
        "goes on: its further frames have no partner"
    )
    sides = [ImageInput(f"{path}, frame {number}", fault=fault) for path in videos]
    return PairInput(sides[0], sides[1], f"{number:06d}")


Images = str | Path | np.ndarray | torch.Tensor | Image.Image
