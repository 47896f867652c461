"""RetinaNet with a feature pyramid network, for any backbone of four maps; the first is not used.

A backbone with output norms hands out the others alone, ``out_indices=(1, 2, 3)`` beside
``neck=dict(start_level=0)``: the norm of the first map would stay without a gradient.

Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017 (arXiv 1708.02002).
"""

_base_ = "mmdet::_base_/models/retinanet_r50_fpn.py"

model = dict(neck=dict(in_channels="backbone"))
