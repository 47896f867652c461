"""UPerNet with PPMA-T, 160k iterations of Cityscapes: mIoU 82.7, 83.5 multi-scale officially.

Zhao et al., 2025 (arXiv 2506.15940). Weights: ``PPMA_T_202502251000/best.pth`` of zhongchenzhao/PPMA,
put into ``checkpoints/`` with its folder.
"""

_base_ = [
    "../_base_/segmentation_runtime.py",
    "../_base_/models/upernet.py",
    "../_base_/datasets/cityscapes_1024.py",
    "../_base_/schedules/adamw_160k.py",
    "../_base_/backbones/ppma.py",
]

window = (1024, 1024)
model = dict(
    data_preprocessor=dict(size=window),
    backbone=_base_._ppma_t,
    decode_head=dict(num_classes=19),
    auxiliary_head=dict(num_classes=19),
    test_cfg=dict(crop_size=window, stride=(768, 768)),
)
optim_wrapper = dict(optimizer=dict(weight_decay=0.05), paramwise_cfg=_base_._ppma_undecayed)
auto_scale_lr = dict(base_batch_size=8)
