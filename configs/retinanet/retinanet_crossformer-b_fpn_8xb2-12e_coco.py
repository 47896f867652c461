"""RetinaNet with CrossFormer-B, 12 epochs of COCO: box AP 46.2 in the official repository.

Wang et al., ICLR 2022 (arXiv 2108.00154). Weights: ``crossformer-b.pth`` of cheerss/CrossFormer, put into
``checkpoints/``.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/retinanet.py",
    "../_base_/datasets/coco_detection_800.py",
    "../_base_/schedules/adamw_12e.py",
    "../_base_/backbones/crossformer.py",
]

model = dict(backbone=dict(_delete_=True, **_base_._crossformer_b, drop_path_rate=0.3))
optim_wrapper = dict(optimizer=dict(weight_decay=1e-4), paramwise_cfg=_base_._crossformer_undecayed)
