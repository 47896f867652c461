"""Depth, disparity and flow as metrics of mmengine, for validation in training and for ``dense3d test``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger

from dense3d.datasets.stereo.formats import read_nonoccluded
from dense3d.errors import ConfigError, DataError
from dense3d.evaluation.depth.depth_errors import compare_depth
from dense3d.evaluation.depth.matching_errors import HOLES, compare_disparity, compare_flow, visibility
from dense3d.evaluation.depth.protocols import DepthProtocol, MatchingProtocol, Protocol, get_protocol
from dense3d.evaluation.depth.result import ImageResult, summarise
from dense3d.evaluation.depth.samples import (
    array_of,
    nonoccluded,
    predicted_disparity,
    predicted_inverse_depth,
    true_depth,
    true_disparity,
    unpadded,
)
from dense3d.evaluation.depth.writing import require_result_name, write_result
from dense3d.files import require_writable_file
from dense3d.registry import METRICS


class _MapMetric(BaseMetric):
    """What the three have in common: sums of each image, gathered, then one table that names the protocol."""

    kind: str

    def __init__(
        self,
        protocol: str | Mapping[str, Any] | None = None,
        holes: str = "wrong",
        regions: Mapping[str, str] | None = None,
        by_folder: bool = False,
        splits: Mapping[str, str] | None = None,
        result_file: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.protocol = _protocol(protocol or self.kind, self.kind)
        if holes not in HOLES:
            raise ConfigError(f"holes={holes!r}: it is one of {', '.join(HOLES)}")
        self.holes, self.result_file = holes, result_file
        self.splits, self.by_folder = dict(splits or {}), by_folder or bool(splits)
        self.regions = {name: Path(folder) for name, folder in (regions or {}).items()}
        if result_file:
            require_writable_file(require_result_name(result_file))

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Compare the maps of one batch."""
        for sample in data_samples:
            name = str(sample.get("sample_id", sample.get("left_path", len(self.results))))
            try:
                result = self.compare(name, sample)
            except DataError as error:
                raise DataError(f"pair {name}: {error}") from None
            path = str(sample.get("left_path"))
            split = next((label for label, part in self.splits.items() if part in path), None)
            self.results.append(replace(result, name=f"{split}/{name}") if split else result)

    def compare(self, name: str, sample: Mapping[str, Any]) -> ImageResult:
        """Errors of one sample."""
        raise NotImplementedError

    def regions_of(self, name: str, sample: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Masks of the sample, and those that lie under its name in the folders of ``regions``."""
        masks = visibility(nonoccluded(sample))
        for region, folder in self.regions.items():
            masks[region] = read_nonoccluded(folder / f"{name}.png", "seen")
        return masks

    def compute_metrics(self, results: list[ImageResult]) -> dict[str, float]:
        """Figures of all images; with ``by_folder`` those of every folder beside them."""
        result = summarise(self.protocol, results)
        logger = MMLogger.get_current_instance()
        logger.info(f"{self.kind} of {len(results)} pairs:\n{result.table()}")
        for notice in result.notices:
            logger.warning(notice)
        if self.result_file:
            write_result(Path(self.result_file), result)
        figures = result.flat()
        for folder, part in (result.by_folder() if self.by_folder else {}).items():
            logger.info(f"{folder}:\n{part.table()}")
            figures |= {f"{folder}/{name}": value for name, value in part.flat().items()}
        return figures


@METRICS.register_module()
class DepthMetric(_MapMetric):
    """abs_rel, sq_rel, rmse, rmse_log and a1 to a3 of predicted depth, named ``depth/abs_rel`` and so on.

    Samples are those of :class:`~dense3d.structures.StereoSample`: ``pred_inverse_depth`` or
    ``pred_disparity`` with the rig, against ``gt_depth`` or ``gt_disparity`` with the rig, which may have
    another size than the prediction.

    Args:
        protocol: a name of ``PROTOCOLS``, or a dict of ``name`` and what differs,
            ``dict(name="kitti-eigen-garg", median_scaling=True)``. Its name is printed with the figures.
        holes: pixels predicted at no or infinite depth are ``"wrong"`` (clamped, as the official scripts do),
            or ``"skip"`` leaves them out.
        regions: name -> folder of masks ``SAMPLE_ID.png``, 255 = inside: figures of those pixels too, such as
            ``textureless`` of the synthetic world. What is not occluded needs none: samples have it.
        by_folder: also the figures of each first folder of the sample ids.
        splits: label -> part of the left images' paths: also the figures of each of these parts, such as
            ``dict(foggy="/foggy/", rainy="/rainy/")`` of DrivingStereo's weathers.
        result_file: also write all figures there, ``.json`` or, a row an image, ``.csv``.
        **kwargs: ``collect_device``, ``prefix`` ... of mmengine's ``BaseMetric``.

    Raises:
        ConfigError: no such protocol, or none of depth.
        DataError: while it runs, a sample that lacks ground truth, prediction or rig.
    """

    default_prefix = kind = "depth"

    def compare(self, name: str, sample: Mapping[str, Any]) -> ImageResult:
        """Errors of one sample."""
        truth, prediction = true_depth(sample), predicted_inverse_depth(sample)
        skip, regions = self.holes == "skip", self.regions_of(name, sample)
        compared = compare_depth(prediction, truth, self.protocol, True, skip_holes=skip, regions=regions)
        return ImageResult.of(name, compared, truth.shape, prediction.shape)


@METRICS.register_module()
class DisparityMetric(_MapMetric):
    """EPE, rmse, D1 and bad-X of predicted disparity, of all pixels, those not occluded and those occluded.

    Named ``disparity/EPE``, ``disparity/D1_nonoccluded``, ``disparity/bad-2_occluded`` and so on; shares in
    percent. Samples are those of :class:`~dense3d.structures.StereoSample`: ``pred_disparity``, or
    ``pred_inverse_depth`` with the rig, against ``gt_disparity``, or ``gt_depth`` with the rig. A prediction
    of another size is resized, with its values.

    Args:
        protocol: as for :class:`DepthMetric`: ``"disparity"``, ``"kitti-2015"``, ``"spring"`` ...
        holes: pixels without prediction are ``"wrong"`` in D1 and bad-X and left out of EPE and rmse, or
            ``"skip"`` leaves them out of everything.
        regions, by_folder, splits, result_file, **kwargs: as for :class:`DepthMetric`.

    Raises:
        ConfigError: no such protocol, or none of disparity.
        DataError: while it runs, a sample that lacks ground truth or prediction.
    """

    default_prefix = kind = "disparity"

    def compare(self, name: str, sample: Mapping[str, Any]) -> ImageResult:
        """Errors of one sample."""
        truth = true_disparity(sample)
        factor = 2 if self.protocol.doubled else 1
        prediction, size = predicted_disparity(sample, (truth.shape[0] // factor, truth.shape[1] // factor))
        regions = self.regions_of(name, sample)
        compared = compare_disparity(prediction, truth, self.protocol, regions, self.holes)
        return ImageResult.of(name, compared, truth.shape, size)


@METRICS.register_module()
class FlowMetric(_MapMetric):
    """EPE, rmse, L1, Fl and bad-X of predicted optical flow; also by the ground truth's speed.

    Named ``flow/EPE``, ``flow/Fl``, ``flow/bad-1``, ``flow/EPE_s0-10``, ``_s10-40`` and ``_s40+`` (pixels),
    and ``_nonoccluded``, ``_occluded`` where that is known. Samples have ``pred_flow`` and ``gt_flow``
    (2, H, W) of one size.

    Args:
        protocol: ``"flow"`` or ``"spring-flow"``.
        holes, regions, by_folder, splits, result_file, **kwargs: as for :class:`DisparityMetric`.

    Raises:
        ConfigError: no such protocol, or none of flow.
        DataError: while it runs, a sample that lacks ground truth or prediction.
    """

    default_prefix = kind = "flow"

    def compare(self, name: str, sample: Mapping[str, Any]) -> ImageResult:
        """Errors of one sample."""
        maps = []
        for field in ("gt_flow", "pred_flow"):
            if sample.get(field) is None:
                raise DataError(f"there is no {field}")
            maps.append(np.moveaxis(array_of(unpadded(sample, field)), 0, -1))
        truth, prediction = maps
        regions = self.regions_of(name, sample)
        compared = compare_flow(prediction, truth, self.protocol, regions, self.holes)
        return ImageResult.of(name, compared, truth.shape, prediction.shape)


def _protocol(given: str | Mapping[str, Any], kind: str) -> Protocol:
    """The protocol that a config names; ``"depth"`` has none of its own, since its numbers differ so much."""
    changes = dict(given) if isinstance(given, Mapping) else {"name": given}
    name = changes.pop("name", None)
    if name is None or name == "depth":
        raise ConfigError(
            "DepthMetric needs a protocol, such as 'kitti-eigen-garg', 'kitti-improved', 'drivingstereo' or "
            "'none' (all ground truth)"
        )
    protocol = get_protocol(name, **changes)
    fits = isinstance(protocol, DepthProtocol) if kind == "depth" else getattr(protocol, "task", "") == kind
    if not fits:
        other = protocol.task if isinstance(protocol, MatchingProtocol) else "depth"
        raise ConfigError(f"protocol {protocol.name} is one of {other}, not of {kind}")
    return protocol
