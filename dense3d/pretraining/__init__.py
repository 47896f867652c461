"""Self-supervised pre-training: masked and self-distilled."""

from dense3d.pretraining.image_mae import MaskedAutoencoder

__all__ = ["MaskedAutoencoder"]
