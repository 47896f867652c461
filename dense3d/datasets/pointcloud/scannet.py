"""ScanNet: the scans as they are released, Pointcept's folders, and clouds with boxes of mmdetection3d."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dense3d.datasets.pointcloud.base import LAYOUT, choice, read_lines
from dense3d.datasets.pointcloud.infos import info_records
from dense3d.datasets.pointcloud.loading import IGNORED, Arrays, reader
from dense3d.datasets.pointcloud.pointcept import POINTCEPT
from dense3d.datasets.pointcloud.rooms import RoomDataset
from dense3d.datasets.pointcloud.scannet200 import CLASSES_200
from dense3d.errors import ConfigError, DataError
from dense3d.files import is_file, is_folder
from dense3d.registry import DATASETS
from dense3d.structures.cloud_files.open3d_files import quiet_open3d
from dense3d.structures.cloud_files.ply import read_ply

CLASSES = (
    "wall", "floor", "cabinet", "bed", "chair", "sofa", "table", "door", "window", "bookshelf", "picture",
    "counter", "desk", "curtain", "refrigerator", "shower curtain", "toilet", "sink", "bathtub",
    "otherfurniture",
)  # fmt: skip
NYU40 = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 24, 28, 33, 34, 36, 39)  # of these classes, in order
# Detectors leave out wall and floor, and what NYU40 calls other furniture is a bin to them.
DETECTION_CLASSES = (*CLASSES[2:-1], "garbagebin")
DETECTION_NAMES = {"garbagebin": "otherfurniture", "showercurtrain": "shower curtain"}
TABLE = "scannetv2-labels.combined.tsv"
LISTS = (".", "meta_data", "Tasks/Benchmark", "splits")


@DATASETS.register_module()
class ScanNet(RoomDataset):
    """Indoor scans with 20 classes, or 200 in Pointcept's folders, z up.

    Layouts: ``"scans"``: ``scans/<scene>/<scene>_vh_clean_2.ply`` with ``.labels.ply`` or ``.segs.json`` and
    ``.aggregation.json`` (which give instances and boxes, too), ``<scene>.txt`` with the axis alignment, and
    ``scannetv2_{train,val,test}.txt``. ``"pointcept"``: ``{train,val,test}/<scene>/coord.npy`` and so on.
    ``"infos"``: ``points/<scene>.bin`` and ``scannet_infos.json`` with boxes of aligned scans, and no
    splits.

    Args:
        data_root: folder of the data set.
        split: ``"train"``, ``"val"`` or ``"test"``, whose scans have no labels.
        layout: one of these, or ``"auto"`` for what is there.
        num_classes: 20 or 200.
        align: turn scans so that walls run along x and y, as detectors do.
        **kwargs: of :class:`~dense3d.datasets.pointcloud.rooms.RoomDataset`: ``task="detection"`` counts the
            18 classes with boxes from 0, as VoteNet and 3DETR do.
    """

    METAINFO = {"classes": CLASSES}  # noqa: RUF012 - mmengine's own form

    def __init__(
        self,
        data_root: str = "",
        split: str = "train",
        layout: str = "auto",
        num_classes: int = 20,
        align: bool = True,
        **kwargs: Any,
    ) -> None:
        self.split = choice("split", split, ("train", "val", "test"))
        self.layout = choice("layout", layout, ("auto", "scans", POINTCEPT, "infos"))
        self.num_classes, self.align = choice("num_classes", num_classes, (20, 200)), align
        if num_classes == 200:
            if kwargs.get("task") == "detection":
                raise ConfigError(
                    "task='detection' of ScanNet knows 18 classes with boxes; leave num_classes at 20"
                )
            kwargs["metainfo"] = {"classes": CLASSES_200, **kwargs.get("metainfo", {})}
        super().__init__(data_root=data_root, **kwargs)
        if self.task == "detection":
            named = "classes" in (kwargs.get("metainfo") or {})
            classes = self._metainfo["classes"] if named else DETECTION_CLASSES
            self._metainfo |= {"classes": classes, "axis_aligned": self.align}

    def records(self) -> Iterator[dict[str, Any]]:
        """The scenes in the order of their list, or of their names."""
        layout = self.layout if self.layout != "auto" else self._layout_there()
        if self.num_classes == 200 and layout != POINTCEPT:
            raise ConfigError("labels of 200 classes are read from Pointcept's folders (segment200.npy) only")
        if layout == POINTCEPT:
            for folder in sorted((self.root / self.split).glob("scene*")):
                segment = f"segment{self.num_classes}"
                needs = [folder / "coord.npy", *([folder / f"{segment}.npy"] if self.split != "test" else [])]
                yield dict(
                    sample_id=folder.name,
                    reader=POINTCEPT,
                    path=str(folder),
                    needs=tuple(map(str, needs)),
                    segment=segment if self.split != "test" else None,
                )
        elif layout == "infos":
            if not self.align:
                raise ConfigError(
                    f"boxes of {self.root / 'scannet_infos.json'} are those of aligned scans: leave "
                    "align=True, or read the scans themselves"
                )
            yield from info_records(self.root, "scannet_infos.json", CLASSES, DETECTION_NAMES)
        else:
            yield from self._scans()

    def _layout_there(self) -> str:
        if is_file(self.root / "scannet_infos.json"):
            return "infos"
        if is_folder(self.root / "scans") or is_folder(self.root / "scans_test"):
            return "scans"
        if is_folder(self.root / self.split):
            return POINTCEPT
        raise DataError(
            f"{self.root} has neither scans nor {self.split} nor scannet_infos.json; layouts are in {LAYOUT}"
        )

    def _scans(self) -> Iterator[dict[str, Any]]:
        name = f"scannetv2_{self.split}.txt"
        places = [self.root / folder / name for folder in LISTS]
        scans = self.root / ("scans_test" if self.split == "test" else "scans")
        for scene in read_lines(next((place for place in places if is_file(place)), places[0])):
            folder = scans / scene
            needs = [folder / f"{scene}_vh_clean_2.ply"]
            labels = folder / f"{scene}_vh_clean_2.labels.ply"
            groups = (folder / f"{scene}_vh_clean_2.0.010000.segs.json", folder / f"{scene}.aggregation.json")
            grouped = all(is_file(path) for path in groups)
            if self.split != "test":
                needs += [*groups, self.root / TABLE] if grouped else [labels]
            if self.align:
                needs.append(folder / f"{scene}.txt")
            yield dict(
                sample_id=scene,
                reader="scannet_scan",
                path=str(needs[0]),
                needs=tuple(map(str, needs)),
                labels=str(labels) if self.split != "test" and not grouped else None,
                groups=tuple(map(str, (*groups, self.root / TABLE)))
                if self.split != "test" and grouped
                else None,
                alignment=str(folder / f"{scene}.txt") if self.align else None,
            )


@reader("scannet_scan")
def _read_scan(record: dict[str, Any]) -> Arrays:
    path = Path(record["path"])
    found, count = read_ply(path, None, 0)
    points = found["points"].astype(np.float64)
    if record["alignment"]:
        has_boxes = bool(record.get("stuff") and (record["groups"] or record["labels"]))
        matrix = alignment_of(Path(record["alignment"]), required=has_boxes)  # test scans state none
        points = points @ matrix[:3, :3].T + matrix[:3, 3]
    with quiet_open3d() as open3d:
        mesh = open3d.io.read_triangle_mesh(str(path))
        mesh.vertices = open3d.utility.Vector3dVector(points)
        mesh.compute_vertex_normals()
    arrays: Arrays = {"points": points.astype(np.float32)}
    if len(mesh.vertex_normals) == count:
        arrays["normals"] = np.asarray(mesh.vertex_normals, dtype=np.float32)
    if "colors" in found:
        arrays["colors"] = found["colors"].astype(np.float32) / 255
    if record["labels"]:
        labels, there = read_ply(Path(record["labels"]), None, 0)
        if there != count or "labels" not in labels:
            raise DataError(f"{record['labels']} labels {there} points, but {path} has {count}")
        arrays["point_labels"] = from_nyu40(labels["labels"].astype(np.int64))
    if record["groups"]:
        arrays |= _grouped(*map(Path, record["groups"]), arrays["points"])
    return arrays


def from_nyu40(ids: np.ndarray) -> np.ndarray:
    """Classes 0..19 of NYU40's ids; -1 for the others.

    Example:
        >>> from_nyu40(np.array([1, 0, 39, 40, 14])).tolist()
        [0, -1, 19, -1, 12]
    """
    table = np.full(max(41, int(ids.max(initial=0)) + 1), IGNORED, dtype=np.int64)
    table[list(NYU40)] = np.arange(len(NYU40))
    return table[ids]


def alignment_of(path: Path, required: bool = False) -> np.ndarray:
    """The (4, 4) ``axisAlignment`` of a scene's text file; the identity where it states none.

    Args:
        path: of the file.
        required: it has to state one, as boxes along the axes need it.

    Raises:
        DataError: the file cannot be read, states none where it has to, or the matrix has not 16 numbers.
    """
    stated = _stated_alignment(path)
    if stated is None and required:
        raise DataError(
            f"{path} states no axisAlignment, so boxes would not lie along the walls; copy it again, or read "
            "all scans with align=False"
        )
    return np.eye(4) if stated is None else stated


def states_alignment(path: Path) -> bool:
    """Whether a scene's text file states an ``axisAlignment``; errors of :func:`alignment_of`."""
    return _stated_alignment(path) is not None


def _stated_alignment(path: Path) -> np.ndarray | None:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        for line in lines:
            name, _, value = line.partition("=")
            if name.strip() == "axisAlignment":
                return np.array([float(word) for word in value.split()]).reshape(4, 4)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read for the axis alignment ({error})") from None
    return None


def _grouped(segments: Path, groups: Path, table: Path, points: np.ndarray) -> Arrays:
    """Labels, instances and axis-aligned boxes from the segments that annotators grouped."""
    try:
        index = np.asarray(json.loads(segments.read_text())["segIndices"], dtype=np.int64)
        document = json.loads(groups.read_text())["segGroups"]
        header, *rows = (line.split("\t") for line in table.read_text(encoding="utf-8").splitlines() if line)
        raw, nyu = header.index("raw_category"), header.index("nyu40id")
        ids = {row[raw]: int(row[nyu] or 0) for row in rows}
        members = [(group["label"], np.asarray(group["segments"], np.int64)) for group in document]
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise DataError(
            f"{segments.parent}: its segments cannot be read ({error!r}); copy them again"
        ) from None
    if len(index) != len(points):
        raise DataError(f"{segments} has segments of {len(index)} points, but the scan has {len(points)}")
    unknown = next((name for name, _ in members if name not in ids), None)
    if unknown is not None:
        raise DataError(f"{groups}: {table} has no category {unknown!r}; copy both again")
    classes = from_nyu40(np.array([ids[name] for name, _ in members] or [0]))
    owner = _owners(index, [own for _, own in members])  # the last group that has a segment
    owner[~np.isfinite(points).all(axis=1)] = IGNORED  # such points would make boxes that are none
    labels = np.where(owner >= 0, classes[owner], IGNORED)
    instances = np.full(len(points), IGNORED)
    boxes, box_labels = [], []
    for group in range(len(members)):
        inside = owner == group
        if classes[group] >= RoomDataset.STUFF and inside.any():
            instances[inside] = len(boxes)
            low, high = points[inside].min(axis=0), points[inside].max(axis=0)
            boxes.append([*(low + high) / 2, *(high - low), 0.0])
            box_labels.append(classes[group])
    return {
        "point_labels": labels.astype(np.int64),
        "instances": instances.astype(np.int64),
        "gt_boxes": np.array(boxes, dtype=np.float32).reshape(-1, 7),
        "gt_box_labels": np.array(box_labels, dtype=np.int64),
    }


def _owners(index: np.ndarray, groups: list[np.ndarray]) -> np.ndarray:
    """(N,) the last of ``groups`` of segments that has the segment of each point; -1 for none."""
    segments, place = np.unique(index, return_inverse=True)
    owner = np.full(len(segments), IGNORED)
    for group, own in enumerate(groups):
        owner[np.isin(segments, own)] = group
    return owner[place]
