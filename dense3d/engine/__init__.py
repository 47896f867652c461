"""Training and testing: mmengine's Runner with safe checkpoints and exact resume.

Importing this package, or any module of it, closes mmengine's silent fall-back to loading checkpoints that
can run code, and its loading of pickles and YAML files that can. Everything else is imported on first use.
"""

from lazy_loader import attach

from dense3d.engine.checkpoint import harden_mmengine
from dense3d.pickles import restrict_loading

harden_mmengine()
restrict_loading()

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "checkpoint": ["load_checkpoint", "load_into", "save_checkpoint"],
        "interrupt": ["TrainingInterrupted"],
        "runner": ["Runner"],
    },
)
