"""The data set of cross-view pre-training: pairs of pictures from a list, without labels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmcv.transforms import BaseTransform
from mmengine.dataset import BaseDataset

from dense3d.datasets.cross_view.lists import read_pairs
from dense3d.datasets.stereo.pictures import read_picture
from dense3d.datasets.strict import StrictSamples
from dense3d.errors import DataError
from dense3d.files import is_file, is_folder
from dense3d.registry import DATASETS, TRANSFORMS


@DATASETS.register_module()
class CrossViewPairs(StrictSamples, BaseDataset):
    """Pairs of views; ``dense3d make-pairs`` writes their list.

    A sample starts with ``left_path``, ``right_path`` and ``sample_id``; for CroCo, ``left`` is the view that
    is hidden in part and ``right`` the reference.

    Args:
        data_root: folder that the names in the list are relative to.
        ann_file: the list, relative to ``data_root``, or several, whose pairs follow one another.
        check_files: look for every file when the data set is made. Lists of millions of pairs on a network
            disk may rather do without.
        *args, **kwargs: as for mmengine's ``BaseDataset`` and :class:`dense3d.datasets.strict.StrictSamples`.

    Raises:
        DataError: there is no such folder or list, a line is none of a pair, or a file is missing.
    """

    def __init__(
        self,
        data_root: str = "",
        ann_file: str | Sequence[str] = "pairs.txt",
        check_files: bool = True,
        **kwargs: Any,
    ) -> None:
        self.lists = [ann_file] if isinstance(ann_file, (str, Path)) else list(ann_file)
        self.check_files = check_files
        super().__init__(data_root=str(data_root), ann_file="", **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """The pairs in the order of the lists."""
        root = Path(self.data_root or ".")
        if not is_folder(root):
            raise DataError(f"{root} is no folder: set data_root to the folder that the list's names are in")
        records, missing, there = [], [], set()
        for name in self.lists:
            file = root / name
            for number, pair in enumerate(read_pairs(file)):
                left, right = (os.path.join(root, *part.split("/")) for part in pair)  # noqa: PTH118 - faster
                records.append(
                    dict(left_path=left, right_path=right, sample_id=f"{Path(name).stem}/{number}")
                )
                for path in (left, right) if self.check_files else ():
                    if path not in there:
                        there.add(path)
                        if not is_file(path):
                            missing.append(f"{path}, which {file} names, does not exist")
        if missing:
            more = f" ({len(missing)} of {len(there)} pictures do not)" if len(missing) > 1 else ""
            raise DataError(f"{missing[0]}{more}: check data_root, or make the list again")
        return records

    def _files(self, index: int) -> list[str]:
        info = self.get_data_info(index)
        return [info["left_path"], info["right_path"]]


@TRANSFORMS.register_module()
class LoadCrossViews(BaseTransform):
    """Read ``left`` and ``right`` (H, W, 3), RGB uint8; they may differ in size.

    Raises:
        DataError: a file is missing, damaged or no image.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Read both views."""
        for side in ("left", "right"):
            if side not in results:
                results[side] = read_picture(results[f"{side}_path"])
        results["ori_shape"] = results["img_shape"] = results["left"].shape[:2]
        return results
