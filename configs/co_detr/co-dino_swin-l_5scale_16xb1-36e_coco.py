"""Co-DINO, 5 scales, Swin-L from ImageNet-22k, 36 epochs of COCO; 60.0 box AP officially."""

_base_ = "./co-dino_swin-l_5scale_16xb1-12e_coco.py"

model = dict(backbone=dict(drop_path_rate=0.6))
max_epochs = 36
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    dict(type="MultiStepLR", begin=0, end=max_epochs, by_epoch=True, milestones=[30], gamma=0.1)
]
