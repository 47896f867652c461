"""Relation-DETR (arXiv 2407.11699): encoder, query selection, decoder with relations, matching and losses."""

from dense3d.detection2d.relation_detr.detector import RelationDETR
from dense3d.detection2d.relation_detr.optimizer import NamePartsOptimWrapperConstructor

__all__ = ["NamePartsOptimWrapperConstructor", "RelationDETR"]
