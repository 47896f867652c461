"""RetinaNet with PoolFormer-S12, 12 epochs of COCO: box AP 36.2 in the official repository.

Yu et al., CVPR 2022 (arXiv 2111.11418). The first map, which RetinaNet does not use, is not handed out.
Weights: ``poolformer_s12.pth.tar`` of sail-sg/poolformer, put into ``checkpoints/``.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/retinanet.py",
    "../_base_/datasets/coco_detection_800.py",
    "../_base_/schedules/adamw_12e.py",
    "../_base_/backbones/poolformer.py",
]

model = dict(
    backbone=dict(_delete_=True, **_base_._poolformer_s12, out_indices=(1, 2, 3)),
    neck=dict(start_level=0),
)
optim_wrapper = dict(optimizer=dict(lr=2e-4, weight_decay=1e-4))
