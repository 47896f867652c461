"""Evaluation on clouds: accuracy and voting, part IoU, classes of points, few-shot folds, frozen features."""

from lazy_loader import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    submod_attrs={
        "classification": ["PointClassification", "accuracies", "vote"],
        "few_shot": ["FewShotSummary", "paired_difference", "summarise"],
        "part_iou": ["PartIoU", "part_scores", "restricted_labels", "shape_score"],
        "probes": ["linear_svm", "mlp_linear"],
        "scene_iou": ["SceneIoU", "point_confusion", "scene_scores"],
        "scene_probes": ["LinearProbe", "NearestNeighbour", "fit_linear_probe"],
    },
)
