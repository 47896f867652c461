"""Images without labels: what self-supervised training reads."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(__name__, submod_attrs={"files": ["IMAGE_SUFFIXES", "images_below"]})
