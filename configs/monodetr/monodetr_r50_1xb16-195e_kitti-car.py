"""MonoDETR with a ResNet-50 on KITTI's cars, the official setting.

Official weights: ``dense3d convert monodetr-car IN OUT`` keeps the class row of Car, so that OUT
serves this config as it is.
"""

_base_ = ["./monodetr_r50_1xb16-195e_kitti.py"]

classes = ("Car",)
model = dict(class_names=classes)
train_pipeline = [
    dict(type="LoadKittiFrame"),
    dict(type="RandomKittiWarp", size=(1280, 384), flip_prob=0.5, crop_prob=0.5),
    dict(type="mmdet.PhotoMetricDistortion"),
    dict(type="EncodeMonoTargets", classes=classes),
    dict(type="PackKittiFrame"),
]
train_dataloader = dict(dataset=dict(classes=classes, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(classes=classes))
test_dataloader = val_dataloader
val_evaluator = dict(classes=classes)
test_evaluator = val_evaluator
