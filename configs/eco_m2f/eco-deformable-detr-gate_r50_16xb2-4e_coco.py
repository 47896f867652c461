"""Step C of ECO-M2F for Deformable DETR with ResNet-50: a gate for beta 0.01; the detector is frozen.

Its file of target depths comes from step B, ``dense3d derive-depths``: see ``docs/eco-m2f.md``.
"""

_base_ = "./eco-deformable-detr_r50_16xb2-50e_coco.py"

parent = "work_dirs/eco-deformable-detr_r50_16xb2-50e_coco/"
load_from = parent + "epoch_50.pth"
model = dict(depth=None, gate_targets=parent + "depths-0.01.json")

max_epochs = 4
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [dict(type="ConstantLR", factor=1.0, by_epoch=True)]
