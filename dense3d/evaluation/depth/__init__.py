"""Errors of depth, disparity and optical flow, under protocols that have names.

Numbers are those of the official scripts (golden kit ``depth-metrics``): CCNeXt's for depth, CroCo's for
disparity and flow, KITTI's development kit for D1 and Fl. Sums are formed in double precision; torch is not
loaded. Names are imported on first use.

Differences to the official scripts:

* An image without a pixel that counts is counted as such and has no part in the mean; there it gives NaN.
* Pixels without prediction are counted, and their part is printed.
"""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "crops": ["crop_window"],
        "depth_errors": ["DEPTH_METRICS", "compare_depth", "counting_pixels", "depth_errors"],
        "matching_errors": ["compare_disparity", "compare_flow", "matching_errors", "visibility"],
        "protocols": ["PROTOCOLS", "DepthProtocol", "MatchingProtocol", "get_protocol"],
        "result": ["DepthResult", "ImageResult", "summarise"],
        "tally": ["Tally", "mean_over_images"],
    },
)
