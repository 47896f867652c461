"""Semantic segmentation on synthetic data in ADE20K's layout, rendered on first use (a minute or two).

The label 0 of the files means unlabelled, as in ADE20K: ``reduce_zero_label`` makes it 255, which counts
neither in the loss nor in mIoU.
"""

data_root = "data/synthetic/ade20k_160x128/"
classes = ("box", "sphere", "cylinder", "cone", "torus", "cross", "ground", "wall", "sky")
palette = [
    (220, 20, 60),
    (0, 110, 230),
    (250, 170, 30),
    (60, 180, 75),
    (165, 42, 200),
    (0, 200, 200),
    (128, 96, 64),
    (150, 150, 150),
    (135, 206, 250),
]

# Read before training: arguments of dense3d.datasets.synthetic.ensure_dataset.
synthetic_data = dict(root=data_root, layouts=("ade20k",), train=2000, val=200, size=(160, 128), seed=0)

train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="mmseg.LoadAnnotations", reduce_zero_label=True),
    dict(type="mmseg.RandomFlip", prob=0.5),
    dict(type="mmseg.PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="mmseg.Resize", scale=(160, 128), keep_ratio=True),
    dict(type="mmseg.LoadAnnotations", reduce_zero_label=True),
    dict(type="mmseg.PackSegInputs"),
]
dataset = dict(
    # mmseg's ADE20KDataset takes no other names than ADE20K's own.
    type="mmseg.BaseSegDataset",
    metainfo=dict(classes=classes, palette=palette),
    data_root=data_root,
    reduce_zero_label=True,
)
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(
        **dataset,
        data_prefix=dict(img_path="images/training", seg_map_path="annotations/training"),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        **dataset,
        data_prefix=dict(img_path="images/validation", seg_map_path="annotations/validation"),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type="mmseg.IoUMetric", iou_metrics=["mIoU"], prefix="semantic")
test_evaluator = val_evaluator
