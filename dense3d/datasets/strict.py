"""Strict loading: a bad sample is named, and stops the run or, on request, is skipped and counted.

mmengine replaces a sample that cannot be prepared by a random other one and says nothing. Here
the same sample is tried again only where a random augmentation left nothing of it; otherwise the error
names the file. With ``skip_bad_samples=True`` the next sample stands in, and the skipped ones can be listed.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS

from dense3d.datasets.label_loading import read_label_maps_by_our_rules
from dense3d.datasets.scan.coco_file import describe_absent
from dense3d.datasets.scan.images import check_image
from dense3d.errors import ConfigError, DataError
from dense3d.files import is_file, is_folder
from dense3d.image_files import name_formats_of_mmcv
from dense3d.pickles import restrict_loading

ATTEMPTS = 10
FILE_KEYS = ("img_path", "seg_map_path", "depth_map_path", "right_img_path")


class SampleError(DataError):
    """A sample cannot be used. The sentence arrives unchanged from a worker process of a DataLoader."""

    def __init__(self, message: str) -> None:
        # torch re-raises a worker's error with the worker's whole traceback as the message.
        _, marker, sentence = message.rpartition(f"{__name__}.SampleError: ")
        super().__init__(sentence.strip() if marker else message)


class PipelineError(ConfigError):
    """A step of a pipeline is set up wrongly. The sentence arrives unchanged from a worker process, too."""

    def __init__(self, message: str) -> None:
        _, marker, sentence = message.rpartition(f"{__name__}.PipelineError: ")
        super().__init__(sentence.strip() if marker else message)


class StrictSamples:
    """Mixin, to be named before a :class:`mmengine.dataset.BaseDataset`, that turns silent refetching off.

    Args:
        skip_bad_samples: let the next sample stand in for a bad one. Only in training: with
            ``test_mode`` it stops the run, since an image evaluated twice would give wrong numbers.

    Raises:
        SampleError: a sample is bad and is not to be skipped.
        PipelineError: a step of the pipeline is set up wrongly.
    """

    def __init__(self, *args, skip_bad_samples: bool = False, **kwargs) -> None:
        self.skip_bad_samples = skip_bad_samples
        self._bad = torch.zeros(0, dtype=torch.uint8)
        super().__init__(*args, **kwargs)

    def full_init(self) -> None:
        """Load the list of samples; see mmengine."""
        if self._fully_initialized:
            return
        super().full_init()
        self._watch_samples()

    def __getitem__(self, index: int) -> Any:
        if not self._fully_initialized:
            self.full_init()
        for _ in range(len(self)):
            try:
                return self._prepare(index)
            except SampleError:
                if not self.skip_bad_samples or self.test_mode:
                    raise
                self._bad[index] = 1
                index = (index + 1) % len(self)
        raise SampleError(f"all {len(self)} samples of {self.ann_file or self.data_root} are bad")

    def bad_samples(self) -> list[str]:
        """A sentence for each sample that was skipped so far, by whatever worker."""
        indices = self._bad.nonzero().flatten().tolist()
        return [str(self._diagnose(i, "the sample could not be prepared")) for i in indices]

    def _watch_samples(self) -> None:
        # Shared memory, so that marks set in worker processes are seen in the main one.
        self._bad = torch.zeros(len(self), dtype=torch.uint8).share_memory_()

    def _prepare(self, index: int) -> Any:
        for _ in range(1 if self.test_mode else ATTEMPTS):
            try:
                data = self.prepare_data(index)
            except DataError as error:
                raise SampleError(f"{error} (sample {index})") from error
            except ConfigError as error:
                raise PipelineError(str(error)) from error
            except Exception as error:
                raise self._explain(index, error) from error
            if data is not None:
                return data
        tries = "" if self.test_mode else f" {ATTEMPTS} times"
        raise self._diagnose(
            index, f"the pipeline returned nothing{tries}; no object is left after a crop or filter?"
        )

    def _explain(self, index: int, error: Exception) -> Exception:
        """A sentence on the file if that is at fault; else the error itself with the file's name: a bug?"""
        if any(check_image(path, decode=True) for path in self._files(index)):
            return self._diagnose(index, "")
        files = ", ".join(self._files(index))
        return RuntimeError(f"sample {index} ({files}) cannot be prepared: {type(error).__name__}: {error}")

    def _diagnose(self, index: int, otherwise: str) -> SampleError:
        for path in self._files(index):
            fault = check_image(path, decode=True)
            if fault is not None:
                return SampleError(f"{fault} (sample {index})")
        return SampleError(f"{', '.join(self._files(index))}: {otherwise} (sample {index})")

    def _files(self, index: int) -> list[str]:
        info = self.get_data_info(index)
        return [info[key] for key in FILE_KEYS if isinstance(info.get(key), str)]


def make_strict(dataset: Any, skip_bad_samples: bool = False) -> Any:
    """Turn silent refetching off in a built dataset of any library; inside wrappers, in place.

    Their label maps are read by :mod:`dense3d.datasets.label_loading`. Datasets that fetch samples in a way
    of their own are left as they are.

    Returns:
        A strict dataset with the same state, or the given wrapper.
    """
    if isinstance(dataset, BaseDataset):
        read_label_maps_by_our_rules(dataset)
        own_way = type(dataset).__getitem__ is not BaseDataset.__getitem__
        if own_way:  # StrictSamples among them
            return dataset
        strict = _restore(type(dataset), dataset.__dict__ | {"skip_bad_samples": skip_bad_samples})
        if strict._fully_initialized:
            strict._watch_samples()
        return strict
    if isinstance(getattr(dataset, "datasets", None), list):
        dataset.datasets[:] = [make_strict(one, skip_bad_samples) for one in dataset.datasets]
    elif getattr(dataset, "dataset", None) is not None:
        dataset.dataset = make_strict(dataset.dataset, skip_bad_samples)
    return dataset


def with_strict_dataset(dataloader: Any) -> Any:
    """A dataloader config whose dataset is built and strict, for mmengine to build the rest of.

    mmdet's ``CocoDataset`` is ours then: see :func:`dense3d.datasets.coco.checked_class`.

    ``skip_bad_samples=True`` may stand in the config of any dataset, also inside wrappers.
    """
    if not isinstance(dataloader, dict) or not isinstance(dataloader["dataset"], dict):
        return dataloader
    cfg = copy.deepcopy(dataloader["dataset"])
    skip = _take_switches(cfg)
    restrict_loading()  # the module of the dataset's class is imported by now
    dataset = _build(cfg)
    name_formats_of_mmcv()  # as are those of its pipeline's steps
    return {**dataloader, "dataset": _Uncopied(make_strict(dataset, skip))}


def _build(cfg: dict) -> Any:
    """Build a dataset; one that lists no sample is refused with what its folder has instead."""
    try:
        dataset = DATASETS.build(cfg)
        if hasattr(dataset, "full_init"):
            dataset.full_init()
        return dataset
    except ValueError as error:
        if "meta information" in str(error):  # mmengine's ConcatDataset compares them
            raise DataError(
                f"the data sets of a {cfg['type']} differ in their metainfo, as classes or colours: give all "
                "the same metainfo=dict(classes=...), or ConcatDataset ignore_keys=[...] with what may differ"
            ) from error
        if "need at least one array" not in str(error):  # mmengine's way of packing no samples
            raise
        raise DataError(_why_empty(cfg)) from error
    except OSError as error:
        if not error.filename:
            raise
        path = Path(str(error.filename))
        what = error.strerror.lower() if is_file(path) or is_folder(path) else describe_absent(path)
        raise DataError(f"{path}: {what}; correct data_root, data_prefix or ann_file") from error
    except AssertionError as error:
        if "ann_file" not in str(error):
            raise
        raise DataError(f"{str(error).replace('`', '')}: there is no such file; correct ann_file") from error


def _why_empty(cfg: dict) -> str:
    """A sentence on the first dataset in a config that lists no sample."""
    for one in [*cfg.get("datasets", ()), *([cfg["dataset"]] if "dataset" in cfg else ())]:
        try:
            _build({"_scope_": cfg.get("_scope_"), **one} if cfg.get("_scope_") else one)
        except DataError as error:
            return str(error)
    dataset = DATASETS.build({**cfg, "lazy_init": True, "pipeline": []})
    if dataset.load_data_list():
        return f"{_listed_by(dataset)}: filter_cfg or indices leave no sample of the data set; correct them"
    folder = (getattr(dataset, "data_prefix", None) or {}).get("img_path")
    if folder and hasattr(dataset, "img_suffix") and not dataset.ann_file:
        from dense3d.datasets.scan.segmentation import why_no_file

        return why_no_file(folder, dataset.img_suffix)
    return f"{_listed_by(dataset)}: the data set has no sample; correct its paths"


def _listed_by(dataset: Any) -> str:
    return getattr(dataset, "ann_file", "") or getattr(dataset, "data_root", "") or type(dataset).__name__


def _take_switches(cfg: dict) -> bool:
    """Take ``skip_bad_samples`` out where the dataset's class does not know it; whether any was set."""
    scope = cfg.get("_scope_")
    with DATASETS.switch_scope_and_registry(scope) as registry:
        inner = [*cfg.get("datasets", ()), *([cfg["dataset"]] if "dataset" in cfg else ())]
        taken = [_take_switches(one) for one in inner if isinstance(one, dict)]
        cls = registry.get(cfg["type"]) if isinstance(cfg["type"], str) else cfg["type"]
        if isinstance(cls, type) and cls.__module__.startswith("mmdet.") and issubclass(cls, BaseDataset):
            from dense3d.datasets.coco import checked_class

            cls = cfg["type"] = checked_class(cls)
        if not (isinstance(cls, type) and issubclass(cls, StrictSamples)):
            taken.append(cfg.pop("skip_bad_samples", None) is True)
    return any(taken)


class _Uncopied:
    """mmengine copies a dataloader's config deeply; a built dataset in it is handed on as it is."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __deepcopy__(self, memo: dict) -> Any:
        return self.dataset


def skipped_samples(dataset: Any) -> list[str]:
    """A sentence for each sample that the dataset, or those that it wraps, skipped so far."""
    return [
        sentence
        for one in base_datasets(dataset)
        if isinstance(one, StrictSamples)
        for sentence in one.bad_samples()
    ]


def base_datasets(dataset: Any) -> Iterator[Any]:
    """The datasets that hold samples, under wrappers such as ``RepeatDataset`` or ``ConcatDataset``."""
    dataset = vars(dataset).get("_dataset", dataset)  # the wrapper behind num_batch_per_epoch
    inner = getattr(dataset, "datasets", None) or [getattr(dataset, "dataset", None)]
    if isinstance(dataset, BaseDataset) or inner == [None]:
        yield dataset
        return
    for one in inner:
        yield from base_datasets(one)


_STRICT_CLASSES: dict[type, type] = {}


def _strict_class(cls: type) -> type:
    if cls not in _STRICT_CLASSES:
        # A class made here has no name to be imported by: it is pickled as the class that it extends.
        body = {"__reduce__": lambda self: (_restore, (cls, self.__dict__)), "__module__": cls.__module__}
        _STRICT_CLASSES[cls] = type(f"Strict{cls.__name__}", (StrictSamples, cls), body)
    return _STRICT_CLASSES[cls]


def _restore(cls: type, state: dict) -> Any:
    dataset = object.__new__(_strict_class(cls))
    dataset.__dict__.update(state)
    return dataset
