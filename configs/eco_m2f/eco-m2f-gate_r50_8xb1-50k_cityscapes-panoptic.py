"""Step C of ECO-M2F with ResNet-50 on Cityscapes panoptic: the gate for beta 0.003; the parent is frozen.

Its file of target depths comes from step B, ``dense3d derive-depths``: see ``docs/eco-m2f.md``.
"""

_base_ = ["./eco-m2f_r50_8xb2-90k_cityscapes-panoptic.py"]

parent = "work_dirs/eco-m2f_r50_8xb2-90k_cityscapes-panoptic/"
load_from = parent + "iter_90000.pth"
model = dict(depth=None, gate_targets=parent + "depths-0.003.json")

max_iters = 50_000
train_cfg = dict(max_iters=max_iters)
train_dataloader = dict(batch_size=1)
param_scheduler = [dict(type="ConstantLR", factor=1.0, by_epoch=False)]
