"""What all data sets of stereo pairs and of optical flow share: a record for each pair."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from dense3d.datasets.scan.images import check_image
from dense3d.datasets.strict import StrictSamples
from dense3d.errors import ConfigError, DataError, did_you_mean
from dense3d.files import is_file, is_folder
from dense3d.image_files import IMAGE_SUFFIXES, open_image
from dense3d.structures.rectified_rig import RectifiedRig


def pair_record(
    sample_id: str,
    left: Path,
    right: Path,
    rig: RectifiedRig | None = None,
    reference: str = "left",
    **files: tuple[Path, str] | None,
) -> dict[str, Any]:
    """What a data set lists for a pair, and the loading transform starts from.

    Args:
        sample_id: name of the pair within its data set.
        left, right: images; the first and second one of flow.
        rig: of the images, if known.
        reference: ``"right"`` where ``left`` is the right camera's image, and x matches x + disparity.
        **files: ground truth: ``disparity``, ``depth``, ``flow``, ``nonoccluded``, ``out_of_frame`` to a path
            and a format of :mod:`dense3d.datasets.stereo.formats`; None stands for none.
    """
    known = {name: (str(entry[0]), entry[1]) for name, entry in files.items() if entry is not None}
    return dict(
        sample_id=sample_id,
        left_path=str(left),
        right_path=str(right),
        rig=rig,
        reference=reference,
        files=known,
    )


class StereoDataset(StrictSamples, BaseDataset):
    """Base of the data sets of image pairs.

    A sample starts as :func:`pair_record` describes. When the data set is made, all its files are looked for:
    pairs that lack one are counted and the first is named. With ``skip_bad_samples=True`` they are left out,
    and :meth:`bad_samples` lists them.

    Args:
        data_root: folder of the data set.
        only: sample ids that are taken, or patterns of them as ``"A/*"``, or a file with one in each line.
        without: those that are left out, in the same way.
        skip_bad_samples: see :class:`~dense3d.datasets.strict.StrictSamples`.
        check_pictures: also read header and end of each picture at the start, which finds those that are cut
            off; ``dense3d browse CONFIG --check`` does so too.
        **kwargs: ``pipeline``, ``test_mode``, ``indices`` ... of mmengine's ``BaseDataset``.

    Raises:
        DataError: there is no such folder, no pair in it, or a file is missing.
    """

    LAYOUT = "docs/stereo-data.md"

    def __init__(
        self,
        data_root: str = "",
        only: Sequence[str] | str | None = None,
        without: Sequence[str] | str | None = None,
        check_pictures: bool = False,
        **kwargs: Any,
    ) -> None:
        self.only, self.without = only, without
        self.check_pictures, self.left_out = check_pictures, []
        super().__init__(data_root=data_root, **kwargs)

    @property
    def root(self) -> Path:
        """The data set's folder.

        Raises:
            DataError: there is none.
        """
        root = Path(self.data_root or "")
        if not self.data_root or not is_folder(root):
            raise DataError(f"{root}: the data root does not exist; its layout is described in {self.LAYOUT}")
        return root

    def pairs(self) -> Iterable[dict[str, Any]]:
        """The records in their order; each data set has its own."""
        raise NotImplementedError

    def load_data_list(self) -> list[dict[str, Any]]:
        """The records of all pairs, whose files are there."""
        records = select(list(self.pairs()), self.only, self.without, self.data_root)
        if not records:
            raise DataError(f"{self.data_root} holds no pair of {type(self).__name__}; see {self.LAYOUT}")
        faults = [(record, fault) for record in records if (fault := self._fault(record))]
        if faults and (not self.skip_bad_samples or self.test_mode):
            total = f" ({len(faults)} of {len(records)} pairs have such a fault)" if len(faults) > 1 else ""
            raise DataError(f"{faults[0][1]}{total}; its layout is described in {self.LAYOUT}")
        self.left_out = [f"{fault} (pair {record['sample_id']})" for record, fault in faults]
        if len(faults) == len(records):
            raise DataError(f"all {len(records)} pairs of {self.data_root} are bad: {faults[0][1]}")
        if faults:
            print_log(
                f"{self.data_root}: {len(faults)} of {len(records)} pairs are left out, the first because "
                f"{self.left_out[0]}",
                "current",
                30,
            )
        bad = {id(record) for record, _ in faults}
        return [record for record in records if id(record) not in bad]

    def bad_samples(self) -> list[str]:
        """A sentence for each pair that was left out at the start or skipped since."""
        return [*self.left_out, *super().bad_samples()]

    def _fault(self, record: dict[str, Any]) -> str | None:
        pictures = [record["left_path"], record["right_path"]]
        for path in [*pictures, *(path for path, _ in record["files"].values())]:
            if not is_file(path):
                return f"{path} does not exist"
        if self.check_pictures:
            return next((str(fault) for path in pictures if (fault := check_image(path))), None)
        return None

    def _files(self, index: int) -> list[str]:
        info = self.get_data_info(index)
        return [info["left_path"], info["right_path"]]


def subfolders(folder: Path) -> list[Path]:
    """Folders in a folder, sorted.

    Raises:
        DataError: it does not exist.
    """
    if not is_folder(folder):
        raise DataError(f"{folder} does not exist; the layout is described in {StereoDataset.LAYOUT}")
    return sorted(path for path in folder.iterdir() if path.is_dir())


def pictures(folder: Path, pattern: str = "*") -> list[Path]:
    """Image files in a folder, sorted.

    Raises:
        DataError: it does not exist.
    """
    if not is_folder(folder):
        raise DataError(f"{folder} does not exist; the layout is described in {StereoDataset.LAYOUT}")
    return sorted(path for path in folder.glob(pattern) if path.suffix.lower() in IMAGE_SUFFIXES)


def select(
    records: list[dict[str, Any]],
    only: Sequence[str] | str | None,
    without: Sequence[str] | str | None,
    where: str,
) -> list[dict[str, Any]]:
    """Records whose ids fit, in their order; see :class:`StereoDataset`.

    Raises:
        ConfigError: a name or pattern fits no record.
        DataError: a file of names cannot be read.
    """
    for names, keep in ((only, True), (without, False)):
        if names is None or not records:
            continue
        fitting: set[str] = set()
        ids = [record["sample_id"] for record in records]
        there = set(ids)
        for name in names_of(names):
            found = {name} & there or set(fnmatch.filter(ids, name))
            if not found:
                hint = did_you_mean(name, ids) or f"; there are {', '.join(ids[:3])} ..."
                raise ConfigError(f"{where} has no pair {name!r}{hint}")
            fitting |= found
        records = [record for record in records if (record["sample_id"] in fitting) == keep]
    return records


def names_of(names: Sequence[str] | str) -> list[str]:
    """Names, of a list or of the lines of a file.

    Raises:
        DataError: the file cannot be read.
    """
    if not isinstance(names, str):
        return [str(name) for name in names]
    try:
        lines = Path(names).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{names}: a list of pairs cannot be read there ({error})") from None
    return [line.strip() for line in lines if line.strip()]


def image_size(path: Path) -> tuple[int, int] | None:
    """Width and height of an image as its header tells them; None where there is none."""
    try:
        with open_image(path) as image:
            return image.size
    except (OSError, ValueError):
        return None


def choice(name: str, value: Any, known: Sequence[Any]) -> Any:
    """``value`` if it is one of ``known``.

    Raises:
        ConfigError: it is not.
    """
    if value not in known:
        raise ConfigError(f"{name} must be one of {', '.join(map(repr, known))}, not {value!r}")
    return value
