"""Where the images of classified data sets lie, for ``dense3d check-data``: a folder a class and split."""

from __future__ import annotations

from pathlib import Path

from dense3d.datasets.image_folder import images_below
from dense3d.datasets.layout_parts import LayoutPart
from dense3d.datasets.scan.report import Fault
from dense3d.errors import did_you_mean

SPLITS = ("train", "val")
_REMEDY = "put the images of each class into a folder that is named after it"
CLASS_LAYOUTS: dict[str, list[LayoutPart]] = {
    "class_folders": [LayoutPart(split, "*/*", None, remedy=_REMEDY) for split in SPLITS],
    "imagenet": [
        LayoutPart("train", "*/*", 1281167, needed_for="training"),
        LayoutPart(
            "val", "*/*", 50000, remedy="its archive is flat: sort the images into folders of classes"
        ),
    ],
}


def class_folder_faults(root: Path) -> tuple[list[Fault], list[Fault]]:
    """What is wrong with the folders of the classes of ``train`` and ``val``: faults, and notes.

    Args:
        root: folder of the data set.
    """
    faults, notes, counts = [], [], {}
    for split in (split for split in SPLITS if (root / split).is_dir()):
        folders = [path for path in (root / split).iterdir() if path.is_dir() and path.name[0] != "."]
        counts[split] = {path.name: len(images_below(path)) for path in sorted(folders)}
        empty = [name for name, count in counts[split].items() if not count]
        if empty:
            value = f"{len(empty)} of {len(folders)} classes have no image: {_few(empty)}"
            notes.append(Fault("class-empty", str(root / split), value))
        flat = [
            path for path in (root / split).iterdir() if path.is_file() and path.suffix in (".jpg", ".png")
        ]
        if flat:
            value = f"{len(flat)} images lie outside of the classes' folders, such as {flat[0].name}"
            faults.append(Fault("image-without-class", str(root / split), value, remedy=_REMEDY))
    if len(counts) == len(SPLITS):
        train, val = (set(counts[split]) for split in SPLITS)
        if strange := sorted(val - train):
            value = (
                f"{len(strange)} classes are not in train: {_few(strange)}{did_you_mean(strange[0], train)}"
            )
            faults.append(Fault("class-unknown", str(root / "val"), value, remedy="rename or remove them"))
        if absent := sorted(train - val):
            value = f"{len(absent)} classes of train are not here: {_few(absent)}"
            remedy = "give val_dataloader.dataset.classes a list of all classes, or labels would be others"
            faults.append(Fault("class-missing", str(root / "val"), value, remedy=remedy))
    return faults, notes


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
