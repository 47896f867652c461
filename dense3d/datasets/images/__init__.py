"""Images without labels: what self-supervised training reads."""

from dense3d.datasets.images.files import IMAGE_SUFFIXES, images_below

__all__ = ["IMAGE_SUFFIXES", "images_below"]
