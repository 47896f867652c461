"""Training and testing: mmengine's Runner with safe checkpoints and exact resume.

Importing this package registers the hooks, loops and samplers, and closes mmengine's silent fall-back to
loading checkpoints that can run code.
"""

from __future__ import annotations

from dense3d.engine import console, curves, picture_hook
from dense3d.engine.checkpoint import harden_mmengine, load_checkpoint, load_into, save_checkpoint
from dense3d.engine.interrupt import TrainingInterrupted
from dense3d.engine.runner import Runner

harden_mmengine()

__all__ = [
    "Runner",
    "TrainingInterrupted",
    "console",
    "curves",
    "load_checkpoint",
    "load_into",
    "picture_hook",
    "save_checkpoint",
]
