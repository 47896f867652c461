"""Relation-DETR (arXiv 2407.11699): encoder, query selection, decoder with relations, matching and losses."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(__name__, submod_attrs={"detector": ["RelationDETR"]})
