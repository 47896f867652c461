"""Evaluation of proposals without classes, as NeRF-RPN's and NeRF-MAE's official evaluator counts.

Recall after Detectron's evaluator of proposals (Girshick et al., 2018) and average precision after PASCAL
VOC's; Hu et al., "NeRF-RPN", CVPR 2023, section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from dense3d.errors import DataError
from dense3d.evaluation.boxes3d.average_precision import evaluate_classes
from dense3d.evaluation.boxes3d.proposal_result import ProposalResult
from dense3d.evaluation.boxes3d.scene_boxes import SceneBoxes, in_scenes
from dense3d.ops import box_iou_3d

THRESHOLDS = (0.25, 0.5, 0.75)
LIMITS = (300, 1000, 2500)
RECALL_THRESHOLDS = (0.25, 0.5)
AVERAGED = np.arange(0.25, 1.0, 0.05, dtype=np.float32)
PRECISION_THRESHOLDS = np.arange(0.5, 0.95 + 1e-5, 0.05, dtype=np.float32)
CONFIDENT, SWEPT = 0.3, 0.5
CONFIDENCES = np.arange(0.01, 0.99 + 1e-5, 0.01, dtype=np.float32)


@dataclass(frozen=True)
class ProposalProtocol:
    """Average precision over all scenes, and recall among the best proposals of each; classes do not count.

    Args:
        name: is printed with every number.
        thresholds: IoUs that a match has to exceed, of average precision.
        limits: numbers of proposals of a scene that recall is measured for.
        top: for average precision, only that many proposals of a scene; None for all.
    """

    name: str
    thresholds: tuple[float, ...] = THRESHOLDS
    limits: tuple[int, ...] = LIMITS
    top: int | None = None

    def evaluate(self, truth: SceneBoxes, predictions: SceneBoxes) -> ProposalResult:
        """Figures of all scenes of the ground truth.

        Args:
            truth: without scores; scenes may have no box.
            predictions: with scores, of these scenes.

        Raises:
            DataError: predictions of a scene that is not in the ground truth, or without scores; no scene.
        """
        if not truth.scenes:
            raise DataError("there is no scene to evaluate")
        if predictions.scores is None:
            raise DataError("the predictions have no scores, by which an evaluation sorts them")
        truth = without_classes(truth)
        predictions, notices = in_scenes(without_classes(predictions), truth.scenes)
        figures = evaluate_classes(truth, best_of_scenes(predictions, self.top), self.thresholds)
        recalls = {limit: recall(cover(truth, predictions, limit)) for limit in self.limits}
        skipped = len(truth.scenes) - len(set(truth.scene) & set(predictions.scene))
        if skipped:
            notices.append(
                f"recall leaves out {skipped} scenes that have no object or no proposal, as the official code"
            )
        flat = int((truth.boxes[:, 3:6] == 0).any(axis=1).sum())
        if flat:
            notices.append(f"{flat} ground truths have no volume: nothing can match them")
        return ProposalResult(
            self.name,
            self.thresholds,
            tuple(figures.average_precision[:, 0]),
            recalls,
            len(truth.scenes),
            len(truth),
            len(predictions),
            _auxiliary(truth, predictions),
            tuple(notices),
        )


def without_classes(boxes: SceneBoxes) -> SceneBoxes:
    """The same boxes, all of one class."""
    return replace(boxes, classes=("object",), labels=np.zeros_like(boxes.labels))


def best_of_scenes(predictions: SceneBoxes, limit: int | None) -> SceneBoxes:
    """At most ``limit`` predictions of each scene, those that score best; scene by scene.

    Example:
        >>> boxes = {"boxes": [[0, 0, 0, 1, 1, 1, 0]] * 2, "labels": [0, 0], "scores": [0.1, 0.9]}
        >>> best_of_scenes(SceneBoxes.of({"room": boxes}, ["object"]), 1).scores.tolist()
        [0.9]
    """
    if limit is None:
        return predictions
    order = np.lexsort((-predictions.scores, predictions.scene))
    scene = predictions.scene[order]
    kept = order[np.arange(len(order)) - np.searchsorted(scene, scene) < limit]
    rows = {name: getattr(predictions, name)[kept] for name in ("scene", "boxes", "labels", "scores")}
    return replace(predictions, **rows)


@dataclass(frozen=True, eq=False)
class Cover:
    """Which objects proposals cover, over all scenes that have both.

    Args:
        overlaps: (K,) IoU with which each object is covered, 0 where by none; ascending.
        proposal_overlaps: (P,) IoU with which each proposal covers an object, 0 where none.
        proposal_scores: (P,) of those that cover one; 0 of others.
    """

    overlaps: np.ndarray
    proposal_overlaps: np.ndarray
    proposal_scores: np.ndarray


def cover(truth: SceneBoxes, predictions: SceneBoxes, limit: int | None = None) -> Cover:
    """Give each object one proposal of its own, always the pair of greatest overlap that is left.

    Args:
        truth: without classes, as ``predictions``.
        predictions: with scores.
        limit: most proposals of a scene.
    """
    predictions = best_of_scenes(predictions, limit)
    objects, proposals, scores = [np.zeros(0)], [np.zeros(0)], [np.zeros(0)]
    for scene in range(len(truth.scenes)):
        rows, own = np.flatnonzero(predictions.scene == scene), truth.boxes[truth.scene == scene]
        if not len(rows) or not len(own):
            continue
        boxes = predictions.boxes[rows].copy()
        boxes[:, 3:6] = np.maximum(boxes[:, 3:6], 0)
        overlaps = box_iou_3d(torch.from_numpy(boxes), torch.from_numpy(own)).numpy()
        taking, taken = best_pairs(overlaps)
        found = np.zeros(len(own)), np.zeros(len(rows)), np.zeros(len(rows))
        found[0][taken] = found[1][taking] = overlaps[taking, taken]
        found[2][taking] = predictions.scores[rows[taking]]
        for every, part in zip((objects, proposals, scores), found):
            every.append(part)
    return Cover(np.sort(np.concatenate(objects)), np.concatenate(proposals), np.concatenate(scores))


def best_pairs(overlaps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of one-to-one pairs, always the greatest that is left, of ``(P, K)`` overlaps.

    Example:
        >>> best_pairs(np.array([[0.9, 0.8], [0.7, 0.1]]))[1].tolist()
        [0, 1]
    """
    left = overlaps.T.copy()  # (K, P): of equal pairs that of the first object comes first
    rows, columns = [], []
    for _ in range(min(left.shape)):
        column, row = np.unravel_index(left.argmax(), left.shape)
        rows.append(row)
        columns.append(column)
        left[column], left[:, row] = -1, -1
    return np.array(rows, dtype=np.int64), np.array(columns, dtype=np.int64)


def recall(covered: Cover) -> dict[str, float]:
    """Shares of objects that are covered by an IoU of a quarter and of a half at least, and their average.

    Returns:
        ``recall25``, ``recall50`` and ``AR``, the mean over IoUs of 0.25, 0.30 ... 0.95; NaN without objects.
    """
    figures = {f"recall{100 * t:g}": _share(covered.overlaps, t) for t in RECALL_THRESHOLDS}
    return figures | {"AR": float(np.mean([_share(covered.overlaps, t) for t in AVERAGED]))}


def precision_of_confident(covered: Cover, total: int) -> float:
    """Mean share of ``total`` proposals that cover an object, over IoUs of 0.50, 0.55 ... 0.95.

    The official evaluator prints it of proposals above a score; it is not among the reported numbers.
    """
    shares = [(covered.proposal_overlaps >= t).sum() / max(total, 1) for t in PRECISION_THRESHOLDS]
    return float(np.mean(shares))


def confidence_sweep(covered: Cover, objects: int, threshold: float) -> float:
    """Area under precision over recall, both at scores of 0.01, 0.02 ... 0.99.

    The official evaluator has it beside average precision; it is not among the reported numbers.

    Args:
        covered: by all proposals.
        objects: of all scenes.
        threshold: least IoU of a hit.
    """
    confident = covered.proposal_scores[None] >= CONFIDENCES[:, None]  # (99, P)
    hits = (confident & (covered.proposal_overlaps >= threshold)).sum(1)
    precision, recalls = hits / np.maximum(confident.sum(1), 1), hits / max(objects, 1)
    return float(((recalls[:-1] - recalls[1:]) * precision[:-1]).sum())


def _auxiliary(truth: SceneBoxes, predictions: SceneBoxes) -> dict[str, float]:
    """The measures of the official evaluator that nobody reports."""
    confident = predictions.scores >= CONFIDENT
    rows = {name: getattr(predictions, name)[confident] for name in ("scene", "boxes", "labels", "scores")}
    sure = cover(truth, replace(predictions, **rows))
    swept = confidence_sweep(cover(truth, predictions), len(truth), SWEPT)
    return {"precision_score30": precision_of_confident(sure, int(confident.sum())), "sweep_AP50": swept}


def _share(overlaps: Sequence[float], threshold: float) -> float:
    if not len(overlaps):
        return float("nan")
    return float((np.asarray(overlaps, dtype=np.float32) >= np.float32(threshold)).mean())
