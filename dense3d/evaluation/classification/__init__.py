"""Evaluation of classifiers: accuracies, confusion matrix; of frozen features: linear probes, retrieval."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "accuracy": ["ClassAccuracy"],
        "linear_probe": ["LARS", "ProbeHead", "fit_probe", "probe_step"],
        "retrieval": ["RetrievalScore", "retrieval_score", "split_queries"],
        "confusion": ["class_accuracies", "confusion_matrix", "draw_confusion", "write_confusion"],
    },
)
