"""Panoptic quality (PQ, SQ, RQ), with the numbers of COCO's panopticapi and without that package.

Kirillov et al., Panoptic Segmentation, CVPR 2019. torch is not loaded. Names are imported on first use.

Differences to the official evaluator:

* A group (things, stuff) of which no class occurs has NaN as quality; there the official one divides by 0.
* Ground truth whose png and ``segments_info`` disagree is refused unless ``strict=False``. The official one
  takes areas from the JSON file, so that wrong ones shift every overlap and nothing is said.
* The sum of overlaps is formed in the order of the images for any number of threads.
"""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "files": ["evaluate_files"],
        "matching": ["ImageMatch", "Overlaps", "Segments", "match_segments"],
        "reference": ["evaluate_reference"],
        "result": ["PanopticResult", "summarise"],
    },
)
