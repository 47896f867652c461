"""Where the files of public data sets lie, and a check of a data root that names what is missing.

What is absent or has lost its partner is a fault. Fewer files than the full data set has are none, as
samples and subsets are used on purpose: the table shows both numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from dense3d.datasets.class_layouts import CLASS_LAYOUTS, class_folder_faults
from dense3d.datasets.layout_parts import LayoutPart, new_suffix
from dense3d.datasets.matching_layouts import MATCHING_LAYOUTS
from dense3d.datasets.panoptic.files import read_panoptic
from dense3d.datasets.pointcloud.layouts import CLOUD_LAYOUTS
from dense3d.datasets.radiance_grids.layouts import GRID_LAYOUTS
from dense3d.datasets.scan.coco_file import describe_absent, read_json
from dense3d.datasets.scan.report import Fault
from dense3d.errors import DataError
from dense3d.files import is_file, is_folder
from dense3d.image_files import IMAGE_SUFFIXES


@dataclass
class LayoutReport:
    """What lies under a data root: a row for each kind of files, faults and notes."""

    name: str
    root: str
    parts: list[dict] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    notes: list[Fault] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether everything needed is there."""
        return not self.faults

    def table(self) -> str:
        """Rows and sentences for people."""
        width = max((len(part["path"]) for part in self.parts), default=0)
        lines = [f"{self.name} at {self.root}"]
        for part in self.parts:
            of = f" of {part['count']}" if part["count"] is not None else ""
            lines.append(f"  {part['path'].ljust(width)}  found {part['found']}{of}")
        lines += [f"  missing: {fault}" for fault in self.faults]
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)


def _kitti(split: str, count: int, suffix: str = ".png") -> list[LayoutPart]:
    images = (f"{split}/image_2", f"*{suffix}")
    use = "a submission to the benchmark's server" if split == "testing" else None
    calibrations = dict(needed_for=use, partner_of=images, partner=new_suffix(".txt"))
    parts = [
        LayoutPart(*images, count, needed_for=use),
        LayoutPart(f"{split}/calib", "*.txt", count, **calibrations),
        LayoutPart(f"{split}/image_3", f"*{suffix}", count, needed_for="stereo"),
        LayoutPart(f"{split}/velodyne", "*.bin", count, needed_for="depth from lidar"),
    ]
    if split == "training":
        parts.insert(
            1, LayoutPart("training/label_2", "*.txt", count, partner_of=images, partner=new_suffix(".txt"))
        )
    return parts


def _ade20k(split: str, count: int) -> list[LayoutPart]:
    images = (f"images/{split}", "*.jpg")
    return [
        LayoutPart(*images, count),
        LayoutPart(f"annotations/{split}", "*.png", count, partner_of=images, partner=new_suffix(".png")),
    ]


def _cityscapes(split: str, count: int) -> list[LayoutPart]:
    images = (f"leftImg8bit/{split}", "*/*_leftImg8bit.png")
    if split == "test":
        return [LayoutPart(*images, count, needed_for="submission")]
    labels = LayoutPart(
        f"gtFine/{split}",
        "*/*_gtFine_labelTrainIds.png",
        count,
        partner_of=images,
        partner=new_suffix("_gtFine_labelTrainIds.png", "_leftImg8bit.png"),
        remedy="made from the labelIds files by csCreateTrainIdLabelImgs of cityscapesscripts",
    )
    return [LayoutPart(*images, count), labels]


def _kitti_of_cameras(root: Path, report: LayoutReport) -> list[LayoutPart]:
    """KITTI's parts, with the images' suffix as it is under ``root``: own cameras seldom write PNG."""
    folder = root / "training" / "image_2"
    suffixes = [p.suffix for p in folder.iterdir()] if is_folder(folder) else []
    suffix = next((s for s in sorted(set(suffixes)) if s.lower() in IMAGE_SUFFIXES), ".png")
    if ".png" in suffixes or suffix == ".png":
        return LAYOUTS["kitti"]
    remedy = f"set img_suffix={suffix!r} in the data set"
    report.notes.append(Fault("suffix", str(folder), f"the images are {suffix} files", remedy=remedy))
    own = [*_kitti("training", 7481, suffix), *_kitti("testing", 7518, suffix)]
    return [*own, *(part for part in LAYOUTS["kitti"] if part.folder == "ImageSets")]


LAYOUTS: dict[str, list[LayoutPart]] = {
    "coco": [
        LayoutPart("annotations", "instances_train2017.json", 1),
        LayoutPart("annotations", "instances_val2017.json", 1),
        LayoutPart("train2017", "*.jpg", 118287),
        LayoutPart("val2017", "*.jpg", 5000),
    ],
    "coco_panoptic": [
        LayoutPart("annotations", "panoptic_train2017.json", 1),
        LayoutPart("annotations", "panoptic_val2017.json", 1),
        LayoutPart("annotations/panoptic_train2017", "*.png", 118287),
        LayoutPart("annotations/panoptic_val2017", "*.png", 5000),
        LayoutPart("train2017", "*.jpg", 118287),
        LayoutPart("val2017", "*.jpg", 5000),
    ],
    "ade20k": [*_ade20k("training", 20210), *_ade20k("validation", 2000)],
    "kitti": [
        *_kitti("training", 7481),
        *_kitti("testing", 7518),
        LayoutPart("ImageSets", "train.txt", 1, needed_for="the usual split into training and validation"),
        LayoutPart("ImageSets", "val.txt", 1, needed_for="the usual split into training and validation"),
    ],
    "cityscapes": [*_cityscapes("train", 2975), *_cityscapes("val", 500), *_cityscapes("test", 1525)],
    **MATCHING_LAYOUTS,
    **CLASS_LAYOUTS,
    **CLOUD_LAYOUTS,
    **GRID_LAYOUTS,
}
# Folders that the archives unpack to and that belong to the data root.
INNER = {
    "ade20k": "ADEChallengeData2016",
    "kitti": "object",
    "scanobjectnn": "h5_files",
    "sunrgbd_raw": "OFFICIAL_SUNRGBD",
}


def check_layout(name: str, root: str | Path) -> LayoutReport:
    """Check that a data root holds what the data set's layout asks for.

    Args:
        name: one of :data:`LAYOUTS`, such as ``"coco"`` or ``"kitti_stereo_2015"``.
        root: folder of the data set.

    Returns:
        The report; all that is missing is in it at once.

    Raises:
        DataError: the root does not exist.
    """
    root = Path(root)
    if not is_folder(root):
        raise DataError(f"{root}: {describe_absent(root)}; layouts are in data/README.md")
    inner = root / INNER.get(name, "")
    root = inner if inner.is_dir() else root
    report = LayoutReport(name, str(root))
    for part in _kitti_of_cameras(root, report) if name == "kitti" else LAYOUTS[name]:
        _check_part(part, root, report)
    if name in CLASS_LAYOUTS:
        faults, notes = class_folder_faults(root)
        report.faults += faults
        report.notes += notes
    if name.startswith("coco"):
        for split in ("train2017", "val2017"):
            _check_named_files(name, root, split, report)
    return report


def _check_part(part: LayoutPart, root: Path, report: LayoutReport) -> None:
    folder = root / part.folder
    path = f"{part.folder}/{part.pattern}".removeprefix("./")
    found = (
        {p.relative_to(folder).as_posix() for p in folder.glob(part.pattern)} if folder.is_dir() else set()
    )
    report.parts.append(dict(path=path, found=len(found), count=part.count))
    if not found:
        rule = "folder-missing" if not folder.is_dir() else "files-missing"
        value = describe_absent(folder) if not folder.is_dir() else f"no file matches {part.pattern}"
        if part.needed_for:
            report.notes.append(Fault(rule, str(folder), value, remedy=f"needed only for {part.needed_for}"))
        else:
            report.faults.append(Fault(rule, str(folder), value, remedy=part.remedy))
        return
    if part.partner_of:
        partner_folder, pattern = root / part.partner_of[0], part.partner_of[1]
        names = (p.relative_to(partner_folder).as_posix() for p in partner_folder.glob(pattern))
        absent = sorted({part.partner(name) for name in names} - found)
        of = part.partner_of[0] if part.partner_of[0] != "." else pattern
        if absent and part.needed_for:
            value = f"{len(absent)} files for the files of {of} are missing: {', '.join(_first(absent))}"
            remedy = f"needed only for {part.needed_for}"
            report.notes.append(Fault("files-missing", str(folder), value, remedy=remedy))
            return
        _report_absent(absent, folder, f"for the files of {of}", part.remedy, report)


def _check_named_files(name: str, root: Path, split: str, report: LayoutReport) -> None:
    """Files that COCO's annotations name must be there."""
    kind = "panoptic" if name == "coco_panoptic" else "instances"
    file = root / "annotations" / f"{kind}_{split}.json"
    if not is_file(file):
        return
    try:
        document = read_panoptic(file).document if kind == "panoptic" else read_json(file)
        images = {image["file_name"] for image in document["images"]}
        maps = {a["file_name"] for a in document["annotations"]} if kind == "panoptic" else set()
    except DataError as error:
        report.faults.append(Fault("annotation-file", str(file), str(error).partition(": ")[2]))
        return
    except (KeyError, TypeError):
        value = f"not in the format of COCO's {kind} annotations"
        report.faults.append(Fault("annotation-file", str(file), value, remedy="download it again"))
        return
    for named, folder in ((images, root / split), (maps, file.with_suffix(""))):
        if folder.is_dir():
            present = {p.name for p in folder.iterdir()}
            _report_absent(
                sorted(named - present), folder, f"named by {file.name}", "unpack them again", report
            )


def _report_absent(absent: list[str], folder: Path, why: str, remedy: str, report: LayoutReport) -> None:
    if absent:
        shown = ", ".join(_first(absent))
        value = f"{len(absent)} files {why} are missing: {shown}"
        report.faults.append(Fault("files-missing", str(folder), value, remedy=remedy))


def _first(names: list[str], most: int = 3) -> Iterable[str]:
    return [*names[:most], "..."] if len(names) > most else names
