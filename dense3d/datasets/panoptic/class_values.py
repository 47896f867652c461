"""Maps of classes in PNG files: which number stands for which category."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from dense3d.datasets.label_maps import LabelMapError, read_label_map
from dense3d.datasets.panoptic.conversion import IGNORED
from dense3d.errors import ConfigError, DataError
from dense3d.files import atomic_write

Values = Literal["categories", "labels"]


@dataclass(frozen=True)
class ClassValues:
    """Numbers of 8 bits for the classes of a map.

    Args:
        of_category: category id -> number.
        void: number of pixels without a class.
    """

    of_category: dict[int, int]
    void: int

    @classmethod
    def of(cls, categories: Iterable[dict[str, Any]], values: Values, where: str | Path) -> ClassValues:
        """Numbers of a data set's categories.

        Args:
            categories: with ``id``, in the file's order.
            values: ``"categories"``, their ids, and 0 without a class, as panopticapi writes them; or
                ``"labels"``, positions in the list, and 255 without a class, as segmenters are trained.
            where: file of the categories, for the message.

        Raises:
            DataError: the numbers do not fit into 8 bits, or a category has the number of void.
            ConfigError: ``values`` is something else.
        """
        numbers = [category["id"] for category in categories]
        if values == "labels":
            if len(numbers) > IGNORED:
                raise DataError(f"{where}: {len(numbers)} categories; maps of 8 bits have 255 labels at most")
            return cls({number: label for label, number in enumerate(numbers)}, IGNORED)
        if values != "categories":
            raise ConfigError(f"values={values!r} is neither 'categories' nor 'labels'")
        beyond = [number for number in numbers if not 0 < number <= 255]
        if beyond:
            raise DataError(
                f"{where}: the category id {beyond[0]} cannot stand in a map of 8 bits, in which 0 is void; "
                "number the classes by their position in the list (values 'labels')"
            )
        return cls({number: number for number in numbers}, 0)


def read_class_map(path: str | Path, values: ClassValues, size: tuple[int, int]) -> np.ndarray:
    """Read a PNG of class numbers.

    Args:
        path: the file; with a palette, its numbers count and not its colours.
        values: the numbers it may have.
        size: height and width that it must have.

    Returns:
        ``(H, W)`` numbers.

    Raises:
        DataError: the file is missing, no whole image, has colours, another size or numbers of no class.
    """
    try:
        numbers = read_label_map(Path(path).read_bytes(), str(path))
    except OSError:
        raise DataError(
            f"{path}: the map of classes does not exist; correct the folder, or add a map for the image"
        ) from None
    except LabelMapError as error:
        if error.rule in ("label-format", "label-range"):
            value = error.value.replace("label map", "map of classes")
            raise DataError(f"{path}: {value}; {error.remedy}") from None
        raise DataError(f"{path}: not a readable PNG ({error.value}); restore or make it again") from None
    if numbers.shape != size:
        raise DataError(
            f"{path}: {numbers.shape[1]} x {numbers.shape[0]} pixels, but its image has {size[1]} x "
            f"{size[0]}; pair each image with its own map"
        )
    known = {values.void, *values.of_category.values()}
    stray = [number for number in np.unique(numbers).tolist() if number not in known]
    if stray:
        raise DataError(
            f"{path}: the map has the number {stray[0]}, which stands for no category (void is "
            f"{values.void}); say whether numbers are ids of categories or labels (values), or correct the "
            "list of categories"
        )
    return numbers


def write_class_map(path: str | Path, numbers: np.ndarray) -> None:
    """Write class numbers ``(H, W)`` of 8 bits as a PNG, whole or not at all."""
    _, encoded = cv2.imencode(".png", np.ascontiguousarray(numbers, dtype=np.uint8))
    with atomic_write(path) as file:
        file.write(encoded.tobytes())
