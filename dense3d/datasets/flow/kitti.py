"""KITTI's flow benchmarks of 2012 and 2015."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dense3d.datasets.stereo.base import StereoDataset, choice, pair_record, pictures
from dense3d.files import is_folder
from dense3d.registry import DATASETS

FOLDERS = {"2012": "colored_0", "2012-grey": "image_0", "2015": "image_2"}


@DATASETS.register_module()
class KittiFlow(StereoDataset):
    """``training/{image_2,flow_occ,flow_noc}/NNNNNN_10.png``, the second frame ``image_2/NNNNNN_11.png``.

    Of 2012 the images lie in ``colored_0`` or ``image_0``. ``flow_noc`` may be absent.

    Args:
        data_root: folder with ``training`` and ``testing``.
        benchmark: ``"2015"``, ``"2012"`` or ``"2012-grey"``.
        split: ``"training"`` or ``"testing"``, of which the second has no flow.
        **kwargs: of :class:`~dense3d.datasets.stereo.base.StereoDataset`.

    Raises:
        ConfigError: an unknown benchmark or split.
        DataError: files are missing.
    """

    def __init__(
        self, data_root: str = "", benchmark: str = "2015", split: str = "training", **kwargs: Any
    ) -> None:
        self.benchmark = choice("benchmark", str(benchmark), tuple(FOLDERS))
        self.split = choice("split", split, ("training", "testing"))
        super().__init__(data_root=data_root, **kwargs)

    def pairs(self) -> Iterator[dict[str, Any]]:
        """The frames ``_10`` with their successors."""
        folder = self.root / self.split
        for first in pictures(folder / FOLDERS[self.benchmark], "*_10.*"):
            files = {}
            if self.split == "training":
                files["flow"] = (folder / "flow_occ" / f"{first.stem}.png", "kitti")
                if is_folder(folder / "flow_noc"):
                    files["nonoccluded"] = (folder / "flow_noc" / f"{first.stem}.png", "known-flow/kitti")
            second = first.with_name(first.name.replace("_10.", "_11."))
            yield pair_record(first.stem, first, second, **files)
