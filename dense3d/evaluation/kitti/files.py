"""Label and result folders, paired frame by frame: a frame without its partner stops the evaluation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dense3d.datasets.kitti.frames import list_frames, read_image_set
from dense3d.datasets.kitti.objects import KittiObjects, read_objects
from dense3d.errors import DataError

INNER = ("data", "results", "predictions")


@dataclass(frozen=True, eq=False)
class FramePairs:
    """Labels and results of the same frames in the same order."""

    frames: list[str]
    labels: list[KittiObjects]
    results: list[KittiObjects]


def read_pair(
    label_folder: str | Path,
    result_folder: str | Path,
    image_set: str | Path | None = None,
    extra_classes: Iterable[str] = (),
) -> FramePairs:
    """Read the labels and results of all frames.

    Args:
        label_folder: ``training/label_2`` or a folder that holds it.
        result_folder: one ``<frame>.txt`` a frame, empty for a frame without detections; or a folder whose
            subfolder holds them: ``data``, as the devkit has it, ``results`` of ``dense3d infer --out``, or
            ``predictions`` of ``dense3d test --out``.
        image_set: list of the frames to evaluate; without it those of both folders, which must be the same.
        extra_classes: types beside KITTI's own that are known.

    Raises:
        DataError: a folder is missing or empty, a frame has a result and no label or a label and no result,
            or a file is faulty.
    """
    label_folder, result_folder = _label_folder(Path(label_folder)), _result_folder(Path(result_folder))
    labelled, given = (list_frames(folder, any_names=True) for folder in (label_folder, result_folder))
    if not labelled:
        raise DataError(f"{label_folder} holds no label file; expected one file a frame, such as 000042.txt")
    if not given:
        raise DataError(
            f"{result_folder} holds no result file; expected one file a frame, such as 000042.txt, empty "
            "without detections"
        )
    wanted = read_image_set(image_set, any_names=True) if image_set else labelled
    _check_present(wanted, labelled, label_folder, "label", image_set)
    _check_present(given, labelled, label_folder, "label", None)
    _check_present(wanted, given, result_folder, "result", image_set)
    if image_set is not None:
        _check_unlisted(given, wanted, result_folder, image_set)
    extra = tuple(extra_classes)
    labels = [read_objects(label_folder / f"{frame}.txt", False, extra) for frame in wanted]
    results = [read_objects(result_folder / f"{frame}.txt", True, extra) for frame in wanted]
    return FramePairs(wanted, labels, results)


def _label_folder(folder: Path) -> Path:
    for inner in ("label_2", "training/label_2"):
        if (folder / inner).is_dir():
            return folder / inner
    return folder


def _result_folder(folder: Path) -> Path:
    """The folder of the files themselves: as given, or one that the devkit, infer or test put below it."""
    inner = [folder / name for name in INNER if (folder / name).is_dir()]
    inner = [place for place in inner if place.name == "data" or any(place.glob("*.txt"))]
    holding = [folder, *inner] if any(folder.glob("*.txt")) else inner
    if len(holding) > 1:
        where = " and ".join(f"a folder {place.name!r}" for place in inner)
        own = "result files and " if holding[0] == folder else ""
        beside = " beside them" if own else ""
        raise DataError(f"{folder} holds {own}{where}{beside}; name the one to evaluate")
    return holding[0] if holding else folder


def _check_present(
    frames: list[str], present: list[str], folder: Path, kind: str, image_set: str | Path | None
) -> None:
    absent = sorted(set(frames) - set(present))
    if not absent:
        return
    first = folder / f"{absent[0]}.txt"
    if kind == "label":
        source = f"which {image_set} lists" if image_set else "which has a result"
        raise DataError(f"{first}: no label for frame {absent[0]}, {source} ({len(absent)} such frames)")
    remedy = "a frame without detections needs an empty file"
    if image_set is None:
        remedy += ", and a split is evaluated with --split ImageSets/val.txt"
    raise DataError(
        f"{first}: no result for frame {absent[0]} ({len(absent)} of {len(frames)} frames lack one); {remedy}"
    )


def _check_unlisted(given: list[str], wanted: list[str], folder: Path, image_set: str | Path) -> None:
    unlisted = sorted(set(given) - set(wanted))
    if unlisted:
        raise DataError(
            f"{folder / unlisted[0]}.txt: frame {unlisted[0]} is not in {image_set} "
            f"({len(unlisted)} such results); choose the split that was predicted"
        )
