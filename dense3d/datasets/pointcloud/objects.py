"""ShapeNet-55, ModelNet40, its few-shot folds, and ScanObjectNN, in the layouts that Point-MAE reads."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from dense3d.datasets.pointcloud.base import LAYOUT, PointCloudDataset, choice, read_lines
from dense3d.datasets.pointcloud.loading import Arrays, columns_of, reader
from dense3d.errors import ConfigError, DataError
from dense3d.files import is_file, is_folder
from dense3d.optional import require
from dense3d.pickles import load_plain
from dense3d.registry import DATASETS

SCAN_OBJECT_CLASSES = (
    "bag", "bin", "box", "cabinet", "chair", "desk", "display", "door", "shelf", "table", "bed", "pillow",
    "sink", "sofa", "toilet",
)  # fmt: skip
# variant -> folder, and what follows "training" or "test" in the names of its files
SCAN_OBJECT_FILES = {
    "OBJ_BG": ("main_split", "_objectdataset.h5"),
    "OBJ_ONLY": ("main_split_nobg", "_objectdataset.h5"),
    "PB_T50_RS": ("main_split", "_objectdataset_augmentedrot_scale75.h5"),
}


@DATASETS.register_module()
class ShapeNet55(PointCloudDataset):
    """``ShapeNet-55/{train,test}.txt`` and ``shapenet_pc/<synset>-<model>.npy``, 8192 points each, y up.

    Args:
        data_root: folder of both.
        split: ``"train"``, which Point-MAE's pre-training takes, ``"test"``, or ``"all"`` of both.
        lists: folder of the lists; ``ShapeNet-34`` has fewer classes.
        **kwargs: of :class:`~dense3d.datasets.pointcloud.base.PointCloudDataset`.
    """

    def __init__(
        self, data_root: str = "", split: str = "train", lists: str = "ShapeNet-55", **kwargs: Any
    ) -> None:
        self.split = choice("split", split, ("train", "test", "all"))
        self.lists = lists
        super().__init__(data_root=data_root, **kwargs)

    def records(self) -> Iterator[dict[str, Any]]:
        """The shapes in the order of the list; ``gt_label`` counts the synsets of the lists."""
        splits = ("train", "test") if self.split == "all" else (self.split,)
        names = {split: read_lines(self.root / self.lists / f"{split}.txt") for split in splits}
        if self.split != "all":
            other = self.root / self.lists / f"{'test' if self.split == 'train' else 'train'}.txt"
            names["other"] = read_lines(other) if is_file(other) else []
        synsets = sorted({name.partition("-")[0] for lines in names.values() for name in lines})
        numbers = {synset: label for label, synset in enumerate(synsets)}
        for split in splits:
            for name in names[split]:
                path = self.root / "shapenet_pc" / name
                label = numbers[name.partition("-")[0]]
                yield dict(sample_id=Path(name).stem, reader="array", path=str(path), gt_label=label)


@DATASETS.register_module()
class ModelNet40(PointCloudDataset):
    """ModelNet40 as text, ``<class>/<id>.txt``, or as the pickle that Point-MAE makes of it; y up.

    Both need ``modelnet40_shape_names.txt``; text also ``modelnet40_{train,test}.txt``. The pickle is
    ``modelnet40_{train,test}_8192pts_fps.dat``; nothing but arrays is loaded from it.

    Args:
        data_root: folder of the files.
        split: ``"train"`` or ``"test"``.
        storage: ``"text"``, ``"dat"``, or ``"auto"`` for the pickle where it is there.
        classes: 40, or 10 of ModelNet10's lists.
        **kwargs: of :class:`~dense3d.datasets.pointcloud.base.PointCloudDataset`.
    """

    def __init__(
        self,
        data_root: str = "",
        split: str = "train",
        storage: str = "auto",
        classes: int = 40,
        **kwargs: Any,
    ) -> None:
        self.split = choice("split", split, ("train", "test"))
        self.storage = choice("storage", storage, ("auto", "text", "dat"))
        self.prefix = f"modelnet{choice('classes', classes, (10, 40))}"
        names = Path(data_root) / f"{self.prefix}_shape_names.txt"
        known = {"classes": tuple(read_lines(names))} if is_file(names) else {}
        super().__init__(data_root=data_root, metainfo={**known, **kwargs.pop("metainfo", {})}, **kwargs)

    def records(self) -> Iterator[dict[str, Any]]:
        """The shapes in the order of the list or of the pickle."""
        names = read_lines(self.root / f"{self.prefix}_shape_names.txt")
        dat = self.root / f"{self.prefix}_{self.split}_8192pts_fps.dat"
        if self.storage == "dat" or (self.storage == "auto" and is_file(dat)):
            for index, label in enumerate(_load_dat(str(dat))[1]):
                if not 0 <= label < len(names):
                    raise DataError(f"{dat}: shape {index} has the label {label}, but there are {len(names)}")
                yield dict(
                    sample_id=f"{self.split}_{index:05d}_{names[label]}",
                    reader="modelnet_dat",
                    path=str(dat),
                    index=index,
                    gt_label=label,
                )
            return
        for name in read_lines(self.root / f"{self.prefix}_{self.split}.txt"):
            kind = name.rpartition("_")[0]
            if kind not in names:
                raise DataError(f"{self.root}: {name!r} of {self.prefix}_{self.split}.txt has no class")
            path = self.root / kind / f"{name}.txt"
            yield dict(sample_id=name, reader="modelnet_text", path=str(path), gt_label=names.index(kind))


@DATASETS.register_module()
class ModelNetFewShot(PointCloudDataset):
    """One fold of the few-shot protocol: ``<way>way_<shot>shot/<fold>.pkl``, without ``_`` too; y up.

    A fold holds ``train`` (way x shot) and ``test`` (way x 20) lists of points, label and original label;
    nothing but arrays, numbers and lists is loaded from it. ``gt_label`` is in 0..way - 1.

    Args:
        data_root: folder of the settings' folders.
        way: classes, 5 or 10 in the protocol.
        shot: training clouds of each, 10 or 20.
        fold: 0 to 9.
        split: ``"train"`` or ``"test"``.
        **kwargs: of :class:`~dense3d.datasets.pointcloud.base.PointCloudDataset`.
    """

    def __init__(
        self,
        data_root: str = "",
        way: int = 5,
        shot: int = 10,
        fold: int = 0,
        split: str = "train",
        **kwargs: Any,
    ) -> None:
        if min(way, shot) < 1 or fold < 0:
            raise ConfigError(f"way={way}, shot={shot}, fold={fold}: there is no such fold")
        self.way, self.shot, self.fold = way, shot, fold
        self.split = choice("split", split, ("train", "test"))
        super().__init__(data_root=data_root, **kwargs)

    def records(self) -> Iterator[dict[str, Any]]:
        """The clouds in the order of the fold."""
        names = (f"{self.way}way_{self.shot}shot", f"{self.way}way{self.shot}shot")
        folder = next((self.root / n for n in names if is_folder(self.root / n)), self.root / names[0])
        path = folder / f"{self.fold}.pkl"
        for index, (_, label) in enumerate(_load_fold(str(path))[self.split]):
            if not 0 <= label < self.way:
                raise DataError(
                    f"{path}: cloud {index} has the label {label} in a fold of {self.way} classes"
                )
            yield dict(
                sample_id=f"{folder.name}_{self.fold}_{self.split}_{index:04d}",
                reader="modelnet_fold",
                path=str(path),
                split=self.split,
                index=index,
                gt_label=label,
            )


@DATASETS.register_module()
class ScanObjectNN(PointCloudDataset):
    """``main_split/{training,test}_objectdataset.h5`` and its kin: 2048 points each, 15 classes, y up.

    Args:
        data_root: folder with ``main_split`` and ``main_split_nobg``, or with ``h5_files`` that has them.
        variant: ``"OBJ_BG"``, ``"OBJ_ONLY"`` or the hardest, ``"PB_T50_RS"``.
        split: ``"train"`` or ``"test"``.
        **kwargs: of :class:`~dense3d.datasets.pointcloud.base.PointCloudDataset`.
    """

    METAINFO = {"classes": SCAN_OBJECT_CLASSES}  # noqa: RUF012 - mmengine's own form

    def __init__(
        self, data_root: str = "", variant: str = "PB_T50_RS", split: str = "train", **kwargs: Any
    ) -> None:
        self.folder, self.ending = SCAN_OBJECT_FILES[choice("variant", variant, tuple(SCAN_OBJECT_FILES))]
        self.split = choice("split", split, ("train", "test"))
        super().__init__(data_root=data_root, **kwargs)

    def records(self) -> Iterator[dict[str, Any]]:
        """The objects in the order of the file."""
        inner = self.root / "h5_files"
        root = inner if is_folder(inner) else self.root
        path = root / self.folder / f"{'training' if self.split == 'train' else 'test'}{self.ending}"
        _, labels = _load_h5(str(path))
        for index, label in enumerate(labels.tolist()):
            if not 0 <= label < len(SCAN_OBJECT_CLASSES):
                raise DataError(f"{path}: object {index} has the label {label}; there are 15 classes")
            yield dict(
                sample_id=f"{self.split}_{index:05d}_{SCAN_OBJECT_CLASSES[label]}",
                reader="scan_object",
                path=str(path),
                index=index,
                gt_label=label,
            )


@reader("modelnet_text")
def _read_text(record: dict[str, Any]) -> Arrays:
    try:
        table = np.loadtxt(record["path"], delimiter=",", ndmin=2, dtype=np.float32)
    except (OSError, ValueError) as error:
        raise DataError(f"{record['path']} cannot be read as x,y,z,nx,ny,nz ({error})") from None
    return _with_normals(table, record)


@reader("modelnet_dat")
def _read_dat(record: dict[str, Any]) -> Arrays:
    return _with_normals(np.asarray(_load_dat(record["path"])[0][record["index"]]), record)


@reader("modelnet_fold")
def _read_fold(record: dict[str, Any]) -> Arrays:
    return _with_normals(_load_fold(record["path"])[record["split"]][record["index"]][0], record)


@reader("scan_object")
def _read_scan_object(record: dict[str, Any]) -> Arrays:
    return _with_normals(_load_h5(record["path"])[0][record["index"]], record)


def _with_normals(table: np.ndarray, record: dict[str, Any]) -> Arrays:
    table = columns_of(np.asarray(table), 3, record)
    found = {"points": table[:, :3].astype(np.float32)}
    if table.shape[1] >= 6:
        found["normals"] = table[:, 3:6].astype(np.float32)
    return found


# Whole files are kept, since each holds all clouds of a split; worker processes share what was read before.
@lru_cache(maxsize=4)
def _load_dat(path: str) -> tuple[list, list[int]]:
    document = _pickled(path)
    try:
        points, labels = document
        labels = [int(np.asarray(label).reshape(-1)[0]) for label in labels]
        if len(points) != len(labels):
            raise ValueError(f"{len(points)} clouds with {len(labels)} labels")
    except (TypeError, ValueError, IndexError) as error:
        raise DataError(f"{path} is no list of clouds and list of labels ({error})") from None
    return points, labels


@lru_cache(maxsize=4)
def _load_fold(path: str) -> dict[str, list[tuple[np.ndarray, int]]]:
    document = _pickled(path)
    try:
        return {
            split: [(np.asarray(entry[0]), int(entry[1])) for entry in document[split]]
            for split in ("train", "test")
        }
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise DataError(f"{path} is no fold of train and test clouds ({error!r})") from None


def _pickled(path: str) -> Any:
    if not is_file(path):
        raise DataError(f"{path} does not exist; the layout is described in {LAYOUT}")
    with Path(path).open("rb") as file:
        return load_plain(file, path, encoding="latin1")


@lru_cache(maxsize=4)
def _load_h5(path: str) -> tuple[np.ndarray, np.ndarray]:
    h5py = require("h5py", "reading ScanObjectNN")
    if not is_file(path):
        raise DataError(f"{path} does not exist; the layout is described in {LAYOUT}")
    try:
        with h5py.File(path, "r") as file:
            points, labels = np.asarray(file["data"], np.float32), np.asarray(file["label"]).reshape(-1)
    except (OSError, KeyError) as error:
        raise DataError(f"{path} cannot be read as data and label ({str(error).splitlines()[0]})") from None
    if points.ndim != 3 or len(points) != len(labels):
        raise DataError(f"{path}: data is {points.shape} and label {labels.shape}; they do not go together")
    return points, labels.astype(np.int64)
