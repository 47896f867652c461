"""Evaluation of classifiers of images: accuracies, of each class too, and the confusion matrix."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "accuracy": ["ClassAccuracy"],
        "confusion": ["class_accuracies", "confusion_matrix", "draw_confusion", "write_confusion"],
    },
)
