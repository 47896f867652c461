"""Step C of ECO-M2F with ResNet-50 on COCO panoptic: the gate for beta 0.0005; the parent is frozen.

Its file of target depths comes from step B, ``dense3d derive-depths``: see ``docs/eco-m2f.md``.
"""

_base_ = ["./eco-m2f_r50_8xb2-50e_coco-panoptic.py"]

parent = "work_dirs/eco-m2f_r50_8xb2-50e_coco-panoptic/"
load_from = parent + "iter_368750.pth"
model = dict(depth=None, gate_targets=parent + "depths-0.0005.json")

max_iters = 300_000
train_cfg = dict(max_iters=max_iters)
train_dataloader = dict(batch_size=1)
param_scheduler = [dict(type="ConstantLR", factor=1.0, by_epoch=False)]
