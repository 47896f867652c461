"""ScanNet: scenes with 20 classes, colours and normals, all points in tests."""

_base_ = ["scene_augmentation.py"]

data_root = "data/scannet/"
train_dataloader = dict(
    batch_size=4,
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(type="ScanNet", data_root=data_root, split="train", pipeline={{_base_.train_pipeline}}),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="ScanNet", data_root=data_root, split="val", test_mode=True, pipeline={{_base_.test_pipeline}}
    ),
)
test_dataloader = val_dataloader
