"""Evaluation of files of depth, disparity or flow against ground truth, under a protocol."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dense3d.errors import ConfigError, DataError
from dense3d.evaluation.depth.depth_errors import compare_depth, counting_pixels
from dense3d.evaluation.depth.map_files import KINDS, MapSource, read_prediction, read_seen, read_truth
from dense3d.evaluation.depth.matching_errors import compare_disparity, compare_flow, visibility
from dense3d.evaluation.depth.pairing import beside, pair_maps
from dense3d.evaluation.depth.protocols import DepthProtocol, Protocol, get_protocol
from dense3d.evaluation.depth.result import DepthResult, ImageResult, summarise
from dense3d.evaluation.depth.samples import (
    depth_to_disparity,
    disparity_to_inverse_depth,
    resized_disparity,
)
from dense3d.evaluation.depth.suspicions import Relation, refuse_suspicious
from dense3d.evaluation.depth.writing import require_result_name, write_result
from dense3d.files import is_folder, require_writable_file
from dense3d.stereo.rig.faults import UNITS
from dense3d.structures.rectified_rig import RectifiedRig

MAX_WORKERS = 8
SHAPES_AGREE = 0.15  # by which the ratios of width to height may differ


@dataclass(frozen=True)
class DepthEvaluation:
    """What is compared, and how; calling it evaluates.

    Args:
        predictions, truth: files or folders.
        protocol: a protocol or its name: see :data:`dense3d.evaluation.depth.PROTOCOLS`.
        rig: calibration to turn depth into disparity or the other way round: a file for all, a folder with
            one for each map, or a file's name in the folder of each map.
        unit: of the calibration's baseline, ``"mm"``, ``"cm"``, ``"m"`` or ``"in"``; that of the file's kind
            if None.
        nonoccluded: masks of pixels that both images see, named like the ground truth, in the same three
            ways.
        mask_form: their format, if not 255 = seen or KITTI's ``disp_noc``.
        regions: name -> masks, 255 = inside, in the same three ways: figures of those pixels too.
        holes: pixels without prediction are ``"wrong"``, or ``"skip"`` leaves them out.
        only: names to evaluate, a split.
        allow_missing: leave out ground truth without prediction.
        resize: resize predicted disparity of another size, with its values. Depth always is, as its protocol
            says.
        unchecked: evaluate also what looks like another quantity or unit.
    """

    predictions: MapSource
    truth: MapSource
    protocol: str | Protocol
    rig: str | Path | None = None
    nonoccluded: str | Path | None = None
    mask_form: str | None = None
    regions: Mapping[str, str | Path] | None = None
    holes: str = "wrong"
    only: Iterable[str] | None = None
    allow_missing: bool = False
    resize: bool = False
    unchecked: bool = False
    unit: str | None = None

    def __call__(
        self,
        json_file: str | Path | None = None,
        csv_file: str | Path | None = None,
        workers: int | None = None,
    ) -> DepthResult:
        """Evaluate.

        Args:
            json_file, csv_file: also write all figures, or a row an image, there.
            workers: threads; one a CPU core by default, but at most eight.

        Raises:
            ConfigError: a protocol, kind, format or unit that is not known, or a conversion without rig.
            DataError: files are missing or broken, sizes do not fit, or predictions are not what they are
                taken for.
        """
        files = [(json_file, ".json"), (csv_file, ".csv")]
        for file, suffix in files:
            if file and require_result_name(file).suffix.lower() != suffix:
                raise ConfigError(f"{file}: name a {suffix} file")
            if file:
                require_writable_file(file)
        if self.unit is not None and (self.unit not in UNITS or self.rig is None):
            raise ConfigError(f"unit={self.unit!r} is of a calibration (rig): one of {', '.join(UNITS)}")
        protocol = get_protocol(self.protocol)
        task = _Task(self, protocol)
        sources = _within(self.predictions, task.predicted, "pred"), _within(self.truth, task.true, "gt")
        pairing = pair_maps(*sources, self.only, self.allow_missing)
        with ThreadPoolExecutor(workers or min(os.cpu_count() or 1, MAX_WORKERS)) as pool:
            found = list(pool.map(lambda pair: task.evaluated(*pair), pairing.pairs))
        if not self.unchecked and task.kind != "flow":
            scaled = getattr(protocol, "median_scaling", False)
            refuse_suspicious([r for _, r in found], task.kind, str(self.truth.path), not scaled)
        notices = []
        if pairing.extra:
            notices.append(
                f"{len(pairing.extra)} predictions have no ground truth, the first is {pairing.extra[0]}"
            )
        result = summarise(protocol, [image for image, _ in found], pairing.missing, notices)
        if not result.pixels:
            raise DataError(
                f"{self.truth.path}: no pixel of {len(found)} maps counts under protocol {protocol.name}: "
                "all ground truth is invalid, or is of another kind or unit"
            )
        for file, _ in files:
            if file:
                write_result(file, result)
        return result


def _within(source: MapSource, kind: str, side: str) -> MapSource:
    """The subfolder of the kind, as ``dense3d infer`` and ``make-synthetic`` write it, if there is one.

    Raises:
        DataError: there are such folders of other kinds only.
    """
    if source.glob is not None:
        return source
    below = [name for name in KINDS if is_folder(Path(source.path) / name)]
    if below and kind not in below:
        raise DataError(
            f"{source.path} has a folder {' and '.join(below)}, but none of {kind}: name the folder that is "
            f"meant, or its kind (--{side}-kind {below[0]})"
        )
    return replace(source, path=Path(source.path) / kind) if below else source


class _Task:
    """Reads and compares one pair after another; several threads may."""

    def __init__(self, settings: DepthEvaluation, protocol: Protocol) -> None:
        self.settings, self.protocol = settings, protocol
        self.kind = "depth" if isinstance(protocol, DepthProtocol) else protocol.task
        self.predicted = settings.predictions.kind or self.kind
        self.true = settings.truth.kind or self.kind
        kinds = {self.kind, self.predicted, self.true}
        if "flow" in kinds and len(kinds) > 1:
            raise ConfigError(f"protocol {protocol.name} is one of {self.kind}: flow turns into nothing else")
        if self.true == "inverse-depth":
            raise ConfigError("ground truth is depth, disparity or flow, not inverse depth")
        matching = self.kind == "disparity"
        sides = {"predictions": self.predicted, "ground truth": self.true}
        for side, kind in sides.items():
            if (kind == "disparity") != matching and settings.rig is None and self.kind != "flow":
                raise ConfigError(
                    f"protocol {protocol.name} compares {self.kind}, and {side} hold {kind}: a calibration "
                    "converts them, --rig FILE"
                )

    def evaluated(self, name: str, prediction: Path, truth: Path) -> tuple[ImageResult, Relation]:
        """Errors of one pair, and how prediction and ground truth relate."""
        predicted = read_prediction(prediction, self.predicted, self.settings.predictions)
        true = read_truth(truth, self.true, self.settings.truth)
        try:
            self._check_shape(predicted, true)
            return self._compare(name, predicted, true, truth)
        except DataError as error:
            raise DataError(f"{prediction} and {truth}: {error}") from None

    def _check_shape(self, predicted: np.ndarray, true: np.ndarray) -> None:
        """Shapes that differ too much belong to other images."""
        (h, w), (height, width) = predicted.shape[:2], true.shape[:2]
        if abs(np.log((w / h) / (width / height))) > SHAPES_AGREE and not self.settings.unchecked:
            raise DataError(
                f"the prediction has size {h}x{w}, the ground truth {height}x{width}, of another shape: they "
                "belong to different images"
            )

    def _compare(
        self, name: str, predicted: np.ndarray, true: np.ndarray, truth: Path
    ) -> tuple[ImageResult, Relation]:
        skip, size = self.settings.holes == "skip", predicted.shape
        rig, masks = self._rig(name, truth, true.shape), self._masks(name, truth)
        if self.kind == "flow":
            compared = compare_flow(predicted, true, self.protocol, masks, self.settings.holes)
            return ImageResult.of(name, compared, true.shape, size), Relation(0, np.nan, np.nan)
        if self.kind == "depth":
            if self.true == "disparity":
                true = np.where(np.isfinite(true), rig.depth(true), 0.0)
            inverse = self.predicted != "depth"
            if self.predicted == "disparity":
                predicted = disparity_to_inverse_depth(predicted, rig.resized(size[1], size[0]))
            compared = compare_depth(predicted, true, self.protocol, inverse, skip_holes=skip, regions=masks)
            relation = self._relation(predicted, true, counting_pixels(true, self.protocol), inverse)
            return ImageResult.of(name, compared, true.shape, size), relation
        predicted, true = self._disparities(predicted, true, rig)
        compared = compare_disparity(predicted, true, self.protocol, masks, self.settings.holes)
        relation = self._relation(predicted, true, np.isfinite(true), False)
        return ImageResult.of(name, compared, true.shape, size), relation

    def _disparities(
        self, predicted: np.ndarray, true: np.ndarray, rig: RectifiedRig | None
    ) -> tuple[np.ndarray, np.ndarray]:
        if self.true == "depth":
            true = depth_to_disparity(true, rig)
        if self.predicted != "disparity":
            depth = predicted if self.predicted == "depth" else 1 / np.maximum(predicted, 1e-9)
            predicted = depth_to_disparity(depth, rig.resized(predicted.shape[1], predicted.shape[0]))
        factor = 2 if self.protocol.doubled else 1
        if self.settings.resize:
            size = true.shape[0] // factor, true.shape[1] // factor
            predicted = resized_disparity(predicted, size)
        return predicted, true

    @staticmethod
    def _relation(predicted: np.ndarray, true: np.ndarray, counts: np.ndarray, inverse: bool) -> Relation:
        """Of pixels that count, at the nearest pixel of the prediction."""
        rows, columns = np.nonzero(counts)
        (h, w), (height, width) = predicted.shape, true.shape
        values = predicted[rows * h // height, columns * w // width]
        good = np.isfinite(values) & (values > 0)
        values = values[good]
        return Relation.of(1 / values if inverse else values, true[rows[good], columns[good]])

    def _masks(self, name: str, truth: Path) -> dict[str, np.ndarray]:
        """Regions of one map."""
        seen, masks = self.settings.nonoccluded, {}
        if seen is not None:
            file = self._beside(seen, name, truth, "mask of what is not occluded")
            masks = visibility(read_seen(file, self.settings.mask_form))
        for region, place in (self.settings.regions or {}).items():
            masks[region] = read_seen(self._beside(place, name, truth, f"mask of {region!r}"), "seen")
        return masks

    @staticmethod
    def _beside(place: str | Path, name: str, truth: Path, what: str) -> Path:
        file = beside(place, name, truth)
        if file is None:
            raise DataError(f"it has no {what}: {place} holds no file of that name")
        return file

    def _rig(self, name: str, truth: Path, shape: tuple[int, ...]) -> RectifiedRig | None:
        if self.settings.rig is None:
            return None
        from dense3d.datasets.stereo.rigs import read_rig

        file = self._beside(self.settings.rig, name, truth, "calibration")
        unit = None if self.settings.unit is None else UNITS[self.settings.unit]
        return read_rig(file, (shape[1], shape[0]), unit=unit).resized(shape[1], shape[0])
