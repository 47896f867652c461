"""Two sets of CroCo-Stereo's training mixture: CREStereo's renderings and Booster's glass and mirrors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dense3d.datasets.stereo.base import StereoDataset, choice, image_size, pair_record, pictures, subfolders
from dense3d.datasets.stereo.rigs import read_rig
from dense3d.files import is_file
from dense3d.registry import DATASETS


@DATASETS.register_module()
class CreStereo(StereoDataset):
    """``{hole,reflective,shapenet,tree}/NAME_{left.jpg,right.jpg,left.disp.png}``: 200,000 rendered pairs.

    Of J. Li et al., "Practical Stereo Matching via Cascaded Recurrent Network with Adaptive Correlation"
    (CVPR 2022). Disparity is the png over 32. There is no calibration.

    Args:
        data_root: folder with these folders, of any names.
        **kwargs: of :class:`~dense3d.datasets.stereo.base.StereoDataset`; ``only=["tree/*"]`` takes a part.

    Raises:
        DataError: files are missing.
    """

    def pairs(self) -> Iterator[dict[str, Any]]:
        """The pairs of each folder in the order of their names."""
        for folder in subfolders(self.root):
            for left in pictures(folder, "*_left.*"):
                if left.stem.endswith("_left"):  # disparity is called NAME_left.disp.png
                    name = left.stem.removesuffix("_left")
                    right = left.with_name(f"{name}_right{left.suffix}")
                    truth = left.with_name(f"{name}_left.disp.png")
                    yield pair_record(f"{folder.name}/{name}", left, right, disparity=(truth, "png/32"))


@DATASETS.register_module()
class Booster(StereoDataset):
    """``{train,test}/balanced/SCENE/{camera_00,camera_02}/NAME.png``, ``disp_00.npy``, ``mask_00.png``.

    Of P. Zama Ramirez et al., "Open Challenges in Deep Stereo: the Booster Dataset" (CVPR 2022). The images
    of a scene differ in their light and share the disparity, which is 0 where unknown; ``mask_00.png`` is 0
    where the right camera does not see. The rig is known where ``calib_00-02.xml`` is there. The unbalanced
    pairs, whose images differ in size, are no pairs for matchers of equal images, and are not read.

    Args:
        data_root: folder with ``train`` and ``test``.
        split: ``"train"`` or ``"test"``, of which the second has no disparity.
        **kwargs: of :class:`~dense3d.datasets.stereo.base.StereoDataset`.

    Raises:
        ConfigError: an unknown split.
        DataError: files are missing.
    """

    def __init__(self, data_root: str = "", split: str = "train", **kwargs: Any) -> None:
        self.split = choice("split", split, ("train", "test"))
        super().__init__(data_root=data_root, **kwargs)

    def pairs(self) -> Iterator[dict[str, Any]]:
        """The images of each scene."""
        for scene in subfolders(self.root / self.split / "balanced"):
            files = {}
            if self.split == "train":
                files["disparity"] = (scene / "disp_00.npy", "npy")
                if is_file(scene / "mask_00.png"):
                    files["nonoccluded"] = (scene / "mask_00.png", "nonzero")
            calibration = scene / "calib_00-02.xml"
            for left in pictures(scene / "camera_00"):
                size = image_size(left)
                rig = read_rig(calibration, size) if size is not None and is_file(calibration) else None
                right = scene / "camera_02" / left.name
                yield pair_record(f"{scene.name}/{left.stem}", left, right, rig, **files)
