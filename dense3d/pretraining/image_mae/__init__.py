"""Masked autoencoders of images (He et al., CVPR 2022)."""

from dense3d.pretraining.image_mae.model import MaskedAutoencoder

__all__ = ["MaskedAutoencoder"]
