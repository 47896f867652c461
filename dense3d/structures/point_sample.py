"""What goes with a point cloud through a model: ground truth in, predictions out."""

from __future__ import annotations

from mmengine.structures import BaseDataElement


class PointDataSample(BaseDataElement):
    """Ground truth and predictions of one cloud, as mmengine's data elements; all fields are optional.

    Fields:
        gt_label () int64: class of the whole cloud.
        gt_point_labels (N,) int64: class or part of each point, -1 where it has none.
        gt_instances (N,) int64: which object each point belongs to, -1 where to none.
        gt_boxes (K, 7) float32, gt_box_labels (K,) int64: oriented boxes in the world frame of
            :class:`dense3d.structures.Boxes3D`.
        category () int64: class of the object whose parts are asked for.
        pred_label () int64, pred_scores (C,): of the whole cloud.
        pred_point_labels (N,) int64, pred_point_scores (N, C): of its points.
        pred_boxes (K, 7), pred_box_scores (K,), pred_box_labels (K,) int64: oriented boxes as ``gt_boxes``.
    Metainfo:
        sample_id: name of the cloud within its data set. path: its file. num_points: how many points the
        model is given. original_points: how many the file has. scale, offset: original coordinates are
        those of the model times the first plus the second, where the cloud was normalised.
    """
