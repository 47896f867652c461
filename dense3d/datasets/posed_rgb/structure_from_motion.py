"""Poses of own photographs: features, matches and incremental mapping by COLMAP."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from dense3d.errors import ConfigError, DataError
from dense3d.files import is_folder
from dense3d.image_files import IMAGE_SUFFIXES
from dense3d.optional import require

MATCH_ALL_UP_TO = 120  # photographs; of more, as of a video, those near in order are matched
LEAST_SHARE = 0.5  # of the photographs that have to be posed without a warning


def structure_from_motion(
    photographs: str | Path,
    out: str | Path,
    camera_model: str = "OPENCV",
    one_camera: bool = True,
    seed: int = 0,
    tell: Callable[[str], None] = print,
) -> Path:
    """Find poses, one lens and points of a folder of photographs of one scene.

    Args:
        photographs: folder of pictures, also in folders below.
        out: folder of the result: ``images``, a link to the photographs, and ``sparse/0``, COLMAP's model,
            as :func:`~dense3d.datasets.posed_rgb.read_scene` reads them. It appears whole or not at all, and
            one that is there is taken as it is.
        camera_model: of COLMAP's lenses.
        one_camera: all photographs are of one camera with one zoom.
        seed: of COLMAP's random choices.
        tell: is given sentences on what was found.

    Returns:
        ``out``.

    Raises:
        DataError: there are fewer than three photographs, or they could not be put together.
        ConfigError: ``out`` holds something else.
        MissingDependencyError: pycolmap is not installed.
    """
    photographs, out = Path(photographs), Path(out)
    if is_folder(out / "sparse" / "0"):
        return out
    if not is_folder(photographs):
        raise DataError(f"{photographs} is no folder of photographs")
    if is_folder(out) and any(out.iterdir()):
        raise ConfigError(f"{out} holds files, but no COLMAP model in sparse/0: name an empty folder")
    files = [path for path in photographs.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES]
    if len(files) < 3:
        raise DataError(f"{photographs} has {len(files)} photographs: take at least 20 all around the scene")
    colmap = require("pycolmap", "poses of photographs")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
        work = Path(folder)
        _map(colmap, photographs, work, camera_model, one_camera, seed, len(files))
        model = _largest(colmap, work / "models", photographs)
        count = model.num_reg_images()
        tell(f"structure from motion: {count} of {len(files)} photographs, {model.num_points3D()} points")
        if count < LEAST_SHARE * len(files):
            tell(f"warning: only {count} photographs could be posed; take more that overlap by two thirds")
        result = work / "result"
        (result / "sparse" / "0").mkdir(parents=True)
        model.write_binary(str(result / "sparse" / "0"))
        (result / "images").symlink_to(photographs.resolve(), target_is_directory=True)
        if is_folder(out):
            out.rmdir()
        shutil.move(result, out)
    return out


def _map(
    colmap, photographs: Path, work: Path, camera_model: str, one_camera: bool, seed: int, count: int
) -> None:
    colmap.logging.minloglevel = colmap.logging.ERROR
    colmap.set_random_seed(seed)
    database, pictures = str(work / "database.db"), str(photographs)
    mode = colmap.CameraMode.SINGLE if one_camera else colmap.CameraMode.AUTO
    reader = colmap.ImageReaderOptions()
    reader.camera_model = camera_model
    colmap.extract_features(database, pictures, camera_mode=mode, reader_options=reader)
    if count <= MATCH_ALL_UP_TO:
        colmap.match_exhaustive(database)
    else:
        colmap.match_sequential(database)
    (work / "models").mkdir()
    colmap.incremental_mapping(database, pictures, str(work / "models"))


def _largest(colmap, folder: Path, photographs: Path):
    models = [colmap.Reconstruction(str(path)) for path in sorted(folder.iterdir()) if path.is_dir()]
    if not models:
        raise DataError(
            f"{photographs}: the photographs could not be put together: take sharp ones that overlap by two "
            "thirds, from places that differ, of a scene with texture"
        )
    return max(models, key=lambda model: model.num_reg_images())
