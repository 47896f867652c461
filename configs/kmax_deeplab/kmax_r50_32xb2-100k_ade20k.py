"""kMaX-DeepLab with ResNet-50, 100k iterations of ADE20K at 1281 x 1281: PQ 42.2 in the official code.

The learning rate belongs to 64 images an iteration. Official weights:
``dense3d convert kmax-deeplab-ade20k IN OUT`` puts the rows of the classes into our order,
things first.
"""

_base_ = [
    "../_base_/datasets/ade20k_panoptic.py",
    "../_base_/schedules/kmax_150k.py",
    "../_base_/models/kmax.py",
]

image_size = (1281, 1281)
model = dict(
    num_classes=150,
    thing_classes=list(range(100)),
    input_size=image_size,
    drop_path=0.0,
    test_cfg=dict(thing_threshold=0.4, stuff_threshold=0.4, overlap_threshold=0.8),
)


# Resize by a random factor of the input size, SSD's colours, crop, flip; the model pads with the mean colour.
def steps(ratio_range):
    return [
        dict(type="LoadImageFromFile", to_float32=True),
        dict(type="LoadPanopticAnnotations", strict=False),
        dict(
            type="RandomResize",
            resize_type="mmdet.Resize",
            scale=image_size,
            ratio_range=ratio_range,
            keep_ratio=True,
        ),
        dict(type="mmdet.PhotoMetricDistortion"),
        dict(
            type="mmdet.RandomCrop",
            crop_size=image_size,
            crop_type="absolute",
            recompute_bbox=True,
            allow_negative_crop=True,
        ),
        dict(type="mmdet.RandomFlip", prob=0.5),
    ]


# Segments of a second image, half as large, are pasted; images with hardly a label are drawn anew.
pasted_steps = steps((0.25, 1.0))
image_steps = [*steps((0.5, 2.0)), dict(type="PanopticCopyPaste", transforms=pasted_steps)]
train_pipeline = [
    *image_steps,
    dict(type="RedrawUnlabelled", transforms=image_steps),
    dict(type="mmdet.PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile", to_float32=True),
    dict(type="mmdet.Resize", scale=image_size, keep_ratio=True),
    dict(type="LoadPanopticAnnotations", strict=False),
    _base_._pack_result,
]
train_dataloader = dict(batch_size=2, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))

max_iters = 100_000
train_cfg = dict(max_iters=max_iters)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=5000),
    dict(type="PolyLR", power=0.9, eta_min=0.0, by_epoch=False, begin=0, end=max_iters),
]
