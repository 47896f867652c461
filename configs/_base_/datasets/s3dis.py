"""S3DIS: rooms with 13 classes, area 5 for tests. Text files have no normals, Pointcept folders do."""

_base_ = ["scene_augmentation.py"]

data_root = "data/s3dis/"
train_dataloader = dict(
    batch_size=4,
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(type="S3DIS", data_root=data_root, pipeline={{_base_.train_pipeline}}),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="S3DIS", data_root=data_root, areas=(5,), test_mode=True, pipeline={{_base_.test_pipeline}}
    ),
)
test_dataloader = val_dataloader
