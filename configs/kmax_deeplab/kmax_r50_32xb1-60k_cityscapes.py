"""kMaX-DeepLab with ResNet-50, 60k iterations of Cityscapes at 1025 x 2049: PQ 63.5 in the official code.

The pixel decoder has a fifth stage on the pooled stem, and the auxiliary semantic head is a classifier of the
map of stride 32. The learning rate belongs to 32 images an iteration. Official weights:
``dense3d convert kmax-deeplab-cityscapes IN OUT`` puts the rows of the classes, train ids there,
into the order of this repository, things first.
"""

_base_ = [
    "../_base_/datasets/cityscapes_panoptic.py",
    "../_base_/schedules/kmax_150k.py",
    "../_base_/models/kmax.py",
]

image_size = (1025, 2049)  # height, width
model = dict(
    num_classes=19,
    thing_classes=list(range(8)),
    num_queries=256,
    input_size=image_size,
    backbone=dict(
        _delete_=True, type="dense3d.ResNetWithStem", model_name="resnet50.tv_in1k", pretrained=True
    ),
    pixel_decoder=dict(
        base_channels=(512, 256, 128, 64, 32),
        num_blocks=(1, 5, 1, 1, 1),
        kinds=("axial", "axial", "bottleneck", "bottleneck", "bottleneck"),
    ),
    drop_path=0.2,
    semantic_head="coarse",
    criterion=dict(discrimination_temperature=0.6, semantic_pixels=0),
    test_cfg=dict(thing_threshold=0.5, stuff_threshold=0.3, overlap_threshold=0.9, mask_power=0.0),
)


# Resize by a random factor of the input size, SSD's colours, crop, flip; the model pads with the mean colour.
def steps(ratio_range):
    return [
        dict(type="LoadImageFromFile", to_float32=True),
        dict(type="LoadPanopticAnnotations"),
        dict(
            type="RandomResize",
            resize_type="mmdet.Resize",
            scale=(2049, 1025),
            ratio_range=ratio_range,
            keep_ratio=True,
        ),
        dict(type="mmdet.PhotoMetricDistortion"),
        dict(
            type="mmdet.RandomCrop",
            crop_size=image_size[::-1],  # width, height
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
    dict(type="mmdet.Resize", scale=(2049, 1025), keep_ratio=True),
    dict(type="LoadPanopticAnnotations"),
    _base_._pack_result,
]
train_dataloader = dict(batch_size=1, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))

max_iters = 60_000
train_cfg = dict(max_iters=max_iters)
optim_wrapper = dict(optimizer=dict(lr=3e-4))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=5000),
    dict(type="PolyLR", power=0.9, eta_min=0.0, by_epoch=False, begin=0, end=max_iters),
]
auto_scale_lr = dict(base_batch_size=32)
