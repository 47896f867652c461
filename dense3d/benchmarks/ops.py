"""Suite ``ops``: every operator of ``dense3d.ops`` against other implementations of the same result."""

from __future__ import annotations

from dense3d.benchmarks.ops_attention import CASES as ATTENTION
from dense3d.benchmarks.ops_boxes import CASES as BOXES
from dense3d.benchmarks.ops_features import CASES as FEATURES

CASES = [*ATTENTION, *BOXES, *FEATURES]
