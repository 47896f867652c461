"""dense3d: dense prediction in 2D and 3D vision, one registry, one training script, exact numbers."""

__version__ = "0.1.0"
