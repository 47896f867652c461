"""Pairs of the synthetic world, and of own cameras laid out in the same way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dense3d.datasets.stereo.base import StereoDataset, pair_record, pictures
from dense3d.datasets.stereo.rigs import read_rig
from dense3d.errors import DataError
from dense3d.files import is_file
from dense3d.registry import DATASETS


@DATASETS.register_module()
class SyntheticStereo(StereoDataset):
    """``SPLIT/left/NAME.png``, ``right``, ``disparity/NAME.pfm``, ``nonoccluded/NAME.png`` and ``rig.json``.

    ``dense3d make-synthetic stereo`` writes it. Of own pairs only ``left`` and ``right`` must be there;
    disparity may also be a png of 16 bits with 256 units a pixel.

    Args:
        data_root: folder with the splits; ``rig.json`` lies in it or in the split.
        split: ``"train"`` or ``"val"``, any subfolder; ``""`` for none.
        **kwargs: of :class:`~dense3d.datasets.stereo.base.StereoDataset`.

    Raises:
        DataError: there is no such folder, or disparity of some pairs only.
    """

    def __init__(self, data_root: str = "", split: str = "train", **kwargs: Any) -> None:
        self.split = split
        super().__init__(data_root=data_root, **kwargs)

    def pairs(self) -> Iterator[dict[str, Any]]:
        """The left images in the order of their names."""
        folder = self.root / self.split
        rig = next((read_rig(p) for f in (folder, self.root) if is_file(p := f / "rig.json")), None)
        kinds = {
            "disparity": [(".pfm", "pfm"), (".png", "png/256")],
            "nonoccluded": [(".png", "seen")],
        }
        for left in pictures(folder / "left"):
            files = {}
            for name, forms in kinds.items():
                if not (folder / name).is_dir():
                    continue
                places = [(folder / name / f"{left.stem}{suffix}", form) for suffix, form in forms]
                files[name] = next((place for place in places if is_file(place[0])), places[0])
            right = folder / "right" / left.name
            if not is_file(right):
                others = [path for path in (folder / "right").glob(f"{left.stem}.*") if is_file(path)]
                right = others[0] if others else right
            yield pair_record(left.stem, left, right, rig, **files)

    def pictures_of_regions(self, name: str) -> list[str]:
        """Files of another mask of the world's, such as ``textureless``, in the order of the pairs.

        Raises:
            DataError: there is no folder of that name.
        """
        folder = self.root / self.split / name
        if not folder.is_dir():
            raise DataError(f"{folder} does not exist: the pairs were written without that mask")
        return [str(folder / f"{self.get_data_info(i)['sample_id']}.png") for i in range(len(self))]
