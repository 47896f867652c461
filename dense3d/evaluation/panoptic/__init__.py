"""Panoptic quality (PQ, SQ, RQ), with the numbers of COCO's panopticapi and without that package.

Kirillov et al., Panoptic Segmentation, CVPR 2019. torch is not loaded. Names are imported on first use.

Differences to the official evaluator:

* A group (things, stuff) of which no class occurs has NaN as quality; there the official one divides by 0.
* Ground truth whose png and ``segments_info`` disagree is refused unless ``strict=False``. The official one
  takes areas from the JSON file, so that wrong ones shift every overlap and nothing is said.
* The sum of overlaps is formed in the order of the images for any number of processes.
"""

from __future__ import annotations

import importlib

_HOMES = {
    "ImageMatch": "matching",
    "Overlaps": "matching",
    "Segments": "matching",
    "match_segments": "matching",
    "PanopticResult": "result",
    "summarise": "result",
    "evaluate_files": "files",
    "evaluate_reference": "reference",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
