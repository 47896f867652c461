"""Flow of two animated films: MPI Sintel and Spring."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from dense3d.datasets.stereo.base import StereoDataset, choice, pair_record, pictures, subfolders
from dense3d.files import is_folder
from dense3d.registry import DATASETS


@DATASETS.register_module()
class SintelFlow(StereoDataset):
    """``training/{clean,final}/SCENE/frame_NNNN.png``, ``flow/SCENE/frame_NNNN.flo``, ``occlusions``.

    Args:
        data_root: folder with ``training`` and ``test``.
        split: ``"training"`` or ``"test"``, of which the second has no flow.
        passes: ``"clean"``, ``"final"`` or both.
        **kwargs: of :class:`~dense3d.datasets.stereo.base.StereoDataset`.

    Raises:
        ConfigError: an unknown split or pass.
        DataError: files are missing.
    """

    def __init__(
        self,
        data_root: str = "",
        split: str = "training",
        passes: str | Sequence[str] = ("clean", "final"),
        **kwargs: Any,
    ) -> None:
        self.split = choice("split", split, ("training", "test"))
        passes = (passes,) if isinstance(passes, str) else tuple(passes)
        self.passes = [choice("passes", name, ("clean", "final", "albedo")) for name in passes]
        super().__init__(data_root=data_root, **kwargs)

    def pairs(self) -> Iterator[dict[str, Any]]:
        """Each frame with its successor, scene by scene."""
        folder = self.root / self.split
        for name in self.passes:
            for scene in subfolders(folder / name):
                frames = pictures(scene)
                for first, second in pairwise(frames):
                    place = Path(scene.name, first.name)
                    files = {}
                    if self.split == "training":
                        files["flow"] = ((folder / "flow" / place).with_suffix(".flo"), "flo")
                        if is_folder(folder / "occlusions"):
                            files["nonoccluded"] = (folder / "occlusions" / place, "occluded")
                    yield pair_record(f"{name}/{scene.name}/{first.stem}", first, second, **files)


@DATASETS.register_module()
class SpringFlow(StereoDataset):
    """``train/NNNN/{frame_left/frame_left_NNNN.png,flow_FW_left/flow_FW_left_NNNN.flo5}``, ``BW``, ``right``.

    Ground truth has twice the size of the images and values in pixels of the images; it needs h5py.

    Args:
        data_root: folder with ``train`` and ``test``.
        split: ``"train"`` or ``"test"``, of which the second has no flow.
        cameras: ``"left"``, ``"right"`` or both.
        directions: ``"FW"`` to the next frame, ``"BW"`` to the one before, or both.
        **kwargs: of :class:`~dense3d.datasets.stereo.base.StereoDataset`.

    Raises:
        ConfigError: an unknown split, camera or direction.
        DataError: files are missing.
    """

    def __init__(
        self,
        data_root: str = "",
        split: str = "train",
        cameras: str | Sequence[str] = ("left", "right"),
        directions: str | Sequence[str] = ("FW", "BW"),
        **kwargs: Any,
    ) -> None:
        self.split = choice("split", split, ("train", "test"))
        cameras = (cameras,) if isinstance(cameras, str) else tuple(cameras)
        directions = (directions,) if isinstance(directions, str) else tuple(directions)
        self.cameras = [choice("cameras", name, ("left", "right")) for name in cameras]
        self.directions = [choice("directions", name, ("FW", "BW")) for name in directions]
        super().__init__(data_root=data_root, **kwargs)

    def pairs(self) -> Iterator[dict[str, Any]]:
        """Each frame with the next or the one before, sequence by sequence."""
        for sequence in subfolders(self.root / self.split):
            for camera in self.cameras:
                frames = pictures(sequence / f"frame_{camera}")
                for direction in self.directions:
                    ordered = frames if direction == "FW" else frames[::-1]
                    for first, second in pairwise(ordered):
                        frame = first.stem.rpartition("_")[2]
                        kind = f"flow_{direction}_{camera}"
                        truth = (sequence / kind / f"{kind}_{frame}.flo5", "flo5")
                        files = {"flow": truth} if self.split == "train" else {}
                        name = f"{sequence.name}/{camera}_{direction}_{frame}"
                        yield pair_record(name, first, second, **files)
