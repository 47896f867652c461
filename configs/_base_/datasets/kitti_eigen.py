"""Rectified pairs of KITTI's raw data by Eigen's lists (those of monodepth2), depth from the lidar."""

data_root = "data/kitti_raw/"
image_size = (384, 1280)

train_pipeline = [
    dict(type="LoadStereo", with_truth=False),
    dict(type="ResizeStereo", size=image_size, interpolation="lanczos"),
    dict(type="StereoFlip", prob=0.5),
    dict(
        type="StereoColorJitter", brightness=0.2, contrast=0.2, saturation=0.2, hue=0.1, prob=0.99, levels=4
    ),
    dict(type="PackStereoInputs"),
]
test_pipeline = [
    dict(type="LoadStereo", allow_empty=True),
    dict(type="ResizeStereo", size=image_size, interpolation="lanczos", keep_truth=True),
    dict(type="PackStereoInputs"),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type="KittiEigenDepth",
        data_root=data_root,
        split_file="splits/eigen_full/train_files.txt",
        depth=None,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="KittiEigenDepth",
        data_root=data_root,
        split_file="splits/eigen/test_files.txt",
        depth="velodyne",
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type="DepthMetric", protocol="kitti-eigen-garg")
test_evaluator = val_evaluator
