"""DrivingStereo: streets with disparity and depth from accumulated lidar."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dense3d.datasets.stereo.base import StereoDataset, choice, pair_record, pictures, subfolders
from dense3d.datasets.stereo.rigs import read_rig
from dense3d.errors import DataError
from dense3d.files import is_file, is_folder
from dense3d.image_files import IMAGE_SUFFIXES
from dense3d.registry import DATASETS
from dense3d.structures.rectified_rig import RectifiedRig

KINDS = ("left-image", "right-image", "disparity-map", "depth-map")


@DATASETS.register_module()
class DrivingStereo(StereoDataset):
    """``{train-left-image,train-right-image,train-disparity-map,train-depth-map}/SEQUENCE/FRAME.{jpg,png}``.

    The test and weather sets have ``left-image-half-size`` and so on, with or without sequences. All of these
    names are found. Values of disparity (pixels) and depth (metres) are the png's over 256, of disparity of
    full size over 128.

    Args:
        data_root: folder with those folders.
        truth: ``"disparity"``, ``"depth"``, ``"both"`` or None.
        calibration: folder of the files ``SEQUENCE.txt``, such as ``half-image-calib``, below ``data_root``.
        divisor: of the disparity's png: units a pixel; by the folder's name, as above, unless given.
        **kwargs: of :class:`~dense3d.datasets.stereo.base.StereoDataset`.

    Raises:
        ConfigError: another kind of ground truth.
        DataError: files are missing.
    """

    def __init__(
        self,
        data_root: str = "",
        truth: str | None = "both",
        calibration: str | None = None,
        divisor: float | None = None,
        **kwargs: Any,
    ) -> None:
        self.truth = choice("truth", truth, ("disparity", "depth", "both", None))
        self.calibration, self.divisor = calibration, divisor
        super().__init__(data_root=data_root, **kwargs)

    def pairs(self) -> Iterator[dict[str, Any]]:
        """The frames, sequence by sequence."""
        folders = {kind: self._folder(kind) for kind in KINDS}
        if folders["left-image"] is None or folders["right-image"] is None:
            raise DataError(f"{self.data_root} has no folders of left and right images; see {self.LAYOUT}")
        wanted = {"disparity": "disparity-map", "depth": "depth-map"}
        wanted = {name: kind for name, kind in wanted.items() if self.truth in (name, "both")}
        wanted = {name: kind for name, kind in wanted.items() if self.truth != "both" or folders[kind]}
        for kind in wanted.values():
            if folders[kind] is None:
                raise DataError(f"{self.data_root} has no folder of a {kind}, but truth is {self.truth!r}")
        forms = {"disparity": f"png/{self._divisor(folders['disparity-map']):g}", "depth": "png/256"}
        left = folders["left-image"]
        rigs: dict[str, RectifiedRig | None] = {}
        for sequence in subfolders(left) or [left]:
            part = sequence.relative_to(left)
            for image in pictures(sequence):
                date = part.name or image.stem.partition("_")[0]
                if date not in rigs:
                    rigs[date] = self._rig(date)
                files = {
                    name: (folders[kind] / part / f"{image.stem}.png", forms[name])
                    for name, kind in wanted.items()
                }
                right = _same(folders["right-image"] / part / image.name)
                yield pair_record((part / image.stem).as_posix(), image, right, rigs[date], **files)

    def _folder(self, kind: str) -> Path | None:
        """The folder of a kind, however the part of the data set calls it."""
        parts = ("train-", "test-", "val-", "")
        names = [f"{part}{kind}{size}" for part in parts for size in ("", "-half-size", "-full-size")]
        found = [folder for name in names if is_folder(folder := self.root / name)]
        if len(found) > 1:
            both = " and ".join(folder.name for folder in found)
            raise DataError(f"{self.data_root} holds {both}: give each a data_root of its own")
        return found[0] if found else None

    def _divisor(self, folder: Path | None) -> float:
        if self.divisor is not None:
            return self.divisor
        return 128 if folder is not None and folder.name.endswith("-full-size") else 256

    def _rig(self, date: str) -> RectifiedRig | None:
        if self.calibration is None:
            return None
        path = self.root / self.calibration / f"{date}.txt"
        if not is_file(path):
            path = Path(self.calibration) / f"{date}.txt"
        return read_rig(path)


def _same(path: Path) -> Path:
    """The file, or one of that name and another suffix."""
    others = [path.with_suffix(suffix) for suffix in IMAGE_SUFFIXES]
    return next((other for other in [path, *others] if is_file(other)), path)
