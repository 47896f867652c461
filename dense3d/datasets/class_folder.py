"""Images with a class each: a folder a class, as ImageNet and what torchvision's ``ImageFolder`` reads."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from dense3d.datasets.image_folder import images_below
from dense3d.datasets.scan.coco_file import describe_absent
from dense3d.datasets.scan.report import Fault
from dense3d.datasets.strict import StrictSamples
from dense3d.errors import DataError, did_you_mean
from dense3d.files import is_file, is_folder
from dense3d.image_files import IMAGE_SUFFIXES
from dense3d.registry import DATASETS

IMAGENET = "imagenet-1k"  # the 1000 classes of ILSVRC 2012, by WordNet's numbers in timm
Classes = str | os.PathLike | Sequence[str] | None


@DATASETS.register_module()
class ClassFolder(StrictSamples, BaseDataset):
    """Images in folders that are named after their classes: ``ROOT/CLASS/**/IMAGE``.

    Args:
        data_root: the folder with a folder for each class.
        classes: names of the classes, in the order of their labels, or a text file with one a line, or
            ``"imagenet-1k"``; ``metainfo=dict(classes=...)`` does the same. By default the folders in
            alphabetical order. A class whose folder is missing or empty is logged and counted; a folder that
            is no class is refused.
        indices: the first so many images, or these.
        pipeline: transforms; they start from ``img_path`` and ``gt_label``.
        *args, **kwargs: as for mmengine's ``BaseDataset`` and :class:`dense3d.datasets.strict.StrictSamples`.

    Attributes:
        class_counts: images of each class, known once the list is loaded.

    Raises:
        DataError: there is no such folder or no folder in it, a single class, a folder that is no class, or
            no image at all.
    """

    def __init__(self, *args: Any, classes: Classes = None, **kwargs: Any) -> None:
        named = (kwargs.get("metainfo") or {}).get("classes")
        self.given_classes = named if classes is None else classes
        self.class_counts: dict[str, int] = {}
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        """The files class by class, in the order of their paths."""
        root = Path(self.data_root or "")
        names = read_classes(root, self.given_classes)
        samples = [
            dict(img_path=str(path), gt_label=label)
            for label, name in enumerate(names)
            for path in (images_below(root / name) if (root / name).is_dir() else ())
        ]
        if not samples:
            raise DataError(f"{root}: none of its {len(names)} classes has an image ({_suffixes()})")
        counts = Counter(sample["gt_label"] for sample in samples)
        self.class_counts = {name: counts[label] for label, name in enumerate(names)}
        empty = [name for name, count in self.class_counts.items() if not count]
        if empty:
            print_log(f"{root}: {len(empty)} of {len(names)} classes have no image: {_few(empty)}", "current")
        self._metainfo["classes"] = names
        return [sample | {"img_id": number} for number, sample in enumerate(samples)]

    def notes_on(self, samples: Sequence[dict[str, Any]], pipeline: Sequence[Any]) -> list[Fault]:
        """A note on classes without an image, for the scan before training.

        Args:
            samples, pipeline: of the data set.
        """
        empty = [name for name, count in self.class_counts.items() if not count]
        if not empty:
            return []
        value = f"{len(empty)} of {len(self.class_counts)} classes have no image: {_few(empty)}"
        return [Fault("class-empty", str(self.data_root), value)]

    @classmethod
    def classes_of_settings(cls, settings: Mapping[str, Any]) -> tuple[str, ...] | None:
        """Classes of a config of this data set; None where the folder is not here, or is faulty."""
        try:
            named = settings.get("classes", (settings.get("metainfo") or {}).get("classes"))
            return read_classes(Path(settings.get("data_root") or ""), named)
        except DataError:
            return None


def read_classes(root: Path, classes: Classes = None) -> tuple[str, ...]:
    """Names of the classes of a folder, by label.

    Args:
        root: the folder with a folder for each class.
        classes: see :class:`ClassFolder`.

    Raises:
        DataError: see :class:`ClassFolder`.
    """
    if not is_folder(root):
        raise DataError(
            f"{root}: {describe_absent(root)}; set data_root to the folder that has a folder for each class"
        )
    folders = sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not folders:
        raise DataError(
            f"{root} has no folders: put the images of each class into a folder that is named after the class"
        )
    names = tuple(folders) if classes is None else listed_classes(classes)
    if len(names) < 2:
        raise DataError(f"{root} has one class, {names[0]!r}: a classifier tells two or more apart")
    strange = [name for name in folders if name not in set(names)]
    if strange:
        hint = did_you_mean(strange[0], names)
        raise DataError(
            f"{root}: {len(strange)} folders are none of the {len(names)} listed classes, such as "
            f"{strange[0]!r}{hint}; rename or remove them, or correct the list"
        )
    return names


def listed_classes(classes: str | os.PathLike | Sequence[str]) -> tuple[str, ...]:
    """Names that are given as such, by a file with one a line, or as ``"imagenet-1k"``.

    Raises:
        DataError: the file cannot be read, or a name stands there twice or not at all.

    Example:
        >>> listed_classes(["cat", "dog"]), len(listed_classes("imagenet-1k"))
        (('cat', 'dog'), 1000)
    """
    if classes == IMAGENET:
        from timm.data import ImageNetInfo

        return tuple(ImageNetInfo(IMAGENET).label_names())
    source = "classes"
    if isinstance(classes, (str, os.PathLike)):
        source = str(classes)
        if not is_file(classes):
            raise DataError(f"the class list {source} does not exist: give a text file with a class a line")
        try:
            lines = Path(classes).read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError:
            raise DataError(f"the class list {source} is no text in UTF-8") from None
        classes = [line.strip() for line in lines if line.strip()]
    names = tuple(str(name) for name in classes)
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice or not names:
        what = f"names {twice[0]!r} twice" if twice else "names no class"
        raise DataError(f"{source} {what}: give each class once, in the order of the labels")
    return names


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _suffixes() -> str:
    return ", ".join(IMAGE_SUFFIXES)
