"""Which backbone goes under which head: every pair of small variants takes a training step and predicts.

Backbones and adapters declare small variants of themselves in ``tiny_variants``, dense3d's models one in
``tiny``; mmdet's and mmseg's heads are listed in :mod:`tests.compatibility.heads`. ``dense3d compatibility``
writes the table.
"""

from tests.compatibility.backbones import tiny_backbones
from tests.compatibility.heads import heads
from tests.compatibility.pairing import loss_of_nan, obstacle, try_pair

__all__ = ["heads", "loss_of_nan", "obstacle", "tiny_backbones", "try_pair"]
