"""From a dataset's config to its scan: which scanner fits, and the scan before training."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

from dense3d.datasets.label_loading import rules_of
from dense3d.datasets.scan.coco import masks_wanted, scan_coco
from dense3d.datasets.scan.coco_file import describe_absent
from dense3d.datasets.scan.report import Fault, ScanReport
from dense3d.datasets.scan.schema import shortened
from dense3d.errors import ConfigError, Dense3dError
from dense3d.image_files import Reader
from dense3d.pickles import restrict_loading

Scanner = Callable[[dict, type, bool, int], ScanReport]
SCANNERS: dict[str, Scanner] = {}
FILES = ("img_path", "seg_map_path", "left_path", "right_path")  # keys of samples that name images
LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")


def scanner(class_name: str) -> Callable[[Scanner], Scanner]:
    """Register a scanner for a dataset class and its subclasses.

    It is called as ``scan(dataset_cfg, dataset_class, decode_images, workers)``.
    """

    def register(function: Scanner) -> Scanner:
        SCANNERS[class_name] = function
        return function

    return register


def scan_dataset(cfg: dict, quick: bool = True, workers: int = 2, scope: str = "dense3d") -> list[ScanReport]:
    """Scan the data that a dataset's config names; wrappers are scanned through.

    Args:
        cfg: config of a dataset, as in ``train_dataloader.dataset``.
        quick: read annotations, headers and ends of files, but decode no pixels.
        workers: threads.
        scope: where the dataset's type resolves if the config does not say.

    Returns:
        One report for each data set; for types without a scanner, one with a note.
    """
    scope = cfg.get("_scope_") or scope
    inner = cfg.get("datasets") or ([cfg["dataset"]] if "dataset" in cfg else [])
    if inner:
        return [report for one in inner for report in scan_dataset(one, quick, workers, scope)]
    with DefaultScope.overwrite_default_scope(scope), DATASETS.switch_scope_and_registry(scope) as registry:
        kind = cfg.get("type")
        if kind is None:
            raise ConfigError(
                f"a data set of the config has no type, but {shortened(dict(cfg))}: give it one"
            )
        cls = registry.get(kind) if isinstance(kind, str) else kind
        scan = next((SCANNERS[base.__name__] for base in cls.__mro__ if base.__name__ in SCANNERS), None)
        root = cfg.get("data_root")
        if root and "://" not in root and not os.path.isdir(root):  # noqa: PTH112 - unlike Path's, for any text
            report = ScanReport(str(root))
            remedy = "set data_root of the dataset, or put the data there (see data/README.md)"
            report.faults.append(
                Fault("folder-missing", str(root), describe_absent(Path(root)), remedy=remedy)
            )
            return [report]
        if scan is None:
            note = Fault("no-scanner", cls.__name__, "no scan is known for this dataset type")
            return [ScanReport(str(root or cls.__name__), notes=[note])]
        return [scan(cfg, cls, not quick, workers)]


def scan_config(
    cfg: Config, quick: bool = False, splits: Sequence[str] = LOADERS, workers: int = 2
) -> list[ScanReport]:
    """Scan the data sets of a config's loaders, each once."""
    reports: list[ScanReport] = []
    scanned: list[dict] = []
    for name in splits:
        loader = cfg.get(name)
        if loader is None:
            continue
        if "dataset" not in loader:
            raise ConfigError(f"{cfg.filename or 'the config'}: {name} has no 'dataset': give it one")
        key = {k: v for k, v in loader["dataset"].items() if k not in ("pipeline", "test_mode", "filter_cfg")}
        if key not in scanned:
            scanned.append(key)
            reports += scan_dataset(loader["dataset"], quick, workers, cfg.get("default_scope") or "dense3d")
    return reports


def scan_before_training(cfg: Config) -> list[ScanReport]:
    """Quick scan of the training and validation data; stops a run that would meet bad data.

    Datasets with ``skip_bad_samples=True`` leave out bad images themselves, so only what cannot be
    skipped (a missing folder, an unreadable annotation file, a wrong class list) stops them.

    Raises:
        DataError: the first fault and the number of all; ``dense3d browse CONFIG --check`` lists them.
    """
    reports = []
    for name in ("train_dataloader", "val_dataloader"):
        for report in scan_config(cfg, quick=True, splits=(name,)):
            if _skips(cfg[name]["dataset"]):  # the run tells of them itself
                report.faults = [fault for fault in report.faults if fault.image is None]
            report.raise_if_faulty()
            reports.append(report)
    return reports


def _skips(cfg: dict) -> bool:
    while "dataset" in cfg:
        cfg = cfg["dataset"]
    if "datasets" in cfg:
        return all(_skips(one) for one in cfg["datasets"])
    return bool(cfg.get("skip_bad_samples"))


@scanner("CocoDataset")
def _scan_coco_dataset(cfg: dict, cls: type, decode: bool, workers: int) -> ScanReport:
    metainfo = cfg.get("metainfo") or {}
    classes = metainfo.get("classes", getattr(cls, "METAINFO", {}).get("classes"))
    masks, polygons_only = masks_wanted(cfg.get("pipeline") or ())
    return scan_coco(
        _joined(cfg, cfg.get("ann_file", "")),
        _joined(cfg, (cfg.get("data_prefix") or {}).get("img", "")),
        classes,
        decode,
        workers,
        masks,
        annotations=not cfg.get("test_mode"),
        allow_lost_boxes=bool(cfg.get("allow_lost_boxes")),
        polygons_only=polygons_only,
        reader=reader_of(cfg),
    )


@scanner("CocoPanopticDataset")
def _scan_panoptic_dataset(cfg: dict, cls: type, decode: bool, workers: int) -> ScanReport:
    from dense3d.datasets.scan.panoptic import scan_panoptic  # what a run does not need is not imported

    metainfo = {**getattr(cls, "METAINFO", {}), **(cfg.get("metainfo") or {})}
    folders = cfg.get("data_prefix") or {}
    options = {"image_file": cls.image_file} if hasattr(cls, "image_file") else {}
    return scan_panoptic(
        _joined(cfg, cfg.get("ann_file", "")),
        _joined(cfg, folders.get("img") or ""),
        _joined(cfg, folders.get("seg") or ""),
        metainfo.get("classes"),
        metainfo.get("aliases"),
        strict=all(step.get("strict") is not False for step in cfg.get("pipeline", ())),
        decode_images=decode,
        workers=workers,
        reader=reader_of(cfg),
        **options,
    )


@scanner("BaseSegDataset")
def _scan_label_maps(cfg: dict, cls: type, decode: bool, workers: int) -> ScanReport:
    from dense3d.datasets.scan.segmentation import scan_segmentation, why_no_file

    dataset, samples, faults = _listed(cfg, cls)
    if faults:
        return ScanReport(faults[0].file, faults=faults)
    if not samples and dataset.data_prefix.get("img_path") and not cfg.get("ann_file"):
        folder, _, value = why_no_file(dataset.data_prefix["img_path"], dataset.img_suffix).partition(": ")
        value, _, remedy = value.partition("; ")
        return ScanReport(_name(cfg), faults=[Fault("no-images", folder, value, remedy=remedy)])
    pairs = [(s["img_path"], s.get("seg_map_path")) for s in samples]
    step = _step(cfg, "LoadAnnotations")
    return scan_segmentation(
        _name(cfg),
        pairs,
        decode_images=decode,
        workers=workers,
        rules=rules_of(dataset, SimpleNamespace(**step)),
        reader=reader_of(cfg),
        void_is_meant="ignore_index" in cfg or "ignore_index" in step,
    )


@scanner("StereoDataset")
def _scan_stereo_dataset(cfg: dict, cls: type, decode: bool, workers: int) -> ScanReport:
    from dense3d.datasets.stereo.scan import scan_stereo

    settings = {k: v for k, v in cfg.items() if k not in ("type", "_scope_", "pipeline", "skip_bad_samples")}
    step = {key: value for key, value in _step(cfg, "LoadStereo").items() if key != "type"}
    try:
        dataset = cls(**settings, pipeline=[], lazy_init=True)
        return scan_stereo(_name(cfg), dataset, decode, workers, step)
    except Dense3dError as error:
        return ScanReport(_name(cfg), faults=[Fault("pairs", _name(cfg), str(error))])


@scanner("PointCloudDataset")
def _scan_point_clouds(cfg: dict, cls: type, decode: bool, workers: int) -> ScanReport:
    from dense3d.datasets.pointcloud.scan import scan_clouds

    settings = {k: v for k, v in cfg.items() if k not in ("type", "_scope_", "pipeline", "skip_bad_samples")}
    try:
        return scan_clouds(_name(cfg), cls(**settings, pipeline=[], lazy_init=True), decode, workers)
    except Dense3dError as error:
        return ScanReport(_name(cfg), faults=[Fault("clouds", _name(cfg), str(error))])


@scanner("RadianceGridDataset")
def _scan_radiance_grids(cfg: dict, cls: type, decode: bool, workers: int) -> ScanReport:
    from dense3d.datasets.radiance_grids.scan import scan_grids

    settings = {k: v for k, v in cfg.items() if k not in ("type", "_scope_", "pipeline", "skip_bad_samples")}
    try:
        return scan_grids(_name(cfg), cls(**settings, pipeline=[], lazy_init=True), decode, workers)
    except Dense3dError as error:
        return ScanReport(_name(cfg), faults=[Fault("grids", _name(cfg), str(error))])


@scanner("BaseDataset")
@scanner("LVISV05Dataset")
def _scan_listed_files(cfg: dict, cls: type, decode: bool, workers: int) -> ScanReport:
    """Only the files that the dataset lists."""
    from dense3d.datasets.scan.segmentation import scan_segmentation

    dataset, samples, faults = _listed(cfg, cls)
    if faults:
        return ScanReport(faults[0].file, faults=faults)
    paths = [s[key] for s in samples for key in FILES if isinstance(s.get(key), str)]
    report = scan_segmentation(
        _name(cfg),
        [(path, None) for path in paths],
        decode_images=decode,
        workers=workers,
        reader=reader_of(cfg),
    )
    report.annotations = sum(len(s.get("segments_info") or s.get("instances") or ()) for s in samples)
    if hasattr(dataset, "notes_on"):
        report.notes += dataset.notes_on(samples, cfg.get("pipeline") or ())
    return report


def _listed(cfg: dict, cls: type) -> tuple[Any, list[dict], list[Fault]]:
    """The dataset without its pipeline, the samples that it lists, and why it cannot list them."""
    settings = {k: v for k, v in cfg.items() if k not in ("type", "_scope_", "pipeline", "skip_bad_samples")}
    try:
        restrict_loading()
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
            dataset = cls(**settings, pipeline=[], lazy_init=True)
            return dataset, dataset.load_data_list(), []
    except Dense3dError as error:
        what = str(error)
    except (OSError, ValueError, KeyError, TypeError, AssertionError) as error:
        what = f"the file list cannot be read: {type(error).__name__}: {error}"
    return None, [], [Fault("annotation-file", _name(cfg), what)]


def reader_of(cfg: dict) -> Reader:
    """How the pipeline of a dataset's config decodes images."""
    step = _step(cfg, "LoadImageFromFile")
    given = {"backend": step.get("imdecode_backend"), "flag": step.get("color_type")}
    return Reader(**{key: value for key, value in given.items() if value is not None})


def _step(cfg: dict, name: str) -> dict:
    """The first step of that type in the pipeline of a dataset's config, or an empty dict."""
    steps = (step for step in cfg.get("pipeline") or () if isinstance(step, dict))
    return dict(next((step for step in steps if _type_name(step.get("type")) == name), {}))


def _type_name(kind: Any) -> str:
    return kind.rpartition(".")[2] if isinstance(kind, str) else getattr(kind, "__name__", "")


def _name(cfg: dict) -> str:
    return _joined(cfg, cfg.get("ann_file") or next(iter((cfg.get("data_prefix") or {}).values()), ""))


def _joined(cfg: dict, path: Any) -> str:
    root = cfg.get("data_root") or ""
    return str(Path(root) / str(path))
