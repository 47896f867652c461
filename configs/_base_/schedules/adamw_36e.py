"""AdamW in mixed precision, 36 epochs of 8 GPUs with 2 images each, a tenth of the rate after 27 and 33."""

_base_ = "./adamw_12e.py"

max_epochs = 36
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type="MultiStepLR", begin=0, end=max_epochs, by_epoch=True, milestones=[27, 33], gamma=0.1),
]
