"""What all data sets of point clouds share: a record for each cloud."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from dense3d.datasets.strict import SampleError, StrictSamples
from dense3d.errors import ConfigError, DataError, did_you_mean
from dense3d.files import is_file, is_folder

LAYOUT = "docs/point-cloud-data.md"


class PointCloudDataset(StrictSamples, BaseDataset):
    """Base of the data sets of point clouds.

    A sample starts as a record with ``sample_id``, ``reader`` and ``path`` (see
    :mod:`dense3d.datasets.pointcloud.loading`), and ``gt_label``, ``category`` and so on as far as they are
    known; :class:`~dense3d.datasets.pointcloud.loading.LoadPoints` reads the points. When the data set is
    made, the files of all clouds are looked for: missing ones are counted and the first is named. With
    ``skip_bad_samples=True`` they are left out.

    Args:
        data_root: folder of the data set.
        only: names of classes that are taken; labels keep their numbers.
        skip_bad_samples: see :class:`~dense3d.datasets.strict.StrictSamples`.
        **kwargs: ``pipeline``, ``test_mode``, ``indices`` ... of mmengine's ``BaseDataset``.

    Raises:
        DataError: there is no such folder, no cloud in it, or a file is missing.
        ConfigError: ``only`` names an unknown class.
    """

    REMEDY = ""  # what makes the folder, if a command of ours does

    def __init__(self, data_root: str = "", only: Sequence[str] | None = None, **kwargs: Any) -> None:
        self.only = only
        self.left_out: list[str] = []
        super().__init__(data_root=str(data_root), **kwargs)

    @property
    def root(self) -> Path:
        """The data set's folder.

        Raises:
            DataError: there is none.
        """
        root = Path(self.data_root or "")
        if not self.data_root or not is_folder(root):
            remedy = self.REMEDY.format(root) if self.REMEDY else f"its layout is described in {LAYOUT}"
            raise DataError(f"{root}: the data root does not exist; {remedy}")
        return root

    def records(self) -> Iterable[dict[str, Any]]:
        """The records in their order; each data set has its own."""
        raise NotImplementedError

    def load_data_list(self) -> list[dict[str, Any]]:
        """The records of all clouds whose files are there."""
        records = self._selected(list(self.records()))
        if not records:
            raise DataError(f"{self.data_root} holds no cloud of {type(self).__name__}; see {LAYOUT}")
        faults = [
            (index, path)
            for index, record in enumerate(records)
            for path in record.get("needs", (record["path"],))
            if not (is_file(path) or is_folder(path))
        ]
        if not faults:
            return records
        bad = {index for index, _ in faults}
        total = f" ({len(bad)} of {len(records)} clouds lack a file)" if len(bad) > 1 else ""
        if not self.skip_bad_samples or self.test_mode or len(bad) == len(records):
            raise DataError(f"{faults[0][1]} does not exist{total}; the layout is described in {LAYOUT}")
        self.left_out = [f"{path} does not exist (cloud {records[i]['sample_id']})" for i, path in faults]
        print_log(f"{self.data_root}: {self.left_out[0]} and is left out{total}", "current", 30)
        return [record for index, record in enumerate(records) if index not in bad]

    def bad_samples(self) -> list[str]:
        """A sentence for each sample that was left out at the start or skipped since."""
        return [*self.left_out, *super().bad_samples()]

    def _selected(self, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if self.only is None:
            return records
        classes = list(self.metainfo.get("classes", ()))
        for name in self.only:
            if name not in classes:
                raise ConfigError(f"{type(self).__name__} has no class {name!r}{did_you_mean(name, classes)}")
        labels = {classes.index(name) for name in self.only}
        return [record for record in records if record.get("gt_label") in labels]

    def _files(self, index: int) -> list[str]:
        return [self.get_data_info(index)["path"]]

    def _explain(self, index: int, error: Exception) -> Exception:
        path = self._files(index)[0]  # no image, which is what the base class would look for
        return RuntimeError(f"sample {index} ({path}) cannot be prepared: {type(error).__name__}: {error}")

    def _diagnose(self, index: int, otherwise: str) -> SampleError:
        return SampleError(f"{self._files(index)[0]}: {otherwise} (sample {index})")


def read_lines(path: Path) -> list[str]:
    """The lines of a list of a data set, without empty ones.

    Raises:
        DataError: it is missing, empty or no text.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; the layout is described in {LAYOUT}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as a list ({error})") from None
    lines = [line for line in lines if line]
    if not lines:
        raise DataError(f"{path} lists nothing; the layout is described in {LAYOUT}")
    return lines


def choice(name: str, value: Any, known: Sequence[Any]) -> Any:
    """``value`` if it is one of ``known``.

    Raises:
        ConfigError: it is not.
    """
    if value not in known:
        raise ConfigError(f"{name} must be one of {', '.join(map(repr, known))}, not {value!r}")
    return value
