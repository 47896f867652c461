"""Photographs of a calibrated pair into rectified ones, with all that is wrong with them said."""

from __future__ import annotations

import glob
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from dense3d.datasets.stereo.partners import partner_fault
from dense3d.datasets.stereo.rigs import write_rig
from dense3d.errors import DataError
from dense3d.files import atomic_write, is_file, is_folder, require_writable_folder
from dense3d.image_files import IMAGE_SUFFIXES
from dense3d.stereo.rig.calibration_files import read_stereo_cameras
from dense3d.stereo.rig.faults import UNITS, calibration_faults
from dense3d.stereo.rig.pair_check import MOST_VERTICAL, PairCheck, check_pair
from dense3d.stereo.rig.rectification import Rectifier
from dense3d.structures import RectifiedRig
from dense3d.structures.stereo_cameras import StereoCameras

MOST_OFF = 0.05  # share that a baseline may differ from the measured one
LINES = 16  # rows that are drawn across a picture


@dataclass
class RectificationReport:
    """What :func:`rectify` wrote and found.

    Attributes:
        rig: of the rectified images, as in ``rig.json``.
        pairs: (left, right) files that were written.
        checks: of each rectified pair.
        before: check of the first pair as it was photographed.
        faults: sentences on the calibration and, once each, on the pairs.
        left_out: pairs that could not be read, and why.
        pictures: pairs side by side with lines along the rows.
    """

    rig: RectifiedRig
    pairs: list[tuple[Path, Path]] = field(default_factory=list)
    checks: list[PairCheck] = field(default_factory=list)
    before: PairCheck | None = None
    faults: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    pictures: list[Path] = field(default_factory=list)

    @property
    def vertical(self) -> float:
        """Median over pairs of their median vertical residuals in pixels; NaN if none could be judged."""
        known = [check.vertical for check in self.checks if np.isfinite(check.vertical)]
        return float(np.median(known)) if known else float("nan")


def rectify(
    left: str | Path,
    right: str | Path,
    calibration: str | Path,
    out: str | Path,
    alpha: float = 0.0,
    size: tuple[int, int] | None = None,
    unit: str = "m",
    scale_intrinsics: bool = False,
    measured_baseline: float | None = None,
    most_pictures: int = 5,
) -> RectificationReport:
    """Rectify a pair, or the pairs of two folders or globs, and check the result.

    Written are ``left/NAME.png`` and ``right/NAME.png``, ``rig.json`` with the intrinsics after rectification
    (the fields of :class:`~dense3d.structures.RectifiedRig`), and pictures of the first pairs.

    Args:
        left, right: image files, folders or globs; pairs are made in the order of the names.
        calibration: see :func:`~dense3d.stereo.rig.read_stereo_cameras`.
        out: folder.
        alpha, size: see :class:`~dense3d.stereo.rig.Rectifier`.
        unit: of the calibration's translation: ``"mm"``, ``"cm"``, ``"m"`` or ``"in"``.
        scale_intrinsics: the photographs are the calibrated ones at another size.
        measured_baseline: metres between the cameras, measured with a ruler, to check the calibration's.
        most_pictures: how many pairs are drawn.

    Raises:
        DataError: no image is found, the numbers of left and right images differ, the calibration is no
            sound one, or it belongs to another image size.
    """
    if unit not in UNITS:
        raise DataError(f"unit {unit!r} is none of {', '.join(UNITS)}")
    if measured_baseline is not None and not measured_baseline > 0:
        raise DataError(f"a measured baseline is a positive number of metres, not {measured_baseline}")
    pairs = _paired(left, right)
    out = Path(out)
    require_writable_folder(out)
    first = _read(pairs[0][0])
    height, width = first.shape[:2]
    cameras = read_stereo_cameras(calibration, (width, height)).with_unit(UNITS[unit])
    if scale_intrinsics:
        cameras = cameras.resized(width, height)
    if (cameras.width, cameras.height) != (width, height):
        raise DataError(f"{calibration}: {calibration_faults(cameras, width, height)[-1]}")
    rectifier = Rectifier(cameras, alpha, size)
    report = RectificationReport(rectifier.rig)
    report.faults += _faults(cameras, rectifier, width, height, measured_baseline)
    for name in ("left", "right", "check"):
        (out / name).mkdir(parents=True, exist_ok=True)
    write_rig(out / "rig.json", rectifier.rig)
    for index, pair in enumerate(pairs):
        try:
            images = _read(pair[0]), _read(pair[1])
            if report.before is None:
                report.before = check_pair(*images)
            rectified = rectifier(*images)
        except DataError as error:
            report.left_out.append(f"{pair[0]}, {pair[1]}: {error}")
            continue
        check = check_pair(*rectified, doffs=rectifier.rig.doffs)
        report.checks.append(check)
        files = tuple(out / side / f"{pair[0].stem}.png" for side in ("left", "right"))
        for image, file in zip(rectified, files):
            _write(file, image)
        report.pairs.append(files)
        if index < most_pictures:
            report.pictures.append(out / "check" / f"{pair[0].stem}.jpg")
            _write(report.pictures[-1], draw_rows(*rectified, check))
    report.faults += _common_faults(report.checks)
    return report


def _faults(
    cameras: StereoCameras, rectifier: Rectifier, width: int, height: int, measured: float | None
) -> list[str]:
    faults = calibration_faults(cameras, width, height)
    if measured is not None and abs(cameras.baseline / measured - 1) > MOST_OFF:
        faults.append(
            f"the calibration's baseline of {cameras.baseline:.4g} m is {cameras.baseline / measured:.3g} "
            f"times the measured {measured:.4g} m: all depths are wrong by that factor; the size of the "
            "calibration board's squares was given wrongly, or the unit"
        )
    if rectifier.swapped:
        faults.append(
            "in this calibration the second camera stands to the left of the first: exchange left and right, "
            "in the calibration or of the photographs"
        )
    return faults


def _common_faults(checks: list[PairCheck]) -> list[str]:
    """What holds for most pairs that could be judged, in the words of the worst."""
    judged = [check for check in checks if np.isfinite(check.vertical)]
    if not judged:
        return ["too few points match between left and right to tell whether the result is rectified"]
    faults = []
    for number, wrong in enumerate(
        (
            [check for check in judged if check.backwards > 0.5],
            [check for check in judged if check.vertical > MOST_VERTICAL],
        )
    ):
        if len(wrong) > len(judged) / 2:
            worst = max(wrong, key=lambda check: check.vertical)
            faults.append(worst.faults[0 if number == 0 else -1])
    return faults


def draw_rows(left: np.ndarray, right: np.ndarray, check: PairCheck) -> np.ndarray:
    """Both images side by side ``(H, 2 W, 3)`` with lines along rows and matches, red if off by a pixel."""
    picture = np.hstack([left, right])
    height, width = left.shape[:2]
    for row in np.linspace(0, height, LINES + 2)[1:-1].astype(int):
        cv2.line(picture, (0, int(row)), (2 * width - 1, int(row)), (80, 200, 120), 1)
    for x, y, u, v in check.matches[:: max(1, len(check.matches) // 200)]:
        color = (80, 160, 255) if abs(y - v) <= 1 else (255, 80, 60)
        for place in ((x, y), (u + width, v)):
            cv2.circle(picture, (round(place[0]), round(place[1])), 3, color, 1, cv2.LINE_AA)
    return picture


def _paired(left: str | Path, right: str | Path) -> list[tuple[Path, Path]]:
    sides = [_images(side, name) for side, name in ((left, "left"), (right, "right"))]
    if len(sides[0]) != len(sides[1]):
        raise DataError(
            f"{left} has {len(sides[0])} images and {right} has {len(sides[1])}: pairs are made in the "
            "order of the names, so that each needs its partner"
        )
    if fault := partner_fault(*sides):
        raise DataError(f"of {left} and {right}, {fault}")
    return list(zip(*sides))


def _images(place: str | Path, side: str) -> list[Path]:
    path = Path(place)
    if is_file(path):
        return [path]
    found = path.iterdir() if is_folder(path) else map(Path, glob.glob(str(place)))  # noqa: PTH207  the pattern may be absolute
    images = sorted(one for one in found if one.suffix.lower() in IMAGE_SUFFIXES)
    if not images:
        raise DataError(f"{place}: no {side} images are there; name a file, a folder or a glob in quotes")
    return images


def _read(path: Path) -> np.ndarray:
    """(H, W, 3) RGB uint8, as the camera wrote it: a turn by EXIF would not fit the calibration."""
    try:
        image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except (OSError, cv2.error):
        image = None
    if image is None:
        raise DataError(f"{path}: no readable image")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _write(path: Path, image: np.ndarray) -> None:
    done, content = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not done:
        raise DataError(f"{path}: this image cannot be written")
    with atomic_write(path) as file:
        file.write(content.tobytes())
