"""Pairs of views of one scene, for cross-view pre-training: lists of them, the data set, its transforms."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "covisibility": ["overlap_of"],
        "lists": ["read_pairs", "write_pairs"],
        "making": ["make_pairs"],
        "rules": ["PairRules"],
    },
)
