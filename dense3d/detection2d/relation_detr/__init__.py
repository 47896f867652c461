"""Relation-DETR (arXiv 2407.11699): DINO's transformer with the relation between boxes in its decoder."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "criterion": ["SetCriterion", "TrainingLosses"],
        "denoising": ["ContrastiveDenoising", "DenoisingQueries"],
        "detector": ["RelationDETR", "keep_best", "top_detections"],
        "queries": ["ProposalSelection", "QueryHead"],
        "transformer": ["Encoder", "RelationDecoder"],
    },
)
