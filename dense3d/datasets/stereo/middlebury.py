"""Middlebury's scenes of 2005 to 2021 and of its third evaluation, and ETH3D's two-view scenes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dense3d.datasets.stereo.base import StereoDataset, choice, image_size, pair_record, subfolders
from dense3d.datasets.stereo.rigs import read_rig
from dense3d.errors import DataError
from dense3d.files import is_file, is_folder
from dense3d.registry import DATASETS
from dense3d.structures.rectified_rig import RectifiedRig

SIZES = {"full": 1, "half": 2, "third": 3}
FOCAL, BASELINE = 3740.0, 0.160  # of 2005 and 2006: pixels at full size, metres


@DATASETS.register_module()
class Middlebury(StereoDataset):
    """``SCENE/{im0.png,im1.png,disp0.pfm,mask0nocc.png,calib.txt}``; 2005, 2006 ``{view1,view5,disp1}.png``.

    Which of the two it is, each scene's folder tells. ``disp0GT.pfm`` of the third evaluation is found too,
    the mask and the calibration may be absent, and a scene without disparity (a test scene) has none.

    Args:
        data_root: folder with the scenes, such as ``MiddEval3/trainingQ``.
        right: name of the right image, or names of several: ``"im1"``, and with another exposure or light
            (2014) ``"im1E"``, ``"im1L"``.
        views: folders of the images in the scene, or a pattern of them: ``Illum2/Exp1`` or ``Illum*/Exp*`` of
            2005 and 2006, ``ambient/*`` of 2021, whose ``im0e3.png`` belongs to ``im1e3.png``. The scene
            itself unless given.
        size: of 2005 and 2006: ``"full"``, ``"half"`` or ``"third"``; their pngs hold disparity of the full
            size, and ``dmin.txt`` the offset at full size.
        **kwargs: of :class:`~dense3d.datasets.stereo.base.StereoDataset`.

    Raises:
        ConfigError: an unknown size.
        DataError: files are missing.
    """

    def __init__(
        self,
        data_root: str = "",
        right: str | Sequence[str] = "im1",
        views: str = "",
        size: str = "full",
        **kwargs: Any,
    ) -> None:
        self.rights = (right,) if isinstance(right, str) else tuple(right)
        self.views = views
        self.size = choice("size", size, tuple(SIZES))
        super().__init__(data_root=data_root, **kwargs)

    def pairs(self) -> Iterator[dict[str, Any]]:
        """The scenes in the order of their names."""
        for scene in subfolders(self.root):
            for folder in sorted(scene.glob(self.views)) if self.views else [scene]:
                if is_file(folder / "view1.png"):
                    yield self._old(scene, folder)
                elif self.views:
                    for left in sorted(folder.glob("im0*.png")):
                        yield scene_record(scene, scene, left.with_name(f"im1{left.name[3:]}"), left=left)
                elif is_file(scene / "im0.png"):
                    for right in self.rights:
                        yield scene_record(scene, scene, scene / f"{right}.png")

    def _old(self, scene: Path, folder: Path) -> dict[str, Any]:
        left, right = (folder / f"view{number}.png" for number in (1, 5))
        truth = scene / "disp1.png"
        divisor = SIZES[self.size]
        files = {"disparity": (truth, f"png8/{divisor}")} if is_file(truth) else {}
        name = folder.relative_to(scene.parent).as_posix()
        rig = _old_rig(scene / "dmin.txt", image_size(left), divisor)
        return pair_record(name, left, right, rig, **files)


@DATASETS.register_module()
class Eth3d(StereoDataset):
    """``two_view_training/SCENE/{im0,im1}.png``, ``calib.txt``; ``two_view_training_gt/SCENE/disp0GT.pfm``.

    Args:
        data_root: folder with these two, or with the scenes.
        split: ``"training"`` or ``"test"``, of which the second has no disparity.
        **kwargs: of :class:`~dense3d.datasets.stereo.base.StereoDataset`.

    Raises:
        ConfigError: an unknown split.
        DataError: files are missing.
    """

    def __init__(self, data_root: str = "", split: str = "training", **kwargs: Any) -> None:
        self.split = choice("split", split, ("training", "test"))
        super().__init__(data_root=data_root, **kwargs)

    def pairs(self) -> Iterator[dict[str, Any]]:
        """The scenes in the order of their names."""
        folder = self.root / f"two_view_{self.split}"
        folder = folder if is_folder(folder) else self.root
        truths = self.root / f"two_view_{self.split}_gt"
        truths = truths if is_folder(truths) else folder
        for scene in subfolders(folder):
            if is_file(scene / "im0.png"):
                yield scene_record(scene, truths / scene.name, scene / "im1.png", self.split == "training")


def scene_record(
    scene: Path, truth: Path, right: Path, required: bool = False, left: Path | None = None
) -> dict[str, Any]:
    """The record of a scene with ``im0.png`` and ``calib.txt``, whose ground truth lies in ``truth``.

    Args:
        scene, truth: folders.
        right: its right image.
        required: whether there has to be ground truth.
        left: its left image, unless that is ``im0.png``.
    """
    disparity = [path for name in ("disp0GT.pfm", "disp0.pfm") if is_file(path := truth / name)]
    files = {"disparity": (disparity[0], "pfm")} if disparity else {}
    if required and not disparity:
        files["disparity"] = (truth / "disp0GT.pfm", "pfm")
    if disparity and is_file(truth / "mask0nocc.png"):
        files["nonoccluded"] = (truth / "mask0nocc.png", "seen")
    rig, own, left = None, left is not None, left or scene / "im0.png"
    if is_file(scene / "calib.txt"):
        rig = read_rig(scene / "calib.txt", image_size(left))
    name = scene.name if right.stem == "im1" else f"{scene.name}/{right.stem}"
    name = left.relative_to(scene.parent).with_suffix("").as_posix() if own else name
    return pair_record(name, left, right, rig, **files)


def _old_rig(offset: Path, size: tuple[int, int] | None, divisor: int) -> RectifiedRig | None:
    """Of 2005 and 2006, whose principal point is not published and taken in the middle."""
    if size is None or not is_file(offset):
        return None
    try:
        doffs = float(offset.read_text().split()[0]) / divisor
    except (ValueError, IndexError, OSError):
        raise DataError(f"{offset}: one number was expected, the offset of the disparity in pixels") from None
    centre = [(side - 1) / 2 for side in size]
    return RectifiedRig(FOCAL / divisor, BASELINE, *centre, *size, doffs=doffs)
