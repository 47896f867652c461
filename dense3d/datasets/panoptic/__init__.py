"""COCO panoptic data: png maps of segment ids, their JSON files, conversions, and the data sets for training.

Names are imported on first use: evaluation reads the files without loading torch.
"""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "agreement": ["check_segments", "counted_segments"],
        "coco_instances": ["to_coco_instances", "decode_mask"],
        "conversion": ["Instance", "instances_of", "semantic_map_of", "panoptic_of", "label_map"],
        "copy_paste": ["PanopticCopyPaste", "RedrawUnlabelled"],
        "dataset": ["CocoPanopticDataset", "CityscapesPanopticDataset", "ADE20KPanopticDataset"],
        "file_conversion": [
            "panoptic_to_instances",
            "panoptic_to_semantic",
            "instances_to_panoptic",
            "read_categories",
        ],
        "files": ["PanopticFile", "read_panoptic", "read_predictions", "write_panoptic", "labels_of"],
        "id_map": [
            "VOID",
            "decode_segments",
            "ids_to_rgb",
            "rgb_to_ids",
            "read_id_map",
            "write_id_map",
            "segment_areas",
        ],
        "loading": ["LoadPanopticAnnotations", "RandomCropKeepingThings"],
    },
)
