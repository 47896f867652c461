"""Disparity, depth, clouds, flow or completed views of files: pictures and maps, pair by pair."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.config import Config

from dense3d.apis.pair_inputs import as_pairs, is_video
from dense3d.apis.pair_prediction import PairPredictor
from dense3d.datasets.stereo.rigs import read_rig
from dense3d.errors import ConfigError, DataError
from dense3d.files import require_writable_folder
from dense3d.results import Result
from dense3d.results.disparity import WRITTEN
from dense3d.results.names import FileNames
from dense3d.stereo.rig.faults import UNITS
from dense3d.structures import RectifiedRig
from dense3d.visualization.clouds import draw_seen_cloud
from dense3d.visualization.pictures import write_picture


@dataclass
class PairReport:
    """What a run of :func:`infer_pairs` wrote, and the pairs that it left out.

    Attributes:
        pairs: how many have results.
        folders: of the maps and pictures below ``out``.
        left_out: pairs that could not be read or that the network refused, and why.
        notes: sentences on the first pair: not rectified, exchanged.
        video: of the pictures, where the input was a video.
    """

    pairs: int = 0
    folders: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    video: Path | None = None


def infer_pairs(
    config: str | Path | Config,
    checkpoint: str | Path | None,
    left: Any,
    right: Any,
    out: str | Path,
    rig: str | Path | RectifiedRig | None = None,
    clouds: bool = False,
    zfar: float | None = None,
    remove_invisible: bool = True,
    scale: float = 1.0,
    both_views: bool = True,
    batch_size: int = 1,
    device: str | None = None,
    options: dict[str, Any] | None = None,
    check: bool = True,
    unit: str | None = None,
) -> PairReport:
    """Run a network of two images on pairs and write pictures and maps, pair by pair.

    Written are ``pictures/*.jpg``; of stereo the maps of :data:`dense3d.results.disparity.WRITTEN` and, if
    asked for, ``clouds/*.ply`` with pictures of them; of flow ``flow/*.flo``; of a video also
    ``pictures.mp4``. Of cross-view completion there are pictures alone: the second view, what was seen of
    the first one, what was made of it, and the first one.

    Args:
        config, checkpoint, device, options, batch_size, scale, both_views: see
            :class:`~dense3d.apis.pair_prediction.PairPredictor`.
        left, right, rig: see its call.
        out: folder.
        clouds: write a cloud of each pair.
        zfar, remove_invisible: see :meth:`dense3d.results.disparity.Disparity.to_cloud`.
        check: look whether the first pair is rectified and the right way round, and note it if not.
        unit: of the baseline in the rig's file, ``"mm"``, ``"cm"``, ``"m"`` or ``"in"``; that of the file's
            kind unless given.

    Raises:
        ConfigError: ``out`` cannot be written to, clouds are asked for without a rig, or a unit without a
            file or of another name.
        DataError: no image is found, or the rig belongs to other images.
    """
    if clouds and rig is None:
        raise ConfigError("a cloud needs the calibration of the rectified pair: give --calib")
    if zfar is not None and not zfar > 0:
        raise ConfigError(f"zfar={zfar} is no distance in metres")
    if zfar is not None and not clouds:
        raise ConfigError("zfar is of clouds: ask for them as well (--cloud)")
    out = Path(out)
    require_writable_folder(out)
    as_pairs(left, right, by_name=False)  # what is wrong with the inputs is said before the network is built
    if unit is not None and (unit not in UNITS or rig is None or isinstance(rig, RectifiedRig)):
        raise ConfigError(f"unit={unit!r} is of a calibration's file (--calib): one of {', '.join(UNITS)}")
    if rig is not None and not isinstance(rig, RectifiedRig):
        rig = _checked_rig(rig, left, right, unit)
    predictor = PairPredictor(config, checkpoint, device, batch_size, options, scale, both_views)
    run = _Run(out, is_video(left), _frame_rate(left))
    if clouds and remove_invisible and not both_views:
        run.report.notes.append("clouds keep what is invisible to the right camera: one view does not tell")
    if check:
        run.report.notes += _faults(left, right, rig, predictor)
    try:
        for result in predictor.each(left, right, rig):
            run.take(result)
            if clouds and result.error is None:
                run.take_cloud(result, zfar, remove_invisible and both_views)
    finally:
        run.finish()
    return run.report


def _checked_rig(rig: str | Path, left: Any, right: Any, unit: str | None) -> str | Path | RectifiedRig:
    """A calibration of other images is refused before the network is built.

    Returns:
        with a unit, what the file says of images like the first pair that can be read; otherwise the file,
        which is read for each pair.
    """
    for pair in as_pairs(left, right, by_name=False):
        try:
            height, width = pair.pixels()[0].shape[:2]
        except DataError:
            continue
        read = read_rig(rig, (width, height), unit=None if unit is None else UNITS[unit])
        return rig if unit is None else read
    return rig


def _faults(left: Any, right: Any, rig: Any, predictor: PairPredictor) -> list[str]:
    from dense3d.stereo.rig.pair_check import check_pair

    if not predictor.rectified:
        return []
    first = next(as_pairs(left, right))
    try:
        images = first.pixels()
        height, width = images[0].shape[:2]
        known = rig if rig is None or isinstance(rig, RectifiedRig) else read_rig(rig, (width, height))
        doffs = 0.0 if known is None else known.doffs
        return [f"{first.name}: {fault}" for fault in check_pair(*images, doffs).faults]
    except DataError:
        return []


def _frame_rate(left: Any) -> float:
    if not is_video(left):
        return 0.0
    capture = cv2.VideoCapture(str(left))
    rate = capture.get(cv2.CAP_PROP_FPS)
    capture.release()
    return rate if np.isfinite(rate) and rate > 0 else 25.0


class _Run:
    """The files of a run, written pair by pair."""

    def __init__(self, out: Path, makes_video: bool, frame_rate: float) -> None:
        self.out, self.frame_rate = out, frame_rate
        self.report = PairReport(video=out / "pictures.mp4" if makes_video else None)
        self.names = FileNames()
        self.writer: cv2.VideoWriter | None = None
        self.stem = ""

    def take(self, result: Result) -> None:
        """Write what belongs to a pair, or why there is nothing."""
        if result.error is not None:
            self.report.left_out[result.name] = result.error
            return
        self.stem = self.names.of(result.path or Path(result.name))
        self.report.pairs += 1
        result.write(self.out, self.stem, self.report.pairs)
        result.save(self.out / "pictures" / f"{self.stem}.jpg")
        if self.report.video is not None:
            self._frame(result.plot())

    def take_cloud(self, result: Result, zfar: float | None, remove_invisible: bool) -> None:
        """Write a cloud and a picture of it; one without points is noted."""
        try:
            cloud = result.to_cloud(zfar=zfar, remove_invisible=remove_invisible)
            cloud.save(self.out / "clouds" / f"{self.stem}.ply")
            picture = draw_seen_cloud(cloud.points, cloud.colours)
            write_picture(picture, self.out / "clouds" / f"{self.stem}.jpg")
        except DataError as error:
            self.report.notes.append(str(error))

    def _frame(self, picture: np.ndarray) -> None:
        if self.writer is None:
            height, width = picture.shape[:2]
            self.size = (width, height)
            self.report.video.parent.mkdir(parents=True, exist_ok=True)
            part = self.report.video.with_suffix(".part.mp4")
            self.writer = cv2.VideoWriter(
                str(part), cv2.VideoWriter_fourcc(*"mp4v"), self.frame_rate, self.size
            )
        if picture.shape[1::-1] != self.size:
            picture = cv2.resize(picture, self.size)
        self.writer.write(np.ascontiguousarray(picture[..., ::-1]))

    def finish(self) -> None:
        """Close the video and list the folders."""
        if self.writer is not None:
            self.writer.release()
            self.report.video.with_suffix(".part.mp4").replace(self.report.video)
        else:
            self.report.video = None
        names = ("pictures", *WRITTEN, "clouds", "flow")
        self.report.folders = [name for name in names if (self.out / name).is_dir()]
