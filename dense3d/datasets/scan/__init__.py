"""The data scan: what is found, missing, empty or corrupt in a data set, with file, rule and value.

    report = scan_coco("annotations/instances_train2017.json", "train2017")
    print(report.table())
    report.raise_if_faulty()

Names are imported on first use.
"""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "coco": ["scan_coco"],
        "datasets": ["scanner", "scan_dataset", "scan_config", "scan_before_training"],
        "images": ["check_image"],
        "panoptic": ["scan_panoptic"],
        "report": ["Fault", "ScanReport", "merged_table"],
        "segmentation": ["scan_segmentation"],
    },
)
