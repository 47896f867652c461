"""TartanAir: drones through rendered places, with dense flow of the left camera."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from dense3d.datasets.stereo.base import StereoDataset, pair_record, pictures
from dense3d.files import is_folder
from dense3d.registry import DATASETS

DEPTHS = ("*/*/image_left", "*/*/*/image_left", "*/*/*/*/image_left")  # Easy/P000 and what is above it


@DATASETS.register_module()
class TartanAirFlow(StereoDataset):
    """``PLACE/PLACE/{Easy,Hard}/P000/{image_left/NNNNNN_left.png,flow/NNNNNN_MMMMMM_flow.npy}``.

    Of W. Wang et al., "TartanAir: A Dataset to Push the Limits of Visual SLAM" (IROS 2020). The archives
    unpack to ``PLACE/PLACE``; a root with ``PLACE/Easy`` or that of one place is read too. What is not
    occluded is what ``NNNNNN_MMMMMM_mask.npy`` marks with 0, where that is there.

    Args:
        data_root: folder with the places.
        **kwargs: of :class:`~dense3d.datasets.stereo.base.StereoDataset`; ``only=["office/*"]`` is one place.

    Raises:
        DataError: files are missing.
    """

    def pairs(self) -> Iterator[dict[str, Any]]:
        """Each frame with its successor, trajectory by trajectory."""
        for frames in sorted(path for depth in DEPTHS for path in self.root.glob(depth) if is_folder(path)):
            trajectory = frames.parent.relative_to(self.root)
            for first, second in pairwise(pictures(frames)):
                yield self._record(frames.parent / "flow", trajectory, first, second)

    def _record(self, folder: Path, trajectory: Path, first: Path, second: Path) -> dict[str, Any]:
        number, following = (image.stem.partition("_")[0] for image in (first, second))
        stem = f"{number}_{following}"
        files = {"flow": (folder / f"{stem}_flow.npy", "npy")}
        if (folder / f"{stem}_mask.npy").is_file():
            files["nonoccluded"] = (folder / f"{stem}_mask.npy", "occluded/npy")
        parts = trajectory.parts[1:] if trajectory.parts[:1] == trajectory.parts[1:2] else trajectory.parts
        return pair_record("/".join((*parts, number)), first, second, **files)
