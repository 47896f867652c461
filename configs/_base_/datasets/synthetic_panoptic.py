"""Synthetic panoptic data in COCO's format, rendered on first use (about a minute on two cores)."""

data_root = "data/synthetic/panoptic_160x128/"
thing_classes = ("box", "sphere", "cylinder", "cone", "torus", "cross")
stuff_classes = ("ground", "wall", "sky")
classes = thing_classes + stuff_classes

# Read before training: arguments of dense3d.datasets.synthetic.ensure_dataset.
synthetic_data = dict(
    root=data_root, layouts=("coco_panoptic",), train=1200, val=200, size=(160, 128), seed=0
)

train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadPanopticAnnotations"),
    dict(type="mmdet.RandomFlip", prob=0.5),
    dict(type="mmdet.PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="mmdet.Resize", scale=(160, 128), keep_ratio=True),
    dict(type="LoadPanopticAnnotations"),
    dict(
        type="mmdet.PackDetInputs",
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
    ),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type="CocoPanopticDataset",
        metainfo=dict(classes=classes),
        data_root=data_root,
        ann_file="annotations/panoptic_train2017.json",
        data_prefix=dict(img="train2017/", seg="annotations/panoptic_train2017/"),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=0,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="CocoPanopticDataset",
        metainfo=dict(classes=classes),
        data_root=data_root,
        ann_file="annotations/panoptic_val2017.json",
        data_prefix=dict(img="val2017/", seg="annotations/panoptic_val2017/"),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(
    type="PanopticQualityMetric",
    ann_file=data_root + "annotations/panoptic_val2017.json",
    seg_prefix=data_root + "annotations/panoptic_val2017/",
)
test_evaluator = dict(
    type="PanopticQualityMetric",
    ann_file=data_root + "annotations/panoptic_val2017.json",
    seg_prefix=data_root + "annotations/panoptic_val2017/",
    classwise=True,
)
