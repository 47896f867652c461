"""Maps of class labels in image files: read as wide as they are, and checked against the classes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image, UnidentifiedImageError

from dense3d.errors import DataError
from dense3d.image_files import open_image

CORRECT = "correct the class list or the labels"
VOID = 255  # label of pixels that no class is known of, in mmseg, mmdet and here
MOST = 65535  # labels have 16 bits at most
_MODES = ("1", "L", "P", "I", "I;16", "I;16L", "I;16B", "I;16N")
_SPREAD = {"L;2": 85, "L;4": 17}  # Pillow spreads grey values of 2 and 4 bits over 0 .. 255
_ORIENTATION = 0x0112
_RESTORE = "replace the file or download it again"


class LabelMapError(DataError):
    """A label map cannot be used; the scan reports the same as a fault.

    Args:
        path: the file.
        rule: that it breaks, as the scan names it.
        value: what was seen.
        remedy: what to do about it.
    """

    def __init__(self, path: str, rule: str, value: str, remedy: str) -> None:
        super().__init__(f"{path}: {value} ({rule}); {remedy}")
        self.path, self.rule, self.value, self.remedy = path, rule, value, remedy


def read_label_map(content: bytes, path: str) -> np.ndarray:
    """The numbers that a label map holds: of a palette its indices, of 1, 2, 4, 8 and 16 bits as they are.

    Args:
        content: of the file; a PNG, TIFF or another format with one channel.
        path: for messages.

    Returns:
        ``(H, W)`` uint8, or uint16 where the file has more bits than eight.

    Raises:
        LabelMapError: the file is damaged, has several channels, an alpha channel, fractions or several
            pages, or a number that is no label; the message says how to make it a map of labels.
    """
    if not content:
        raise LabelMapError(path, "zero-bytes", "the file has zero bytes", _RESTORE)
    try:
        with open_image(io.BytesIO(content)) as image:
            if image.mode not in _MODES:
                raise LabelMapError(path, "label-format", *_wrong_mode(image.mode))
            if getattr(image, "n_frames", 1) > 1:
                value = f"the label map has {image.n_frames} pages"
                raise LabelMapError(path, "label-format", value, "save the one that counts")
            spread = _SPREAD.get(_raw_mode(image), 1)
            numbers = np.asarray(image)
            turn = 1 if image.format == "TIFF" else image.getexif().get(_ORIENTATION, 1)
    except UnidentifiedImageError:
        value = f"no image format begins with {content[:8]!r}"
        raise LabelMapError(path, "not-an-image", value, _RESTORE) from None
    except LabelMapError:
        raise
    except Exception as error:  # decoders raise what they like
        value = f"{error or type(error).__name__} (the file has {len(content)} bytes)"
        raise LabelMapError(path, "truncated", value, _RESTORE) from None
    if turn not in (0, 1):
        value = f"the label map has the EXIF orientation {turn}, which loaders of labels do not apply"
        raise LabelMapError(path, "label-format", value, "turn its pixels and save it without EXIF data")
    return _narrowed(numbers, path) // np.uint8(spread)


def _narrowed(numbers: np.ndarray, path: str) -> np.ndarray:
    if numbers.dtype.itemsize == 1:
        return numbers.astype(np.uint8)
    if numbers.size and (numbers.min() < 0 or numbers.max() > MOST):
        worst = numbers.min() if numbers.min() < 0 else numbers.max()
        value = f"the label map holds {worst}, and labels are 0 .. {MOST}"
        raise LabelMapError(path, "label-range", value, "correct the labels")
    return numbers.astype(np.uint16)


def _raw_mode(image: Image.Image) -> str:
    """How the file's decoder unpacks pixels, for instance ``"L;4"``."""
    args = image.tile[0][3] if image.tile else ""
    return args if isinstance(args, str) else str(args[0]) if args else ""


def _wrong_mode(mode: str) -> tuple[str, str]:
    """What is wrong with it, and the remedy."""
    if mode == "F":
        return "the label map holds fractions (32-bit floats)", "save labels as integers of 8 or 16 bits"
    kinds = {"LA": "grey and alpha", "PA": "palette and alpha", "RGBA": "colours and alpha"}
    bands, kind = Image.getmodebands(mode), kinds.get(mode, "colours")
    value = f"the label map has {bands} channels ({mode}, {kind}), not one of class numbers"
    return value, "convert the colours to class numbers"


@dataclass(frozen=True)
class LabelRules:
    """From the numbers in a data set's files to the labels that a model is trained with.

    Args:
        classes: names of the classes; None where they are not known, and then nothing is refused.
        void: label of ignored pixels.
        ignored: further numbers that are ignored, such as the data set's own ``ignore_index``.
        reduce_zero: number 0 means unlabelled and the classes count from 1, as in ADE20K.
        label_map: numbers of all classes of the data set, after that, to the labels of those that are
            learned; as mmseg makes it for a part of the classes.
    """

    classes: Sequence[str] | None = None
    void: int = VOID
    ignored: tuple[int, ...] = ()
    reduce_zero: bool = False
    label_map: Mapping[int, int] | None = None

    @cached_property
    def table(self) -> np.ndarray:
        """``(65536,)`` label of each number, -1 of those that stand for no class."""
        table = np.arange(MOST + 1, dtype=np.int32)
        if self.reduce_zero:
            table -= 1
        known = len(self.label_map) if self.label_map else len(self.classes or ()) or MOST + 1
        is_class = (table >= 0) & (table < known)
        if self.label_map:
            originals = table.copy()
            for number, label in self.label_map.items():
                table[originals == number] = label
        table[~is_class] = -1
        if self.reduce_zero:
            table[0] = self.void
        for number in {self.void, *self.ignored} & set(range(MOST + 1)):
            table[number] = number
        return table

    def labels(self, numbers: np.ndarray, path: str) -> np.ndarray:
        """Labels of a map of numbers ``(H, W)``; uint8, or uint16 where a label needs it.

        Raises:
            LabelMapError: a number is no class; names the file, the numbers and how many classes there are.
        """
        counts = np.bincount(numbers.ravel(), minlength=1)
        present = np.flatnonzero(counts)
        self.refuse_strays(present, path)
        labels = self.table[: len(counts)]
        wide = labels[present].max(initial=0) > 255
        return labels.astype(np.uint16 if wide else np.uint8)[numbers]

    def refuse_strays(self, numbers: np.ndarray, path: str) -> None:
        """Stop if one of the numbers of a file stands for no class.

        Raises:
            LabelMapError: see :meth:`labels`.
        """
        stray = numbers[self.table[numbers] < 0]
        if len(stray):
            raise LabelMapError(path, "label-range", self.why_stray(stray), CORRECT)

    def why_stray(self, stray: np.ndarray) -> str:
        """A clause on numbers that stand for no class."""
        names = list(self.classes or ())
        first = int(self.reduce_zero)
        last = (len(self.label_map) if self.label_map else len(names)) - 1 + first
        few = ", ".join(map(str, names[:3])) + (", ..." if names[3:] else "")
        shown = ", ".join(map(str, stray[:8].tolist())) + (", ..." if len(stray) > 8 else "")
        ignored = " and ".join(map(str, sorted({self.void, *self.ignored})))
        return (
            f"labels {shown} are no class: the classes ({few}, {len(names)} in all) have the labels {first} "
            f".. {last}, and {ignored} is ignored"
        )
