"""Self-supervised pre-training: masked autoencoders of images."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(__name__, submod_attrs={"image_mae": ["MaskedAutoencoder"]})
