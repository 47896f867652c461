"""FlyingChairs and FlyingThings3D: rendered pairs of frames with dense flow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from dense3d.datasets.stereo.base import StereoDataset, choice, pair_record, pictures
from dense3d.errors import DataError
from dense3d.files import is_file
from dense3d.registry import DATASETS

PASSES = {"clean": "frames_cleanpass", "final": "frames_finalpass"}
DIRECTIONS = {
    "future": ("into_future", "OpticalFlowIntoFuture", 1),
    "past": ("into_past", "OpticalFlowIntoPast", -1),
}


@DATASETS.register_module()
class FlyingChairs(StereoDataset):
    """``data/NNNNN_img1.ppm``, ``NNNNN_img2.ppm``, ``NNNNN_flow.flo`` and a list of what is for training.

    Args:
        data_root: folder with ``data``.
        split: ``"train"``, ``"val"`` or ``"all"``.
        split_file: a line a pair, 1 for training and 2 for validation; below ``data_root`` or elsewhere.
        **kwargs: of :class:`~dense3d.datasets.stereo.base.StereoDataset`.

    Raises:
        ConfigError: an unknown split.
        DataError: files are missing, or the list has another length.
    """

    def __init__(
        self,
        data_root: str = "",
        split: str = "train",
        split_file: str = "FlyingChairs_train_val.txt",
        **kwargs: Any,
    ) -> None:
        self.split = choice("split", split, ("train", "val", "all"))
        self.split_file = split_file
        super().__init__(data_root=data_root, **kwargs)

    def pairs(self) -> Iterator[dict[str, Any]]:
        """The pairs of the split in the order of their numbers."""
        frames = pictures(self.root / "data", "*_img1.*")
        for first, part in zip(frames, self._parts(len(frames))):
            if self.split in ("all", part):
                name = first.name.removesuffix(f"_img1{first.suffix}")
                second = first.with_name(f"{name}_img2{first.suffix}")
                yield pair_record(name, first, second, flow=(first.with_name(f"{name}_flow.flo"), "flo"))

    def _parts(self, count: int) -> list[str]:
        if self.split == "all":
            return ["all"] * count
        path = self.root / self.split_file
        path = path if is_file(path) else Path(self.split_file)
        try:
            parts = [{"1": "train", "2": "val"}[word] for word in path.read_text().split()]
        except (OSError, UnicodeDecodeError):
            raise DataError(f"{path}: the split cannot be read; download it, or set split='all'") from None
        except KeyError as error:
            raise DataError(f"{path}: {error} is neither 1 (training) nor 2 (validation)") from None
        if len(parts) != count:
            raise DataError(f"{path} has {len(parts)} entries, but {self.root / 'data'} has {count} pairs")
        return parts


@DATASETS.register_module()
class FlyingThings(StereoDataset):
    """``frames_cleanpass/TRAIN/A/NNNN/left/NNNN.png``, ``optical_flow/TRAIN/A/NNNN/into_future/left/*.pfm``.

    Args:
        data_root: folder with ``frames_cleanpass`` and ``optical_flow``.
        split: ``"TRAIN"`` or ``"TEST"``.
        passes: ``"clean"``, ``"final"`` or both.
        directions: ``"future"`` to the next frame, ``"past"`` to the one before, or both.
        cameras: ``"left"``, ``"right"`` or both.
        **kwargs: of :class:`~dense3d.datasets.stereo.base.StereoDataset`.

    Raises:
        ConfigError: an unknown split, pass, direction or camera.
        DataError: files are missing.
    """

    def __init__(
        self,
        data_root: str = "",
        split: str = "TRAIN",
        passes: str | Sequence[str] = ("clean",),
        directions: str | Sequence[str] = ("future", "past"),
        cameras: str | Sequence[str] = ("left",),
        **kwargs: Any,
    ) -> None:
        self.split = choice("split", split, ("TRAIN", "TEST"))
        names = {"passes": (passes, PASSES), "directions": (directions, DIRECTIONS)}
        names["cameras"] = (cameras, {"left": "L", "right": "R"})
        for key, (given, known) in names.items():
            given = (given,) if isinstance(given, str) else tuple(given)
            setattr(self, key, [choice(key, name, tuple(known)) for name in given])
        super().__init__(data_root=data_root, **kwargs)

    def pairs(self) -> Iterator[dict[str, Any]]:
        """Each frame with its neighbour, scene by scene."""
        for name in self.passes:
            folder = self.root / PASSES[name] / self.split
            for camera in self.cameras:
                for frames in sorted(path for path in folder.rglob(camera) if path.is_dir()):
                    place = Path(self.split) / frames.parent.relative_to(folder)
                    for direction in self.directions:
                        yield from self._scene(name, camera, direction, frames, place)

    def _scene(
        self, name: str, camera: str, direction: str, frames: Path, place: Path
    ) -> Iterator[dict[str, Any]]:
        into, stem, step = DIRECTIONS[direction]
        ordered = pictures(frames)[::step]
        for first, second in pairwise(ordered):
            file = f"{stem}_{first.stem}_{'L' if camera == 'left' else 'R'}.pfm"
            truth = self.root / "optical_flow" / place / into / camera / file
            sample_id = f"{name}/{place.as_posix()}/{camera}_{direction}_{first.stem}"
            yield pair_record(sample_id, first, second, flow=(truth, "pfm"))
