"""For a linear layer on frozen features: 50 epochs. The authors' recipe is not published."""

_base_ = ["msm.py"]

max_epochs = 50
train_cfg = dict(max_epochs=max_epochs, val_interval=10)
optim_wrapper = dict(optimizer=dict(lr=2e-3, weight_decay=0.01))
param_scheduler = [
    dict(
        type="OneCycleLR",
        eta_max=2e-3,
        total_steps=max_epochs,
        pct_start=0.05,
        by_epoch=True,
        convert_to_iter_based=True,
    )
]
