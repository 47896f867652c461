"""RetinaNet with CrossFormer++-S, 12 epochs of COCO: box AP 45.1 in the official repository.

Wang et al., TPAMI 2024 (arXiv 2303.06908). Groups as in CrossFormer, not those of pre-training. Weights:
``crossformer-pp-s.pth`` of cheerss/CrossFormer, put into ``checkpoints/``.
"""

_base_ = [
    "../_base_/runtime.py",
    "../_base_/models/retinanet.py",
    "../_base_/datasets/coco_detection_800.py",
    "../_base_/schedules/adamw_12e.py",
    "../_base_/backbones/crossformer.py",
]

model = dict(
    backbone=dict(_delete_=True, **_base_._crossformer_pp_s, **_base_._dense_groups, drop_path_rate=0.2)
)
optim_wrapper = dict(optimizer=dict(weight_decay=1e-4), paramwise_cfg=_base_._crossformer_undecayed)
