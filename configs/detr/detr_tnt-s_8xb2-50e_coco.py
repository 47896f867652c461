"""DETR with TNT-S, 50 epochs of COCO: box AP 38.2 in the paper.

Han et al., NeurIPS 2021 (arXiv 2103.00112). The authors' code for this is not public: one map of stride 16,
and a tenth of the rate after 33 epochs, are ours. Weights: ``tnt_s_81.5.pth.tar`` of
huawei-noah/Efficient-AI-Backbones, put into ``checkpoints/``.
"""

_base_ = ["./detr_r50_8xb2-150e_coco.py", "../_base_/backbones/tnt.py"]

model = dict(
    data_preprocessor=dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5]),
    backbone=dict(_delete_=True, **_base_._tnt_s, drop_path_rate=0.1),
)
max_epochs = 50
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    dict(type="MultiStepLR", begin=0, end=max_epochs, by_epoch=True, milestones=[33], gamma=0.1)
]
