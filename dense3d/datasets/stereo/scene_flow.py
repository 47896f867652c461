"""Scene Flow: FlyingThings3D, Monkaa and Driving, rendered pairs with dense disparity."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dense3d.datasets.stereo.base import StereoDataset, choice, image_size, pair_record
from dense3d.errors import DataError
from dense3d.files import is_folder
from dense3d.registry import DATASETS
from dense3d.structures.rectified_rig import RectifiedRig

PASSES = {"clean": ("frames_cleanpass", "image_clean"), "final": ("frames_finalpass", "image_final")}
FOCAL = {"15mm_focallength": 450.0}  # pixels; all other scenes have 1050
WIDTH = 960  # pixels, of the images that these focal lengths are given for


@DATASETS.register_module()
class SceneFlow(StereoDataset):
    """``frames_cleanpass/SCENE/left/N.png``, ``right``, ``disparity/SCENE/left/N.pfm``.

    FlyingThings3D's scenes begin with TRAIN or TEST: ``only=["TRAIN/*"]`` takes one of them. The subset of
    it, with ``image_clean`` beside ``disparity`` and ``disparity_occlusions``, is read too. The sign of the
    pfm is found in the file. ``occlusion`` (255 where occluded) is used where it is there. One unit of the
    scenes, by which the cameras are apart, is taken for a metre.

    Args:
        data_root: folder with ``frames_cleanpass`` and ``disparity``.
        passes: ``"clean"``, ``"final"`` or both, ``("clean", "final")``.
        **kwargs: of :class:`~dense3d.datasets.stereo.base.StereoDataset`.

    Raises:
        ConfigError: an unknown pass.
        DataError: files are missing.
    """

    def __init__(
        self, data_root: str = "", passes: str | tuple[str, ...] = ("clean",), **kwargs: Any
    ) -> None:
        passes = (passes,) if isinstance(passes, str) else tuple(passes)
        self.passes = [choice("passes", name, tuple(PASSES)) for name in passes]
        super().__init__(data_root=data_root, **kwargs)

    def pairs(self) -> Iterator[dict[str, Any]]:
        """The frames of each pass, scene by scene."""
        for name in self.passes:
            folders = [folder for part in PASSES[name] if is_folder(folder := self.root / part)]
            if not folders:
                names = " nor ".join(PASSES[name])
                raise DataError(f"{self.data_root} has neither {names}; see {self.LAYOUT}")
            for left in left_images(folders[0]):
                yield self._record(name, folders[0], left)

    def _record(self, name: str, folder: Path, left: Path) -> dict[str, Any]:
        place = left.relative_to(folder)
        scene = place.parent.parent
        files = {"disparity": ((self.root / "disparity" / place).with_suffix(".pfm"), "pfm")}
        for kind in ("occlusion", "disparity_occlusions"):
            if is_folder(self.root / kind):
                files["nonoccluded"] = ((self.root / kind / place).with_suffix(".png"), "occluded")
        sample_id = (scene / left.stem).as_posix() + ("_final" if name == "final" else "")
        size = image_size(left)
        rig = None if size is None else scene_flow_rig(scene.as_posix(), size)
        return pair_record(sample_id, left, folder / scene / "right" / left.name, rig, **files)


def left_images(folder: Path) -> list[Path]:
    """Files in folders named ``left`` at any depth, sorted."""
    found = [path for path in folder.rglob("left") if path.is_dir()]
    return sorted(path for one in found for path in one.iterdir() if path.suffix in (".png", ".webp", ".jpg"))


def scene_flow_rig(scene: str, size: tuple[int, int]) -> RectifiedRig:
    """The rig that all frames of a scene were rendered with, as the data set's page gives it.

    Args:
        scene: its folder, such as ``TRAIN/A/0032`` or ``15mm_focallength/scene_forwards/fast``.
        size: width and height of the images, 960 and 540 as published.

    Returns:
        focal length in pixels, a baseline of one unit of the scenes, and the principal point in the middle.

    Example:
        >>> scene_flow_rig("TRAIN/A/0032", (960, 540)).focal
        1050.0
    """
    focal = FOCAL.get(scene.partition("/")[0], 1050.0) * size[0] / WIDTH
    return RectifiedRig(focal, 1.0, (size[0] - 1) / 2, (size[1] - 1) / 2, *size)
