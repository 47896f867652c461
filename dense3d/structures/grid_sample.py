"""What goes with a radiance grid through a model: ground truth in, predictions out."""

from __future__ import annotations

from mmengine.structures import BaseDataElement


class GridDataSample(BaseDataElement):
    """Ground truth and predictions of one grid, as mmengine's data elements; all fields are optional.

    Grids are without the padding that a batch brings.

    Fields:
        gt_boxes (K, 7) float32: oriented boxes in voxels, (x, y, z, sizes, yaw); or (K, 6) corners.
        gt_box_labels (K,) int64: their classes, where there are some.
        gt_voxel_labels (W, L, H) int64: class of each voxel, 0 where it has none.
        gt_grid (4, W', L', H') float32: the finer grid that super-resolution is to find.
        grid (4, W, L, H) float32: what the model was given, colour and opacity.
        pred_grid (4, W, L, H) float32: what it made of it; or of W', L', H' voxels.
        removed (W, L, H) bool: voxels that were hidden from it.
        pred_voxel_labels (W, L, H) int64, pred_boxes (K, 7 or 6), pred_box_scores (K,).
        mse, psnr (): of pred_grid's colours on occupied voxels. alpha_mse (): of its opacity where hidden.
    Metainfo:
        sample_id: name of the scene. path: its file. ori_shape: (W, L, H). bbox_min, bbox_max: of the world.
    """
