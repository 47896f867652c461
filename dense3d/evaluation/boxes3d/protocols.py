"""Protocols: classes and thresholds under a name, without which no number is printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dense3d.datasets.pointcloud.scannet import DETECTION_CLASSES as SCANNET_CLASSES
from dense3d.datasets.pointcloud.sunrgbd import CLASSES as SUNRGBD_CLASSES
from dense3d.errors import ConfigError, DataError, did_you_mean
from dense3d.evaluation.boxes3d.average_precision import evaluate_classes
from dense3d.evaluation.boxes3d.proposals import ProposalProtocol
from dense3d.evaluation.boxes3d.result import Boxes3DResult
from dense3d.evaluation.boxes3d.scene_boxes import SceneBoxes, in_scenes

THRESHOLDS = (0.25, 0.5)
UPRIGHT = 1e-4  # radians: a yaw up to here is none


@dataclass(frozen=True)
class IndoorProtocol:
    """Average precision of indoor detectors, as VoteNet's and 3DETR's evaluators give it.

    A class that predictions have and ground truth has not counts 0, as in 3DETR's; VoteNet's gives NaN.

    Args:
        name: is printed with every number.
        classes: that are evaluated; empty for those of the ground truth.
        thresholds: IoUs that a match has to exceed.
        axis_aligned: ground truth has no yaw, and some is refused.
    """

    name: str
    classes: tuple[str, ...] = ()
    thresholds: tuple[float, ...] = THRESHOLDS
    axis_aligned: bool = False

    def evaluate(self, truth: SceneBoxes, predictions: SceneBoxes) -> Boxes3DResult:
        """Figures of all scenes of the ground truth.

        Args:
            truth: without scores; scenes may have no box.
            predictions: with scores, of these scenes.

        Raises:
            DataError: predictions of a scene that is not in the ground truth, without scores, or of a class
                that the protocol has not; ground truth that is turned where it must not be; no scene.
        """
        if not truth.scenes:
            raise DataError("there is no scene to evaluate")
        classes = self.classes or truth.classes
        truth = _of_classes(truth, classes, "the ground truth", self.name)
        predictions = _of_classes(predictions, classes, "a prediction", self.name)
        if predictions.scores is None:
            raise DataError("the predictions have no scores, by which an evaluation sorts them")
        turned = np.abs(np.sin(truth.boxes[:, 6])) > UPRIGHT
        if self.axis_aligned and turned.any():
            scene = truth.scenes[truth.scene[turned][0]]
            raise DataError(
                f"scene {scene}: ground truth of the protocol {self.name} is axis-aligned, but a box has the "
                f"yaw {truth.boxes[turned][0, 6]:.3f}; align the scans, or take another protocol"
            )
        predictions, notices = in_scenes(predictions, truth.scenes)
        figures = evaluate_classes(truth, predictions, self.thresholds)
        notices += [
            f"{classes[c]}: {figures.detections[c]} predictions and no ground truth, which counts as AP 0"
            for c in np.flatnonzero((figures.ground_truths == 0) & (figures.detections > 0))
        ]
        negative = int((predictions.boxes[:, 3:6] < 0).any(axis=1).sum())
        if negative:
            notices.append(
                f"{negative} predictions have a negative size: a length or width counts as a positive one, a "
                "box of negative height matches nothing"
            )
        flat = int((truth.boxes[:, 3:6] == 0).any(axis=1).sum())
        if flat:
            notices.append(f"{flat} ground truths have no volume: nothing can match them")
        return Boxes3DResult(self.name, classes, self.thresholds, figures, len(truth.scenes), tuple(notices))


PROTOCOLS: dict[str, IndoorProtocol | ProposalProtocol] = {
    protocol.name: protocol
    for protocol in (
        IndoorProtocol("scannet", SCANNET_CLASSES, axis_aligned=True),
        IndoorProtocol("sunrgbd", SUNRGBD_CLASSES),
        IndoorProtocol("indoor"),
        ProposalProtocol("nerf-rpn"),
    )
}


def get_protocol(
    name: str, thresholds: Sequence[float] | None = None, top: int | None = None
) -> IndoorProtocol | ProposalProtocol:
    """A protocol by its name, with other thresholds or a limit where given, which its name then tells.

    Args:
        name: of :data:`PROTOCOLS`.
        thresholds: IoUs to be exceeded; the protocol's unless given.
        top: of ``"nerf-rpn"``: average precision of that many proposals of a scene; of all unless given.

    Raises:
        ConfigError: there is none of this name, a threshold is not in 0..1, or a limit is below 1 or of a
            protocol that has none.

    Example:
        >>> get_protocol("scannet", [0.15]).name
        'scannet (IoU 0.15)'
    """
    if name not in PROTOCOLS:
        hint = did_you_mean(name, PROTOCOLS)
        raise ConfigError(f"there is no protocol {name!r}{hint}; known are {', '.join(PROTOCOLS)}")
    protocol = PROTOCOLS[name]
    if top is not None:
        if not isinstance(protocol, ProposalProtocol) or top < 1:
            raise ConfigError(f"top={top}: it is a number of proposals, 1 or more, of the protocol nerf-rpn")
        protocol = replace(protocol, name=f"{name} (best {top} of a scene)", top=top)
    if thresholds is None or tuple(thresholds) == protocol.thresholds:
        return protocol
    if not thresholds or not all(0 <= one < 1 for one in thresholds):
        raise ConfigError(f"thresholds={list(thresholds)}: an IoU to be exceeded is in 0..1")
    label = f"{protocol.name} (IoU {', '.join(f'{one:g}' for one in thresholds)})"
    return replace(protocol, name=label, thresholds=tuple(map(float, thresholds)))


def _of_classes(boxes: SceneBoxes, classes: tuple[str, ...], what: str, protocol: str) -> SceneBoxes:
    """The same boxes with labels that are places in ``classes``."""
    if boxes.classes == classes:
        return boxes
    place = {_plain(name): index for index, name in enumerate(classes)}
    table = np.array([place.get(_plain(name), -1) for name in boxes.classes], dtype=np.int64)
    labels = table[boxes.labels] if len(table) else boxes.labels
    if (labels < 0).any():
        row = int(np.flatnonzero(labels < 0)[0])
        name = boxes.classes[boxes.labels[row]]
        raise DataError(
            f"{what} of scene {boxes.scenes[boxes.scene[row]]} is of the class {name!r}, which the protocol "
            f"{protocol} has not{did_you_mean(name, classes)}; it has {', '.join(classes)}"
        )
    return replace(boxes, classes=classes, labels=labels)


def _plain(name: str) -> str:
    """Names as they are compared: ``night_stand``, ``night stand`` and ``nightstand`` are one."""
    plain = "".join(letter for letter in name.lower() if letter.isalnum())
    return "showercurtain" if plain == "showercurtrain" else plain  # as the official files write it
