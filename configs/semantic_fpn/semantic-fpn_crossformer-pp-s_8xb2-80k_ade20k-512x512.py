"""Semantic FPN with CrossFormer++-S, 80k iterations of ADE20K: mIoU 47.4 in the official repository.

Wang et al., TPAMI 2024 (arXiv 2303.06908). Groups as in CrossFormer, not those of pre-training. Weights:
``crossformer-pp-s.pth`` of cheerss/CrossFormer, put into ``checkpoints/``.
"""

_base_ = [
    "../_base_/segmentation_runtime.py",
    "../_base_/models/semantic_fpn.py",
    "../_base_/datasets/ade20k_512.py",
    "../_base_/schedules/adamw_80k.py",
    "../_base_/backbones/crossformer.py",
]

model = dict(backbone=dict(**_base_._crossformer_pp_s, **_base_._dense_groups, drop_path_rate=0.2))
optim_wrapper = dict(paramwise_cfg=_base_._crossformer_undecayed)
