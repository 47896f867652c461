"""RetinaNet with RMT-T, 12 epochs of COCO: box AP 45.1 in the paper.

Fan et al., CVPR 2024 (arXiv 2309.11523). Weights: RMT-T of qhfan/RMT, put into
``checkpoints/`` as ``RMT-T.pth``.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/retinanet.py",
    "../_base_/datasets/coco_detection_800.py",
    "../_base_/schedules/adamw_12e.py",
    "../_base_/backbones/rmt.py",
]

model = dict(backbone=dict(_delete_=True, **_base_._rmt_t, out_indices=(1, 2, 3)), neck=dict(start_level=0))
optim_wrapper = dict(optimizer=dict(lr=4e-4, weight_decay=1e-4))
sync_bn = "torch"  # batch norms learn, over the images of all processes
