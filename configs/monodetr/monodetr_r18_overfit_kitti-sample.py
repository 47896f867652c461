"""Overfit a dozen real KITTI frames, a check of the whole path on real labels and calibrations.

Training and evaluation data are the same frames. It starts from what the synthetic run has learned: run
``configs/synthetic/monodetr_r18_synthetic-kitti.py`` first. ``DENSE3D_SAMPLE_DATA`` names the folder that
holds ``kitti/training`` and ``kitti/ImageSets/trainval.txt`` (``data/samples`` by default); KITTI's frames
are CC BY-NC-SA 3.0.
"""

_base_ = ["../synthetic/monodetr_r18_synthetic-kitti.py"]

data_root = "{{$DENSE3D_SAMPLE_DATA:data/samples}}/kitti/"
synthetic_data = None
load_from = "work_dirs/monodetr_r18_synthetic-kitti/epoch_6.pth"

classes = ("Pedestrian", "Car", "Cyclist")
image_size = (640, 192)  # half of KITTI's
train_pipeline = [
    dict(type="LoadKittiFrame"),
    dict(type="RandomKittiWarp", size=image_size),
    dict(type="EncodeMonoTargets", classes=classes),
    dict(type="PackKittiFrame"),
]
test_pipeline = [
    dict(type="LoadKittiFrame"),
    dict(type="RandomKittiWarp", size=image_size),
    dict(type="PackKittiFrame"),
]
frames = "ImageSets/trainval.txt"
train_dataloader = dict(
    batch_size=4, dataset=dict(data_root=data_root, ann_file=frames, pipeline=train_pipeline)
)
val_dataloader = dict(
    batch_size=4, dataset=dict(data_root=data_root, ann_file=frames, pipeline=test_pipeline)
)
test_dataloader = val_dataloader
val_evaluator = dict(label_folder=data_root + "training/label_2", image_set=data_root + frames)
test_evaluator = val_evaluator

# Real objects stand farther away; batches are too small for statistics of their own.
model = dict(backbone=dict(freeze_norm=True), depth_predictor=dict(num_bins=80, depth_max=60.0))
strict_load = False

max_epochs = 80
train_cfg = dict(max_epochs=max_epochs, val_interval=40)
default_hooks = dict(checkpoint=dict(interval=40), logger=dict(interval=3))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=20),
    dict(type="CosineAnnealingLR", by_epoch=True, T_max=max_epochs, eta_min=1e-6, convert_to_iter_based=True),
]
optim_wrapper = dict(optimizer=dict(lr=5e-4, weight_decay=0.0))
