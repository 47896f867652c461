"""KITTI's object data: readers and writers of its files, and the data set for training.

Names are imported on first use: evaluation reads label files without loading torch.
"""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "calibration_file": ["read_calibration", "write_calibration"],
        "frames": ["frame_id", "list_frames", "read_image_set", "write_image_set"],
        "objects": [
            "CLASSES",
            "KittiObjects",
            "format_objects",
            "parse_objects",
            "read_objects",
            "without_faults",
            "write_objects",
        ],
        "results": ["write_results"],
        "velodyne": ["read_velodyne", "write_velodyne"],
    },
)
