"""ViTDet's AdamW: 100 epochs of 64 images an iteration, a tenth of the rate after 89 and 96."""

_base_ = "./adamw_12e.py"

max_epochs = 100
train_cfg = dict(max_epochs=max_epochs, val_interval=5)
optim_wrapper = dict(optimizer=dict(weight_decay=0.1))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=250),
    dict(type="MultiStepLR", begin=0, end=max_epochs, by_epoch=True, milestones=[89, 96], gamma=0.1),
]
auto_scale_lr = dict(base_batch_size=64)
