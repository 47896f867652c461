"""Oriented boxes that a detector found in a cloud: as rows, as wires of points, over a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from dense3d.structures.boxes3d import Boxes3D
from dense3d.structures.projected_boxes import EDGES

SPACING = 0.01  # metres between the points of a wire
MOST = 2000  # points of one edge


@dataclass(frozen=True, eq=False)
class CloudBoxes:
    """Boxes of one cloud in its own frame, the best first.

    Attributes:
        boxes: ``(K, 7)`` float32 in the world frame of :class:`~dense3d.structures.Boxes3D`.
        labels: ``(K,)`` int64. scores: ``(K,)``.
    """

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray

    @classmethod
    def best(cls, boxes: np.ndarray, labels: np.ndarray, scores: np.ndarray, threshold: float) -> CloudBoxes:
        """Each box once, with its best class, where that scores enough; negative sizes become positive ones.

        Args:
            boxes, labels, scores: detections, a box perhaps several times with other classes.
            threshold: least score.

        Example:
            >>> box = np.array([[0, 0, 0, 1, 1, 1, 0.0]] * 2)
            >>> CloudBoxes.best(box, np.array([3, 5]), np.array([0.2, 0.6]), 0.3).labels.tolist()
            [5]
        """
        order = np.argsort(-scores, kind="stable")
        order = order[scores[order] >= threshold]
        first = np.sort(np.unique(boxes[order], axis=0, return_index=True)[1])
        chosen = order[first]
        kept = boxes[chosen].astype(np.float32)
        kept[:, 3:6] = np.abs(kept[:, 3:6])  # VoteNet's regression may turn a side round
        return cls(kept, labels[chosen].astype(np.int64), scores[chosen])

    def __len__(self) -> int:
        return len(self.boxes)

    def rows(
        self, names: list[str], origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    ) -> list[dict[str, Any]]:
        """Plain values of each box: class, score, centre and size in metres, yaw in radians.

        Args:
            names: of each box's class.
            origin: of the cloud, which is added to centres, so that they are those of its file.

        Example:
            >>> unit = CloudBoxes(np.array([[0, 0, 0, 1, 1, 1, 0.0]]), np.zeros(1, int), np.ones(1))
            >>> unit.rows(["chair"], (5e5, 4e6, 0))[0]["center"]
            [500000.0, 4000000.0, 0.0]
        """
        return [
            {
                "class": name,
                "score": round(float(score), 4),
                "center": [round(float(v) + start, 4) for v, start in zip(box[:3], origin)],
                "size": [round(float(v), 4) for v in box[3:6]],
                "yaw": round(float(box[6]), 4),
            }
            for name, score, box in zip(names, self.scores, self.boxes)
        ]

    def wires(self) -> tuple[np.ndarray, np.ndarray]:
        """Points along the edges ``(M, 3)`` float32, and which box each belongs to ``(M,)``.

        Example:
            >>> unit = CloudBoxes(np.array([[0, 0, 0, 1, 1, 1, 0.0]]), np.zeros(1, int), np.ones(1))
            >>> unit.wires()[0].shape
            (1200, 3)
        """
        corners = Boxes3D(torch.from_numpy(self.boxes), "world").corners().numpy()  # (K, 8, 3)
        ends = corners[:, np.array(EDGES)].reshape(-1, 2, 3)  # (K * 12, 2, 3)
        length = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)
        counts = np.clip(np.ceil(length.round(6) / SPACING), 2, MOST).astype(int)
        edge = np.repeat(np.arange(len(ends)), counts)
        first = np.cumsum(counts) - counts
        share = (np.arange(len(edge)) - first[edge]) / (counts[edge] - 1)
        points = ends[edge, 0] + share[:, None] * (ends[edge, 1] - ends[edge, 0])
        return points.astype(np.float32), edge // len(EDGES)
