"""Cross-view completion: one view of a scene is painted with the help of another one."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(__name__, submod_attrs={"model": ["CroCo", "random_view_mask"]})
