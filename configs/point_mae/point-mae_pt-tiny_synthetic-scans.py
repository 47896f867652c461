"""Point-MAE pre-training of a small network on scans of 12 families of synthetic objects, on a CPU.

The objects are seen from one side, with noise, and with points of the floor and of what is around them. As
they are harder than whole ones, it takes more and smaller steps, without stochastic depth. The other nine
families are for ``point-mae-few-shot_pt-tiny_synthetic-scans.py``.
"""

_base_ = ["./point-mae_pt-tiny_synthetic-shapes.py"]

data_root = "data/synthetic/scans_1024/"
synthetic_data = dict(root=data_root, scan=True)
model = dict(encoder=dict(drop_path_rate=0.0))
train_dataloader = dict(batch_size=16, dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = dict(dataset=dict(data_root=data_root))
optim_wrapper = dict(optimizer=dict(lr=1.5e-3))
max_iters = 2000
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=40),
    dict(
        type="CosineAnnealingLR",
        by_epoch=False,
        begin=40,
        end=max_iters,
        T_max=max_iters - 40,
        eta_min=1e-6,
    ),
]
default_hooks = dict(checkpoint=dict(interval=max_iters))
