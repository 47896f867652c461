"""From own photographs to rectified pairs: calibration files, rectification, and a check of the result."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "calibration_files": ["read_stereo_cameras"],
        "faults": ["calibration_faults"],
        "pair_check": ["PairCheck", "check_pair"],
        "rectification": ["Rectifier"],
    },
)
