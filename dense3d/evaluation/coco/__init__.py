"""COCO's average precision and recall, on the images and the annotations that the data set itself has."""

from dense3d.evaluation.coco.metric import CocoMetric
from dense3d.evaluation.coco.recall import proposal_recall
from dense3d.evaluation.coco.summary import Figure, Summary

__all__ = ["CocoMetric", "Figure", "Summary", "proposal_recall"]
