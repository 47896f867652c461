"""Step A of ECO-M2F on synthetic panoptic data: a parent whose images may leave after 2 ... 6 encoder layers.

The small Mask2Former of ``mask2former_r18_synthetic-panoptic.py`` with half of its channels, six encoder
layers and 25 queries, on images of 128 x 96 (arXiv 2404.15244). Steps B and C: ``docs/eco-m2f.md``.
"""

_base_ = ["./mask2former_r18_synthetic-panoptic.py"]

data_root = "data/synthetic/panoptic_128x96/"
size = (128, 96)
synthetic_data = dict(root=data_root, layouts=("coco_panoptic",), train=1600, val=200, size=size, seed=0)

model = dict(
    type="ECOM2F",
    min_depth=2,
    depth=6,
    count_cost=True,
    backbone=dict(model_kwargs=dict(channels=(32, 64, 128, 256))),
    head=dict(num_queries=25, embed_dims=64, encoder_layers=6, encoder_channels=256, decoder_channels=256),
    criterion=dict(num_points=512),
)

test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="mmdet.Resize", scale=size, keep_ratio=True),
    dict(type="LoadPanopticAnnotations"),
    dict(
        type="mmdet.PackDetInputs",
        meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
    ),
]
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = [
    dict(
        type="PanopticQualityMetric",
        ann_file=data_root + "annotations/panoptic_val2017.json",
        seg_prefix=data_root + "annotations/panoptic_val2017/",
    ),
    dict(type="ExitCostMetric"),
]
test_evaluator = val_evaluator

max_epochs = 12
train_cfg = dict(max_epochs=max_epochs, val_interval=6)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", by_epoch=True, T_max=max_epochs, eta_min=1e-6, convert_to_iter_based=True),
]
