"""What goes with a pair of images through a stereo or flow model: ground truth in, predictions out."""

from __future__ import annotations

from mmengine.structures import BaseDataElement


class StereoSample(BaseDataElement):
    """Ground truth and predictions of one pair, as mmengine's data elements; all fields are optional.

    Maps are float32 tensors in the frame of the left (first) image; invalid ground truth is ``inf``
    (disparity, flow) or 0 (depth). Disparity is ``x_left - x_right`` in pixels, positive in front of the rig.

    Fields:
        gt_disparity (1, H, W): occlusion-inclusive where the data set has that.
        gt_nonoccluded (1, H, W) bool: pixels that the other image sees; absent where nobody knows.
        gt_depth (1, H, W): metres.
        gt_flow (2, H, W): (u, v) in pixels to the second image.
        pred_disparity (1, H, W): pixels.
        pred_right_disparity (1, H, W): of the right image, pixels.
        pred_inverse_depth (1, H, W): in 1/metres where the scale is known, of models that predict it.
        pred_depth (1, H, W): metres, of models that predict it and know the scale.
        pred_flow (2, H, W): pixels.
        pred_deviation (1, H, W): standard deviation of the predicted disparity (or flow) in pixels.
        pred_confidence (1, H, W): in [0, 1], 1 is certain.
    Metainfo:
        left_path, right_path: files. ori_shape (H, W): of the files. img_shape (H, W): of the model's input.
        rig: :class:`dense3d.structures.RectifiedRig` of the model's input size, or None.
        sample_id: name of the pair within its data set.
    """
