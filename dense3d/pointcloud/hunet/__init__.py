"""HUNet, the hierarchical network of masked scene modelling."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(__name__, submod_attrs={"network": ["HUNet"]})
