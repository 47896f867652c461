"""Which layout a folder or file of posed photographs has."""

from __future__ import annotations

from pathlib import Path

from dense3d.datasets.posed_rgb.colmap import is_colmap, read_colmap
from dense3d.datasets.posed_rgb.frames import PosedScene
from dense3d.datasets.posed_rgb.scannet import is_scannet, read_scannet
from dense3d.datasets.posed_rgb.transforms_json import read_blender, read_transforms
from dense3d.errors import ConfigError, DataError
from dense3d.files import is_file, is_folder

SPLITS = ("train", "val", "test")
AXES = ("opengl", "opencv")


def read_scene(path: str | Path, split: str | None = None, axes: str = "opengl") -> PosedScene:
    """Photographs and cameras of one scene.

    ======================================================  ===============================================
    ``transforms.json``, or any file of that kind           nerfstudio, instant-ngp: OpenGL axes, intrinsics
                                                            for all or for each frame, distortion, splits
    ``transforms_train.json``, ``_val``, ``_test``          Blender (NeRF): ``camera_angle_x``, RGBA images
    ``color/``, ``pose/``, ``intrinsic/`` (and ``depth/``)  ScanNet; poses that were lost are left out
    ``sparse/0/cameras.bin`` or ``.txt`` and the like       COLMAP, with its points; ``images/`` beside it
    ======================================================  ===============================================

    Args:
        path: the folder, or a transforms file.
        split: ``"train"``, ``"val"`` or ``"test"`` of those that the files define; all photographs if None.
        axes: of the cameras in transforms files: ``"opengl"``, as nerfstudio, instant-ngp and Blender write
            them, or ``"opencv"`` for what another tool wrote.

    Raises:
        ConfigError: other axes, or axes of files that leave no choice.
        DataError: nothing of the kind is there, a file is damaged, or no photograph can be used.
    """
    path = Path(path)
    if axes not in AXES:
        raise ConfigError(f"axes={axes!r}: cameras of transforms files have axes of {' or '.join(AXES)}")
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
    elif is_colmap(path):
        scene = read_colmap(path)
    else:
        raise DataError(
            f"{path} holds no posed photographs: neither transforms.json, nor transforms_train.json, nor the "
            "folders color and pose, nor a COLMAP model in sparse/0"
        )
    if axes != "opengl":
        if scene.layout not in ("transforms", "blender"):
            raise ConfigError(f"axes={axes!r}: {path} is of {scene.layout}, whose axes are known")
        scene = scene.turned_cameras()
    return scene if split is None else scene.split(split)


def is_scene(path: Path) -> bool:
    """Whether :func:`read_scene` knows what to do with a folder."""
    names = ("transforms.json", *(f"transforms_{name}.json" for name in SPLITS))
    return any(is_file(path / name) for name in names) or is_scannet(path) or is_colmap(path)
