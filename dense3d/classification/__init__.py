"""Classification of images by any backbone: the model, its batches, and official weights with their head."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "classifier": ["ImageClassifier"],
        "preprocessor": ["ClassDataPreprocessor"],
    },
)
