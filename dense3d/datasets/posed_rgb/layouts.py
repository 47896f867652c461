"""Which layout a folder or file of posed photographs has."""

from __future__ import annotations

from pathlib import Path

from dense3d.datasets.posed_rgb.frames import PosedScene
from dense3d.datasets.posed_rgb.scannet import is_scannet, read_scannet
from dense3d.datasets.posed_rgb.transforms_json import read_blender, read_transforms
from dense3d.errors import DataError
from dense3d.files import is_file, is_folder

SPLITS = ("train", "val", "test")


def read_scene(path: str | Path, split: str | None = None) -> PosedScene:
    """Photographs and cameras of one scene.

    ======================================================  ===============================================
    ``transforms.json``, or any file of that kind           nerfstudio, instant-ngp: OpenGL axes, intrinsics
                                                            for all or for each frame, distortion, splits
    ``transforms_train.json``, ``_val``, ``_test``          Blender (NeRF): ``camera_angle_x``, RGBA images
    ``color/``, ``pose/``, ``intrinsic/`` (and ``depth/``)  ScanNet; poses that were lost are left out
    ======================================================  ===============================================

    Args:
        path: the folder, or a transforms file.
        split: ``"train"``, ``"val"`` or ``"test"`` of those that the files define; all photographs if None.

    Raises:
        DataError: nothing of the kind is there, a file is damaged, or no photograph can be used.
    """
    path = Path(path)
    if is_file(path):
        scene = read_transforms(path)
    elif not is_folder(path):
        raise DataError(f"{path} does not exist: name a folder of posed photographs or its transforms.json")
    elif is_file(path / "transforms.json"):
        scene = read_transforms(path / "transforms.json")
    elif any(is_file(path / f"transforms_{name}.json") for name in SPLITS):
        scene = read_blender(path)
    elif is_scannet(path):
        scene = read_scannet(path)
    else:
        raise DataError(
            f"{path} holds no posed photographs: neither transforms.json, nor transforms_train.json, nor the "
            "folders color and pose"
        )
    return scene if split is None else scene.split(split)


def is_scene(path: Path) -> bool:
    """Whether :func:`read_scene` knows what to do with a folder."""
    names = ("transforms.json", *(f"transforms_{name}.json" for name in SPLITS))
    return any(is_file(path / name) for name in names) or is_scannet(path)
