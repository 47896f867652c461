"""kMaX-DeepLab with ResNet-50, 150k iterations of COCO panoptic at 1281 x 1281: PQ 53.3 in the official code.

Yu et al., ECCV 2022 (arXiv 2207.04044). The learning rate belongs to 64 images an iteration.
Official weights: ``dense3d convert kmax-deeplab IN OUT``.
"""

_base_ = [
    "../_base_/datasets/coco_panoptic.py",
    "../_base_/schedules/kmax_150k.py",
    "../_base_/models/kmax.py",
]

image_size = (1281, 1281)
model = dict(
    num_classes=133,
    thing_classes=list(range(80)),
    input_size=image_size,
    drop_path=0.2,
    test_cfg=dict(thing_threshold=0.7, stuff_threshold=0.5, overlap_threshold=0.8),
)


# Resize by a random factor of the input size, SSD's colours, crop, flip; the model pads with the mean colour.
def steps(ratio_range):
    return [
        dict(type="LoadImageFromFile", to_float32=True),
        dict(type="LoadPanopticAnnotations"),
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
pasted_steps = steps((0.1, 1.0))
image_steps = [*steps((0.2, 2.0)), dict(type="PanopticCopyPaste", transforms=pasted_steps)]
train_pipeline = [
    *image_steps,
    dict(type="RedrawUnlabelled", transforms=image_steps),
    dict(type="mmdet.PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile", to_float32=True),
    dict(type="mmdet.Resize", scale=image_size, keep_ratio=True),
    dict(type="LoadPanopticAnnotations"),
    _base_._pack_result,
]
train_dataloader = dict(
    batch_size=2,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    batch_sampler=None,
    dataset=dict(pipeline=train_pipeline),
)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
