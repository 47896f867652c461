"""Step C of ECO-M2F on synthetic panoptic data: a gate for ``eco-m2f_r18_synthetic-panoptic.py``.

Step B (``dense3d derive-depths``) writes the file of target depths; see ``docs/eco-m2f.md``.
"""

_base_ = ["./eco-m2f_r18_synthetic-panoptic.py"]

parent = "work_dirs/eco-m2f_r18_synthetic-panoptic/"
load_from = parent + "epoch_6.pth"
model = dict(depth=None, gate_targets=parent + "depths.json")

max_epochs = 2
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
optim_wrapper = dict(optimizer=dict(lr=1e-2, weight_decay=1e-4), clip_grad=None)
param_scheduler = [
    dict(type="CosineAnnealingLR", by_epoch=True, T_max=max_epochs, eta_min=1e-5, convert_to_iter_based=True)
]
